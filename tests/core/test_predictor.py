import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.errors import RegistryError
from core.imaging.case import PreparedCase, Quality
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.calibration import Calibration, calibrated
from core.learning.model import build_model
from core.learning.prediction import predict_scores
from core.learning.weights import flatten, manifest_of, named
from core.predictor import Predictor, load_predictor, predict_prepared
from core.records.registry import add_version, approve_version, retire_version
from core.study import ModelSettings, PreprocessingSettings, Study
from tests.factories_calibration import Scores, a_fit, heads

STUDY = Study(name="tiny", model=ModelSettings(preset="tiny"), preprocessing=PreprocessingSettings(grid=16))
KEY = Ed25519PrivateKey.generate()
TRUSTED = KEY.public_key()


def a_version(registry: Path, fit: dict[str, Any] | None = None, **changes: Any) -> Path:
    model = build_model(STUDY.model, 3)
    card = {
        "study": STUDY.model_dump(mode="json"),
        "preprocessing_version": PREPROCESSING_VERSION,
        "heads": heads(),
        **changes,
    }
    name = add_version(registry, "tiny", named(manifest_of(model), flatten(model)), card, fit or a_fit())
    approve_version(registry, name, KEY)
    return registry / name


def a_case(*reasons: str) -> PreparedCase:
    image = np.random.default_rng(1).standard_normal((4, 16, 16, 16)).astype(np.float32)
    return PreparedCase(image, np.ones((16, 16, 16), bool), None, Quality(reasons))


def scores_of(predictor: Predictor) -> tuple[float, float]:
    """The raw scores of `a_case`: tumor and MGMT."""
    predicted = predict_scores(predictor.model, torch.from_numpy(a_case().image)[None])
    return float(predicted.tumor[0]), float(predicted.mgmt[0])


def below_and_above(score: float) -> tuple[Scores, Scores]:
    """Scores of cases among which this one is clearly of the lower class, or clearly of the upper."""
    low, high = np.linspace(score / 4, score / 2, 20), np.linspace((1 + score) / 2, (3 + score) / 4, 20)
    least, most = np.linspace(0.001, score / 4, 20), np.linspace((3 + score) / 4, 0.999, 20)
    return (most.tolist(), [*least, score, *high]), ([*low, score, *most], least.tolist())


def test_a_usable_case_gets_calibrated_probabilities_with_intervals_and_decisions_and_a_map(tmp_path: Path) -> None:
    scores = dict(zip(("tumor", "mgmt"), scores_of(load_predictor(a_version(tmp_path), TRUSTED)), strict=True))
    (_, above_tumor), (below_mgmt, _) = (below_and_above(scores[head]) for head in ("tumor", "mgmt"))
    fit = a_fit(mgmt=below_mgmt, tumor=above_tumor)
    prediction = predict_prepared(load_predictor(a_version(tmp_path, fit), TRUSTED), a_case())
    assert (prediction.verdict, prediction.reasons) == ("usable", ())
    assert (prediction.tumor_decision, prediction.mgmt_decision) == ("present", "unmethylated")
    calibration = Calibration.model_validate(fit)
    tumor, mgmt = calibrated(calibration, "tumor", scores["tumor"]), calibrated(calibration, "mgmt", scores["mgmt"])
    assert (prediction.tumor_probability, prediction.tumor_interval) == (tumor.probability, tumor.interval)
    assert (prediction.mgmt_probability, prediction.mgmt_interval) == (mgmt.probability, mgmt.interval)
    assert (prediction.tumor_possible, prediction.mgmt_possible) == (("present",), ("unmethylated",))
    assert (tumor.probability or 0) > 0.9
    assert (mgmt.probability or 1) < 0.1
    assert prediction.tumor_map is not None
    assert prediction.tumor_map.shape == (3, 4, 4, 4)


def test_the_answer_as_json_holds_all_but_the_map(tmp_path: Path) -> None:
    answer = predict_prepared(load_predictor(a_version(tmp_path), TRUSTED), a_case()).as_json()
    whats = ("probability", "interval", "decision", "possible")
    heads_and_whats = {f"{head}_{what}" for head in ("tumor", "mgmt") for what in whats}
    assert answer.keys() == {"verdict", "reasons", "model_version", *heads_and_whats}
    assert json.loads(json.dumps(answer))


def test_where_no_tumor_is_found_nothing_is_said_of_its_methylation(tmp_path: Path) -> None:
    tumor_score, _ = scores_of(load_predictor(a_version(tmp_path), TRUSTED))
    below, _ = below_and_above(tumor_score)
    prediction = predict_prepared(load_predictor(a_version(tmp_path, a_fit(tumor=below)), TRUSTED), a_case())
    assert prediction.tumor_decision == "absent"
    assert prediction.tumor_probability is not None
    assert prediction.mgmt_probability is prediction.mgmt_interval is prediction.mgmt_decision is None
    assert prediction.mgmt_possible is None
    assert prediction.reasons == ("mgmt: no tumor was found, whose methylation could be told",)


