"""A tuning's trials on two Ray nodes: each trained once, to what it comes to in this process."""

from pathlib import Path

from optuna.trial import TrialState

from simulations.tuning import tune
from tests.simulations.factories_ray import two_nodes
from tests.simulations.factories_tuning import a_tuning


def test_trials_on_a_ray_cluster_come_to_what_they_come_to_here(tmp_path: Path) -> None:
    # Random settings depend on a trial's number alone, not on which others are over.
    tuning = a_tuning(sampler="random", trials=3)
    with two_nodes() as cluster:
        there = tune(tuning, tmp_path / "there", workers=2, ray=cluster.address)
    here = tune(tuning, tmp_path / "here")
    assert [trial.state for trial in there.trials] == [TrialState.COMPLETE] * 3
    assert [trial.params for trial in there.trials] == [trial.params for trial in here.trials]
    assert [trial.value for trial in there.trials] == [trial.value for trial in here.trials]
    best = [tmp_path / side / "best.safetensors" for side in ("there", "here")]
    assert best[0].read_bytes() == best[1].read_bytes()
