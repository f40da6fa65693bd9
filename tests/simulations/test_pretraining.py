"""What a small head stands on: public patients alone, no label, the same bytes each time, features of even spread."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from core.errors import ConfigError, DataError
from core.learning.augmentation import sample
from core.learning.cases import TrainingCase, augmented, load_cases, save_cases
from core.learning.frozen import study_model
from core.learning.model import SmallHead, describe
from core.learning.weights import manifest_of
from core.presets import preset_of
from core.public_files import keep_public, path_of, public_file
from core.study import ModelSettings, Study
from simulations import pretraining
from simulations.cli import app
from simulations.hospitals import plan_hospital
from simulations.pretraining import FIRST_HOSPITAL, HOSPITALS, PublicCohort, pretrain, public_cases

SETTINGS = ModelSettings(preset="tiny", features=3)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[TrainingCase]:
    return public_cases("training", PublicCohort(12, 3, size=16), tmp_path_factory.mktemp("public"))


@pytest.fixture(scope="module")
def weights(cases: list[TrainingCase]) -> bytes:
    return pretrain(cases, SETTINGS, seed=2, epochs=1)


def test_no_label_goes_into_the_weights(cases: list[TrainingCase], weights: bytes) -> None:
    turned = [replace(case, mgmt=None if case.mgmt is None else 1 - case.mgmt) for case in cases]
    assert pretrain(turned, SETTINGS, seed=2, epochs=1) == weights
    moved = [replace(case, image=case.image + 0.1) for case in cases]
    assert pretrain(moved, SETTINGS, seed=2, epochs=1) != weights


def test_a_study_s_network_has_them_and_trains_its_head_alone(tmp_path: Path, weights: bytes) -> None:
    settings = SETTINGS.model_copy(update={"frozen": keep_public(tmp_path, weights)})
    model = study_model(settings, 5, tmp_path)
    assert [part.name for part in manifest_of(model).parts] == ["methylation.linear.weight", "methylation.linear.bias"]
    assert (preset_of(settings).size, preset_of(settings).digest) == (4, manifest_of(model).digest)
    with safe_open(path_of(tmp_path, settings.frozen), framework="pt") as stored:
        for name in stored.keys():  # noqa: SIM118 (not a dict)
            assert torch.equal(stored.get_tensor(name), model.get_parameter(name))
        about = json.loads(stored.metadata()["gliofed"])
    assert about["trained_on"] == "13 synthetic patients, tumor maps alone"
    other = study_model(settings, 6, tmp_path)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


def test_features_have_an_even_spread_over_the_public_patients(
    tmp_path: Path, cases: list[TrainingCase], weights: bytes
) -> None:
    model = study_model(SETTINGS.model_copy(update={"frozen": keep_public(tmp_path, weights)}), 5, tmp_path)
    head, study = model.methylation, Study(name="pretraining", seed=2)
    assert isinstance(head, SmallHead)
    generator, found = np.random.default_rng(2), []
    for case in cases:
        if case.tumor:
            image, _ = augmented([case], [sample(study.augmentation, generator)], torch.device("cpu"))
            with torch.no_grad():
                found.append(head.projection(describe(*model.eval().look_inside(image)))[0])
    features = torch.stack(found)
    assert features.mean(0).abs().max() < 1e-3
    assert features.T.cov(correction=0).sub(torch.eye(3)).abs().max() < 1e-2
    with torch.no_grad():
        assert head.features(1e6 * torch.ones(1, model.described)).abs().max() <= 3


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path, weights: bytes) -> None:
    frozen = keep_public(tmp_path, weights)
    with pytest.raises(DataError, match="4 features"):
        study_model(ModelSettings(preset="tiny", features=4, frozen=frozen), 5, tmp_path)
    with pytest.raises(ConfigError, match="are not in"):
        study_model(ModelSettings(preset="tiny", features=3, frozen="0" * 64), 5, tmp_path)
    path_of(tmp_path, frozen).write_bytes(weights[:-1] + b"x")
    with pytest.raises(DataError, match="does not hold what its name says"):
        public_file(tmp_path, frozen, "frozen weights")


def test_public_patients_are_nobody_s_and_the_two_sets_share_none() -> None:
    def people(what: str) -> set[tuple[int, ...]]:
        places = range(FIRST_HOSPITAL[what], FIRST_HOSPITAL[what] + HOSPITALS)
        return {plan.seed for place in places for plan in plan_hospital(pretraining.SEED, place, 40, 5, 0.99)}

    sites = {plan.seed for place in range(50) for plan in plan_hospital(7, place, 40, 5, 0.9)}
    assert not people("training") & people("validation")
    assert not (people("training") | people("validation")) & sites


def test_what_was_made_is_kept_and_read_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = PublicCohort(3, 1, size=16)
    first = public_cases("validation", cohort, tmp_path)
    monkeypatch.setattr(pretraining, "make_cases", None)
    again = public_cases("validation", cohort, tmp_path)
    assert [(case.mgmt, case.tumor) for case in first] == [(case.mgmt, case.tumor) for case in again]
    assert sorted(str(case.tumor) for case in first) == ["0", "1", "1", "1"]
    assert all(torch.equal(one.image, two.image) for one, two in zip(first, again, strict=True))


def test_cases_are_read_as_they_were_written_but_for_half_precision(tmp_path: Path) -> None:
    image = torch.linspace(-3, 3, 4 * 16**3).reshape(4, 16, 16, 16)
    written = [
        TrainingCase(image, torch.ones(3, 4, 4, 4), 1, 1),
        TrainingCase(image, torch.zeros(3, 4, 4, 4), None, 0),
        TrainingCase(image, None, 0, None),
    ]
    save_cases(tmp_path / "cases.safetensors", written)
    read = load_cases(tmp_path / "cases.safetensors")
    assert [(case.mgmt, case.tumor) for case in read] == [(1, 1), (None, 0), (0, None)]
    assert read[2].tumor_map is None
    assert torch.equal(read[0].tumor_map, torch.ones(3, 4, 4, 4))
    assert (read[1].image - image).abs().max() < 2e-3
    (tmp_path / "cases.safetensors").write_bytes(b"damaged")
    with pytest.raises(DataError, match="no file of cases"):
        load_cases(tmp_path / "cases.safetensors")


def test_too_few_patients_for_so_many_features_are_refused(cases: list[TrainingCase]) -> None:
    with pytest.raises(ConfigError, match="12 patients with a tumor cannot tell 12 features"):
        pretrain(cases, ModelSettings(preset="tiny", features=12), seed=2, epochs=1)


def test_the_commands_write_what_a_study_names(tmp_path: Path) -> None:
    small = ["--grid", "16", "--patients"]
    done = CliRunner().invoke(
        app, ["pretrain", str(tmp_path), "--preset", "tiny", "--features", "2", "--epochs", "1", *small, "9"]
    )
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["public-cases", str(tmp_path), *small, "2"])
    assert done.exit_code == 0, done.output
    frozen = keep_public(tmp_path, (tmp_path / "frozen.safetensors").read_bytes())
    study_model(ModelSettings(preset="tiny", features=2, frozen=frozen), 1, tmp_path)
    assert len(load_cases(tmp_path / "public.safetensors")) == 2
