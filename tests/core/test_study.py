import pytest
from pydantic import ValidationError

from core.study import (
    AugmentationSettings,
    ModelSettings,
    PreprocessingSettings,
    Study,
    digest,
    settings_digest,
    settings_to_share,
    work_digest,
)

EARLIER = "25325a3c217522bf145195d3c3b5f302c43bc2a7e068bbe0147b3a992127409b"


def test_a_digest_depends_on_every_setting_and_on_nothing_else() -> None:
    assert digest(PreprocessingSettings()) == digest(PreprocessingSettings(grid=48))
    assert digest(PreprocessingSettings()) != digest(PreprocessingSettings(grid=64))
    assert digest(Study(name="a")) != digest(Study(name="a", augmentation=AugmentationSettings(flip=False)))


def test_a_study_without_budget_and_hours_reads_as_an_earlier_release_wrote_it() -> None:
    study = Study(name="a")
    assert not {"budget", "hours"} & settings_to_share(study).keys()
    nightly = Study.model_validate({"name": "a", "hours": {"windows": ["20:00-06:00"]}, "budget": {"money": 5.5}})
    assert Study.model_validate(settings_to_share(nightly)) == nightly


def test_no_bit_depends_on_budget_and_hours() -> None:
    # As the release before them has it: a run of that release goes on.
    assert settings_digest(Study(name="a")) == EARLIER
    study = Study.model_validate({"name": "a", "hours": {"windows": ["20:00-06:00"]}, "budget": {"money": 5}})
    assert settings_digest(study) == EARLIER


def test_the_work_of_a_round_depends_on_model_and_training_alone() -> None:
    assert work_digest(Study(name="a")) == work_digest(Study.model_validate({"name": "b", "federation": {"rounds": 3}}))
    assert work_digest(Study(name="a")) != work_digest(Study(name="a", model=ModelSettings(preset="base")))


def test_a_budget_under_differential_privacy_is_refused() -> None:
    private = {"epsilon": 8, "validation": "0" * 64}
    with pytest.raises(ValidationError, match="no site tells how long it works"):
        Study.model_validate({"name": "a", "privacy": private, "budget": {"gpu_hours": 1}})
