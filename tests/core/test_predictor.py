from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.errors import RegistryError
from core.imaging.case import PreparedCase, Quality
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of, named
from core.predictor import load_predictor, predict_prepared
from core.records.registry import add_version, approve_version, retire_version
from core.study import ModelSettings, PreprocessingSettings, Study

STUDY = Study(name="tiny", model=ModelSettings(preset="tiny"), preprocessing=PreprocessingSettings(grid=16))
KEY = Ed25519PrivateKey.generate()
TRUSTED = KEY.public_key()


def a_version(registry: Path, **changes: Any) -> Path:
    model = build_model(STUDY.model, 3)
    card = {
        "study": STUDY.model_dump(mode="json"),
        "preprocessing_version": PREPROCESSING_VERSION,
        "classes_seen": {"mgmt": 2, "tumor": 2},
        **changes,
    }
    name = add_version(registry, "tiny", named(manifest_of(model), flatten(model)), card)
    approve_version(registry, name, KEY)
    return registry / name


def a_case(*reasons: str) -> PreparedCase:
    image = np.random.default_rng(1).standard_normal((4, 16, 16, 16)).astype(np.float32)
    return PreparedCase(image, np.ones((16, 16, 16), bool), None, Quality(reasons))


def test_a_usable_case_gets_both_probabilities_and_a_map(tmp_path: Path) -> None:
    prediction = predict_prepared(load_predictor(a_version(tmp_path), TRUSTED), a_case())
    assert prediction.verdict == "usable"
    assert prediction.reasons == ()
    assert 0 < (prediction.tumor_probability or 0) < 1
    assert 0 < (prediction.mgmt_probability or 0) < 1
    assert prediction.tumor_map is not None
    assert prediction.tumor_map.shape == (3, 4, 4, 4)
    assert "tumor_map" not in prediction.as_json()


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


def test_a_head_that_saw_one_class_gives_no_number_and_says_why(tmp_path: Path) -> None:
    version = a_version(tmp_path, classes_seen={"mgmt": 2, "tumor": 1})
    prediction = predict_prepared(load_predictor(version, TRUSTED), a_case())
    assert prediction.verdict == "usable"
    assert prediction.tumor_probability is None
    assert prediction.mgmt_probability is not None
    assert len(prediction.reasons) == 1
    assert "with and without a tumor" in prediction.reasons[0]


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