def test_a_head_without_validation_cases_of_both_classes_gives_no_number(tmp_path: Path) -> None:
    fit = a_fit(mgmt=([0.4, 0.6], []))
    prediction = predict_prepared(load_predictor(a_version(tmp_path, fit), TRUSTED), a_case())
    assert prediction.mgmt_probability is prediction.mgmt_interval is prediction.mgmt_decision is None
    assert any("2 methylated and 0 unmethylated" in reason for reason in prediction.reasons)


def test_a_head_no_better_than_chance_decides_nothing_but_shows_its_interval(tmp_path: Path) -> None:
    fit = a_fit(mgmt=([0.2, 0.5, 0.8], [0.1, 0.5, 0.9]))
    prediction = predict_prepared(load_predictor(a_version(tmp_path, fit), TRUSTED), a_case())
    assert prediction.mgmt_decision == "undecided"
    assert prediction.mgmt_interval is not None
    assert any("not shown to be better than chance on 6 validation patients" in why for why in prediction.reasons)


def test_a_case_unlike_the_training_data_is_unreliable_and_gets_no_number(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    fit = a_fit(images=[rng.standard_normal((4, 16, 16, 16)).astype(np.float32) for _ in range(20)])
    predictor = load_predictor(a_version(tmp_path, fit), TRUSTED)
    case = a_case()
    assert predict_prepared(predictor, case).verdict == "usable"
    prediction = predict_prepared(predictor, replace(case, image=case.image[[0, 1, 2, 0]]))
    assert prediction.verdict == "unreliable"
    told = "unlike the training data: T1w and FLAIR look more alike than in its validation patients"
    assert told in prediction.reasons
    assert prediction.tumor_probability is prediction.mgmt_probability is prediction.tumor_map is None
    assert prediction.tumor_decision is prediction.mgmt_decision is prediction.mgmt_interval is None


@pytest.mark.parametrize("fit", [{}, {"validated_on": "x", "mgmt": {}, "tumor": {}}])
def test_a_calibration_of_another_release_is_refused(tmp_path: Path, fit: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match="calibration") as caught:
        load_predictor(a_version(tmp_path, {"more": 1, **fit}), TRUSTED)
    assert caught.value.fix == "use the release that trained the model"


def test_a_card_that_does_not_tell_of_its_heads_gets_no_numbers(tmp_path: Path) -> None:
    prediction = predict_prepared(load_predictor(a_version(tmp_path, heads={}), TRUSTED), a_case())
    assert prediction.tumor_probability is prediction.mgmt_probability is None
    assert all("does not say that this head was trained" in why for why in prediction.reasons)


def test_the_model_is_the_one_that_was_registered(tmp_path: Path) -> None:
    """A model of the same shape with other weights answers otherwise; the same weights, to the bit the same."""
    predictor = load_predictor(a_version(tmp_path), TRUSTED)
    again = load_predictor(tmp_path / predictor.version, TRUSTED)
    other = build_model(STUDY.model, 4)
    first, second = (predict_prepared(one, a_case()).mgmt_probability for one in (predictor, again))
    assert first == second
    np.testing.assert_array_equal(flatten(predictor.model), flatten(build_model(STUDY.model, 3)))
    assert not np.array_equal(flatten(predictor.model), flatten(other))


def test_an_unreliable_case_gets_its_reasons_and_no_number(tmp_path: Path) -> None:
    prediction = predict_prepared(load_predictor(a_version(tmp_path), TRUSTED), a_case("T2w is blank"))
    assert (prediction.verdict, prediction.reasons) == ("unreliable", ("T2w is blank",))
    assert prediction.tumor_probability is prediction.mgmt_probability is prediction.tumor_map is None
    assert prediction.tumor_decision is prediction.mgmt_decision is prediction.tumor_interval is None


def test_a_head_that_was_never_trained_gives_no_number_and_says_why(tmp_path: Path) -> None:
    why = "tumor: the model was never shown both patients with and without a tumor"
    prediction = predict_prepared(load_predictor(a_version(tmp_path, heads=heads(tumor=why)), TRUSTED), a_case())
    assert prediction.verdict == "usable"
    assert prediction.tumor_probability is prediction.tumor_interval is prediction.tumor_decision is None
    assert prediction.mgmt_probability is not None
    assert why in prediction.reasons


@pytest.mark.parametrize("changes", [{"preprocessing_version": "0"}, {"preprocessing_version": None}])
def test_a_version_for_other_preprocessing_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match="expects scans prepared by version"):
        load_predictor(a_version(tmp_path, **changes), TRUSTED)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    study = STUDY.model_copy(update={"model": ModelSettings(preset="small")})
    with pytest.raises(RegistryError, match="other names or shapes"):
        load_predictor(a_version(tmp_path, study=study.model_dump(mode="json")), TRUSTED)


def test_a_model_that_the_coordinator_did_not_sign_or_has_retired_is_refused(tmp_path: Path) -> None:
    version = a_version(tmp_path)
    with pytest.raises(RegistryError, match="not what this federation's coordinator signed"):
        load_predictor(version, Ed25519PrivateKey.generate().public_key())
    retire_version(tmp_path, version.name, KEY)
    with pytest.raises(RegistryError, match="was retired"):
        load_predictor(version, TRUSTED)
