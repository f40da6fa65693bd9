import pytest
from pydantic import ValidationError

from core.study import (
    AugmentationSettings,
    ModelSettings,
    PreprocessingSettings,
    Study,
    digest,
    is_time_to_stop,
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
    assert not {"budget", "hours", "stopping", "strategy"} & settings_to_share(study).keys()
    nightly = Study.model_validate({"name": "a", "hours": {"windows": ["20:00-06:00"]}, "budget": {"money": 5.5}})
    assert Study.model_validate(settings_to_share(nightly)) == nightly


def test_no_bit_depends_on_budget_and_hours() -> None:
    # As the release before them has it: a run of that release goes on.
    assert settings_digest(Study(name="a")) == EARLIER
    study = Study.model_validate({"name": "a", "hours": {"windows": ["20:00-06:00"]}, "budget": {"money": 5}})
    assert settings_digest(study) == EARLIER


def test_bits_depend_on_the_strategy_but_not_on_when_a_run_stops() -> None:
    plain = {"name": "fedavg"}
    assert settings_digest(Study.model_validate({"name": "a", "strategy": plain})) == EARLIER
    assert settings_digest(Study.model_validate({"name": "a", "stopping": {"patience": 3}})) == EARLIER
    strategies = [{"name": name} for name in ("fedprox", "fedavgm", "fedadam")]
    strategies.append({"name": "fedavgm", "momentum": 0.1})
    others = [Study.model_validate({"name": "a", "strategy": each}) for each in strategies]
    assert len({EARLIER, *map(settings_digest, others)}) == 5
    assert [Study.model_validate(settings_to_share(each)) for each in others] == others


def test_a_setting_of_another_strategy_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"strategy\.fedavg\.momentum"):
        Study.model_validate({"name": "a", "strategy": {"name": "fedavg", "momentum": 0.9}})


def test_training_stops_only_past_the_plateau_and_after_its_patience() -> None:
    # Of 10 rounds 5 are plateau: with a patience of 2 not before 7, and two after a best one that came later.
    assert [done for done in range(11) if is_time_to_stop(done, 1, 10, 2)] == [7, 8, 9, 10]
    assert [done for done in range(11) if is_time_to_stop(done, 8, 10, 2)] == [10]
    assert not any(is_time_to_stop(done, 0, 10, 0) for done in range(11))


def test_the_work_of_a_round_depends_on_model_and_training_alone() -> None:
    assert work_digest(Study(name="a")) == work_digest(Study.model_validate({"name": "b", "federation": {"rounds": 3}}))
    assert work_digest(Study(name="a")) != work_digest(Study(name="a", model=ModelSettings(preset="base")))


def test_a_budget_under_differential_privacy_is_refused() -> None:
    private = {"epsilon": 8, "validation": "0" * 64}
    with pytest.raises(ValidationError, match="no site tells how long it works"):
        Study.model_validate({"name": "a", "privacy": private, "budget": {"gpu_hours": 1}})


def test_fedprox_under_differential_privacy_is_refused() -> None:
    private = {"epsilon": 8, "validation": "0" * 64}
    with pytest.raises(ValidationError, match="not for differential privacy"):
        Study.model_validate({"name": "a", "privacy": private, "strategy": {"name": "fedprox"}})
    Study.model_validate({"name": "a", "privacy": private, "strategy": {"name": "fedavgm"}})
