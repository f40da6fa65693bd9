"""The in-memory federation beside a deployment's apps: same bits, whatever the strategy and wherever it stops."""

from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import load_config
from core.study import Study
from fl_client.config import SiteConfig
from fl_client.dataset import Cohort, load_cohort
from fl_server.checkpoints import round_weights
from simulations.federation import RunResult, run_federation
from simulations.rounds import federate
from tests.simulations.factories_federation import a_study, make_sites, write_study

STRATEGIES: list[dict[str, Any]] = [
    {"name": "fedavg"},
    {"name": "fedprox", "mu": 0.5},
    {"name": "fedavgm", "momentum": 0.5},
    {"name": "fedadam", "learning_rate": 0.02},
]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    torch.set_num_threads(1)
    return make_sites(tmp_path_factory.mktemp("hospitals"), {"site-a": 6, "site-b": 5})


def with_settings(rounds: int = 3, **sections: Any) -> Study:
    # Several steps a round: FedProx has nothing to hold back in the first one.
    training = {"batch_size": 1, **sections.pop("training", {})}
    return Study.model_validate(a_study(rounds=rounds).model_dump() | sections | {"training": training})


def deployed(folder: Path, sites: list[Path], study: Study) -> RunResult:
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FL_HOME", str(folder))
        return run_federation(sites, write_study(folder, study), folder / "run")


def cohorts_of(sites: list[Path], study: Study) -> dict[str, Cohort]:
    found = [load_config(SiteConfig, path, {}).site for path in sites]
    return {site.name: load_cohort(site.prepared, study, site.name) for site in found}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy["name"])
def test_a_federation_in_memory_has_a_deployments_bits(tmp_path: Path, sites: list[Path], strategy: Any) -> None:
    study = with_settings(strategy=strategy)
    result = deployed(tmp_path, sites, study)
    found = federate(cohorts_of(sites, study), study, tmp_path / "here")
    assert found.best_round == result.best_round
    for number in {found.best_round, 3}:
        ours, theirs = round_weights(tmp_path / "here", number), round_weights(tmp_path / "run", number)
        assert ours.tobytes() == theirs.tobytes()
    assert [one.validation for one in found.history] == [one.validation for one in result.history]


def test_each_strategy_comes_to_other_weights(tmp_path: Path, sites: list[Path]) -> None:
    ends = set()
    for strategy in STRATEGIES:
        study = with_settings(strategy=strategy)
        folder = tmp_path / strategy["name"]
        federate(cohorts_of(sites, study), study, folder)
        ends.add(round_weights(folder, 3).tobytes())
    assert len(ends) == len(STRATEGIES)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy["name"])
def test_an_interrupted_federation_goes_on_to_the_same_bits(tmp_path: Path, sites: list[Path], strategy: Any) -> None:
    study = with_settings(strategy=strategy)
    cohorts = cohorts_of(sites, study)
    whole = federate(cohorts, study, tmp_path / "whole")

    class Killed(BaseException):
        pass

    def end_after_two(_step: str, done: int, _total: int) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        federate(cohorts, study, tmp_path / "cut", report=end_after_two)
    resumed = federate(cohorts, study, tmp_path / "cut")
    assert round_weights(tmp_path / "cut", 3).tobytes() == round_weights(tmp_path / "whole", 3).tobytes()
    assert resumed.weights.tobytes() == whole.weights.tobytes()


def test_a_strong_pull_holds_a_site_to_what_it_was_sent(tmp_path: Path, sites: list[Path]) -> None:
    def moved(mu: float) -> float:
        study = with_settings(rounds=1, strategy={"name": "fedprox", "mu": mu}, training={"learning_rate": 0.01})
        folder = tmp_path / f"{mu}"
        federate(cohorts_of(sites, study), study, folder)
        none = with_settings(rounds=1, training={"learning_rate": 1e-9})
        federate(cohorts_of(sites, none), none, tmp_path / f"still-{mu}")
        return float(((round_weights(folder, 1) - round_weights(tmp_path / f"still-{mu}", 1)) ** 2).sum())

    assert moved(100) < 0.7 * moved(1e-9)


def test_a_run_that_gets_no_better_stops_at_the_same_round_and_registers_its_best(
    tmp_path: Path, sites: list[Path]
) -> None:
    # At such a rate noise is unlearned at once: an early round stays the best one.
    study = with_settings(rounds=12, stopping={"patience": 2}, training={"learning_rate": 0.3})
    result = deployed(tmp_path, sites, study)
    found = federate(cohorts_of(sites, study), study, tmp_path / "here")
    assert len(found.history) == len(result.history) < 12
    assert found.best_round == result.best_round
    # Past half of twelve rounds, and two validated rounds after the best.
    assert len(found.history) == max(6, found.best_round) + 2 + 1
    assert result.version
