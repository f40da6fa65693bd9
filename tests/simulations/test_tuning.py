import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from optuna import TrialPruned
from optuna.trial import TrialState
from safetensors import safe_open
from safetensors.numpy import load_file
from typer.testing import CliRunner

import simulations
from core.config import load_config
from core.errors import ConfigError, FederationError
from core.learning.frozen import study_model
from core.learning.weights import manifest_of, unnamed
from core.study import FedAdam, FedAvg, FedProx, Study, digest
from fl_client.training import train_alone
from simulations import code_version as code
from simulations import tuning as tuning_module
from simulations import tuning_objective
from simulations.cli import app
from simulations.code_version import code_version
from simulations.rounds import federate
from simulations.tuning import tune
from simulations.tuning_objective import make_cohorts, read_cohorts, train
from simulations.tuning_report import as_json, importances_of, write_results
from simulations.tuning_space import Tuning
from simulations.tuning_storage import begin_or_resume
from tests.killed import in_a_process
from tests.simulations.factories_tuning import PLANTED, SEARCH, a_tuning, always_deadly, bowl, deadly
from tests.simulations.test_baselines import a_site

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """The small tuning's patients, made once."""
    folder = tmp_path_factory.mktemp("people")
    make_cohorts(a_tuning(), folder, 1, lambda *_: None)
    return folder


@pytest.fixture
def out(tmp_path, people):
    shutil.copytree(people, tmp_path / "tuned" / "people")
    return tmp_path / "tuned"


def told(study):
    """All that is kept of the trials, but for how long they took and how often they were begun."""
    return [{k: v for k, v in as_json(t).items() if k not in ("cpu_s", "starts")} for t in study.trials]


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_a_search_finds_a_planted_best_that_the_base_study_misses(sampler, out):
    study = tune(a_tuning(sampler=sampler, trials=25), out, objective=bowl)
    base, best = study.trials[0], study.best_trial
    assert base.params == {"training.learning_rate": 6e-3, "model.dropout": 0.2}
    assert best.value < base.value / 10
    assert best.params["model.dropout"] == pytest.approx(PLANTED["model.dropout"], abs=0.05)


def test_every_trial_keeps_its_settings_seed_code_and_best_round(out):
    tuning = a_tuning()
    study = tune(tuning, out)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    for trial in study.trials:
        kept = as_json(trial)
        assert kept["study"] == digest(tuning.study_of(trial.params))
        assert (kept["seed"], kept["code"]) == (tuning.study.seed, code_version())
        assert kept["best"] in (1, 2)
        assert kept["value"] == trial.intermediate_values[kept["best"]]
        assert kept["cpu_s"] > 0


def test_the_same_tuning_repeats_its_trials(tmp_path, out):
    shutil.copytree(out, tmp_path / "again")
    tuning = a_tuning(sampler="tpe", trials=12)
    assert told(tune(tuning, out, objective=bowl)) == told(tune(tuning, tmp_path / "again", objective=bowl))


def test_a_killed_tuning_goes_on_within_the_trial_and_ends_as_if_nothing_had_been(tmp_path, out):
    shutil.copytree(out, tmp_path / "undisturbed")
    tuning = a_tuning()
    assert in_a_process(lambda: tune(tuning, out, objective=deadly)) == -signal.SIGKILL
    assert (out / "running" / "1" / "state.json").exists()
    study = tune(tuning, out, objective=deadly)
    undisturbed = tune(tuning, tmp_path / "undisturbed")
    assert study.trials[1].user_attrs["starts"] == 2
    assert told(study) == told(undisturbed)
    assert (out / "best.safetensors").read_bytes() == (tmp_path / "undisturbed" / "best.safetensors").read_bytes()


def test_trials_that_several_workers_left_behind_are_done(out):
    tuning = a_tuning(trials=4)
    study = begin_or_resume(tuning, out)
    left_behind = [study.ask(tuning.distributions if number else None) for number in range(4)]
    left_behind[2].set_user_attr("best", 1)
    study.tell(left_behind[2], 0.5)
    states = [trial.state for trial in tune(tuning, out, objective=bowl).trials]
    assert states == [TrialState.COMPLETE] * 4


def test_more_trials_are_added_to_those_that_are_there(out):
    tune(a_tuning(trials=2), out, objective=bowl)
    first = told(tune(a_tuning(trials=2), out, objective=bowl))
    assert len(first) == 2
    assert told(tune(a_tuning(trials=4), out, objective=bowl))[:2] == first


def test_a_trial_that_ends_its_process_each_time_counts_as_failed_at_last(out):
    tuning = a_tuning(trials=3)
    for _ in range(tuning_module.STARTS):
        assert in_a_process(lambda: tune(tuning, out, objective=always_deadly)) == -signal.SIGKILL
    assert in_a_process(lambda: tune(tuning, out, objective=always_deadly)) == 0
    states = [trial.state for trial in begin_or_resume(tuning, out).trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]


def test_a_line_that_was_cut_off_does_not_spoil_the_journal(out):
    first = told(tune(a_tuning(trials=2), out, objective=bowl))
    with (out / "trials.log").open("ab") as journal:
        journal.write(b'{"op_code":4,"wor')
    (out / "trials.log.lock").symlink_to("a process that is no more")
    assert told(tune(a_tuning(trials=3), out, objective=bowl))[:2] == first


def test_workers_side_by_side_train_each_trial_once(out):
    study = tune(a_tuning(trials=4), out, workers=2)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4
    assert len({trial.user_attrs["study"] for trial in study.trials}) == 4
    assert not list((out / "running").iterdir())


def test_a_poor_trial_is_stopped_between_its_rounds(out):
    search = {"training.learning_rate": {"low": 1e-6, "high": 6e-3, "log": True}}
    study_settings = a_tuning().study.model_dump(mode="json") | {"federation": {"rounds": 5}}
    tuning = a_tuning(trials=12, pruner="median", search=search, study=study_settings, sampler="random")
    trained = []

    def counting(tuning, study, cohorts, folder, watch):
        def count(step, value):
            trained.append((folder.name, step))
            watch(step, value)

        return train(tuning, study, cohorts, folder, count)

    study = tune(tuning, out, objective=counting)
    stopped = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert stopped
    for trial in stopped:
        last = max(step for name, step in trained if name == str(trial.number))
        assert last == max(trial.intermediate_values) < 5
        assert trial.number >= 5


def test_hyperband_stops_poor_trials_too(out):
    base = a_tuning().study.model_dump(mode="json") | {"federation": {"rounds": 4}}
    study = tune(a_tuning(sampler="tpe", pruner="hyperband", trials=12, study=base), out, objective=bowl)
    stopped = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert stopped
    assert all(max(trial.intermediate_values) < 4 for trial in stopped)
    assert study.best_value < study.trials[0].value


def test_a_federation_is_watched_from_its_beginning_also_where_it_goes_on(tmp_path, people):
    tuning = a_tuning()
    cohorts, seen = read_cohorts(tuning, people), []

    def stop_after_one(record):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        federate(cohorts, tuning.study, tmp_path, watch=stop_after_one)
    run = federate(cohorts, tuning.study, tmp_path, watch=seen.append)
    assert tuple(seen) == run.history
    assert [record.round for record in seen] == [1, 2, 3]


def test_the_same_settings_are_not_trained_twice(out):
    search = {"model.preset": {"choices": ["tiny", "small"]}}
    begun = []

    def counting(tuning, study, cohorts, folder, watch):
        begun.append(study.model.preset)
        return bowl(tuning, study, cohorts, folder, watch)

    study = tune(a_tuning(search=search, trials=6), out, objective=counting)
    assert sorted(begun) == ["small", "tiny"]
    assert sum("same_as" in trial.user_attrs for trial in study.trials) == 4


def test_the_best_study_is_what_a_launch_loads_and_its_weights_are_the_best_trials(out):
    tuning = a_tuning(trials=6, search=SEARCH | {"augmentation.strength": {"low": 0.0, "high": 2.0}})
    study = tune(tuning, out, objective=bowl)
    page = write_results(tuning, study, out)
    launched = load_config(Study, out / "best-study.toml", {})
    assert digest(launched) == study.best_trial.user_attrs["study"]
    model = study_model(launched.model, launched.seed, Path())
    assert unnamed(manifest_of(model), load_file(out / "best.safetensors")).size == manifest_of(model).size
    with safe_open(out / "best.safetensors", "numpy") as file:
        assert file.metadata() == {"trial": str(study.best_trial.number)}
    kept = json.loads((out / "trials.json").read_text())
    assert kept["best"] == study.best_trial.number
    assert [trial["params"] for trial in kept["trials"]] == [trial.params for trial in study.trials]
    assert page.read_text().count("<img") == 2  # too few trials to tell what mattered


def test_what_decides_the_score_is_more_important_than_what_does_not(out):
    tuning = a_tuning(sampler="random", trials=30, search=SEARCH | {"training.weight_decay": {"low": 0.0, "high": 0.1}})
    study = tune(tuning, out, objective=bowl)
    importances = importances_of(study)
    assert max(importances, key=importances.get) == "model.dropout"
    assert min(importances, key=importances.get) == "training.weight_decay"
    assert write_results(tuning, study, out).read_text().count("<img") == 3


def test_more_epochs_a_round_are_fewer_rounds():
    base = a_tuning().study.model_dump(mode="json") | {"federation": {"rounds": 12}}
    tuning = a_tuning(study=base, search={"training.epochs_per_round": {"low": 1, "high": 24}})
    rounds = {e: tuning.study_of({"training.epochs_per_round": e}).federation.rounds for e in (1, 2, 4, 5, 24)}
    assert rounds == {1: 12, 2: 6, 4: 3, 5: 2, 24: 1}


def test_strength_scales_all_numbers_of_the_augmentation():
    tuning = a_tuning(search={"augmentation.strength": {"low": 0.0, "high": 2.0}})
    base = tuning.study.augmentation
    twice = tuning.study_of({"augmentation.strength": 2.0}).augmentation
    assert (twice.rotation_degrees, twice.zoom) == (2 * base.rotation_degrees, 2 * base.zoom)
    assert (twice.intensity_shift, twice.intensity_scale) == (2 * base.intensity_shift, 2 * base.intensity_scale)
    assert twice.flip is base.flip


def test_a_strategy_is_searched_with_its_numbers_and_without_those_of_others():
    search = {
        "strategy.name": {"choices": ["fedavg", "fedprox", "fedadam"]},
        "strategy.mu": {"low": 1e-3, "high": 1.0, "log": True},
        "strategy.learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
    }
    tuning = a_tuning(search=search)
    numbers = {"strategy.mu": 0.5, "strategy.learning_rate": 0.05}
    assert tuning.study_of({"strategy.name": "fedavg", **numbers}) == tuning.study
    assert tuning.study_of({"strategy.name": "fedprox", **numbers}).strategy == FedProx(mu=0.5)
    assert tuning.study_of({"strategy.name": "fedadam", **numbers}).strategy == FedAdam(learning_rate=0.05)
    assert tuning.base["strategy.name"] == "fedavg"
    from_adam = a_tuning(search=search, study=tuning.study.model_dump(mode="json") | {"strategy": {"name": "fedadam"}})
    assert from_adam.study_of({"strategy.name": "fedavg", **numbers}).strategy == FedAvg()
    with pytest.raises(ConfigError, match=r"strategy.mu.*nor of a strategy that is searched"):
        a_tuning(search={"strategy.mu": search["strategy.mu"]})


def test_all_wrong_settings_are_named_at_once():
    search = {
        "training.learning_rat": {"low": 0.1, "high": 0.2},
        "training.batch_size": {"low": 0, "high": 8},
        "model.preset": {"choices": ["tiny", "huge"]},
        "model.dropout": {"low": 0.1, "high": 1.0},
        "federation.rounds": {"low": 1, "high": 9},
        "augmentation.strength": {"low": 0.0, "high": 9.0},
        "training.precision": {"low": 0, "high": 1},
    }
    with pytest.raises(ConfigError) as caught:
        a_tuning(search=search)
    for name in search:
        assert f"{name}: " in caught.value.problem
    assert "augmentation.zoom" in caught.value.problem


@pytest.mark.parametrize(
    "searched",
    [{}, {"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}, {"choices": [1]}, {"choices": [1, 2], "low": 0}],
)
def test_where_a_setting_is_looked_for_must_make_sense(searched):
    with pytest.raises(ConfigError, match="search"):
        a_tuning(search={"training.batch_size": searched})


def test_differential_privacy_is_not_tuned():
    study = a_tuning().study.model_dump(mode="json") | {"privacy": {"epsilon": 1.0, "validation": "0" * 64}}
    with pytest.raises(ConfigError, match="budget"):
        a_tuning(study=study)


def test_another_tuning_is_not_mixed_in(out):
    tune(a_tuning(), out, objective=bowl)
    with pytest.raises(ConfigError, match="other settings"):
        tune(a_tuning(sampler="tpe"), out, objective=bowl)


def test_a_tuning_whose_trials_all_diverge_says_so(out):
    search = {"training.learning_rate": {"low": 0.5, "high": 1.0}}
    with pytest.raises(FederationError, match="diverged"):
        tune(a_tuning(search=search, trials=1), out, objective=diverging)


@pytest.mark.parametrize(("sampler", "goal"), [("gp", "loss"), ("gp", "auc"), ("tpe", "loss")])
def test_a_search_goes_elsewhere_after_trainings_that_diverged(sampler, goal, out):
    tuning = a_tuning(sampler=sampler, goal=goal, trials=25)
    study = tune(tuning, out, objective=diverging_where_it_would_be_best)
    late = [trial.state for trial in study.trials[13:]]
    assert late.count(TrialState.PRUNED) <= len(late) / 2
    assert abs(study.best_value) < abs(study.trials[0].value) / 2
    sentence = page_of(tuning, study, out)
    diverged = [trial.state for trial in study.trials].count(TrialState.PRUNED)
    assert f"{25 - diverged} complete, {diverged} diverged, 0 failed" in sentence


def diverging_where_it_would_be_best(tuning, study, cohorts, folder, watch):
    if study.training.learning_rate > 0.015:
        raise FederationError("Training diverged", fix="lower training.learning_rate")
    tried = bowl(tuning, study, cohorts, folder, watch)
    return replace(tried, value=-tried.value) if tuning.goal == "auc" else tried


def page_of(tuning, study, out):
    return write_results(tuning, study, out).read_text()


def test_settings_with_which_training_diverged_are_not_tried_again(out):
    search = {"model.preset": {"choices": ["tiny", "small"]}}
    begun = []

    def counting(tuning, study, cohorts, folder, watch):
        begun.append(study.model.preset)
        watch(9, 0.0)  # which Optuna then takes for the value of a trial that is stopped
        if study.model.preset == "small":
            raise FederationError("Training diverged", fix="lower training.learning_rate")
        return bowl(tuning, study, cohorts, folder, watch)

    study = tune(a_tuning(search=search, trials=8), out, objective=counting)
    assert sorted(begun) == ["small", "tiny"]
    again = [trial for trial in study.trials if "same_as" in trial.user_attrs]
    assert {trial.state for trial in again} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert {trial.user_attrs["problem"] for trial in again if trial.state == TrialState.PRUNED} == {"Training diverged"}
    assert study.best_params == {"model.preset": "tiny"}


def test_settings_that_were_stopped_early_are_judged_anew_by_those_who_came_since(out):
    search = {"model.preset": {"choices": ["tiny", "small"]}}
    begun = []

    def stopping(tuning, study, cohorts, folder, watch):
        begun.append(study.model.preset)
        if study.model.preset == "small" and begun.count("small") == 1:
            raise TrialPruned
        return bowl(tuning, study, cohorts, folder, watch)

    study = tune(a_tuning(search=search, sampler="random", trials=8), out, objective=stopping)
    assert sorted(begun) == ["small", "small", "tiny"]
    assert [trial.state for trial in study.trials].count(TrialState.PRUNED) == 1


def test_what_a_gaussian_process_cannot_learn_from_is_refused():
    for pruner in ("median", "hyperband"):
        with pytest.raises(ConfigError, match=r'pruner: .*set sampler = "tpe".* or pruner = "none"'):
            a_tuning(sampler="gp", pruner=pruner)
        assert a_tuning(sampler="tpe", pruner=pruner).pruner == pruner
    assert a_tuning(sampler="gp").pruner == "none"


def test_a_trial_that_went_on_with_other_code_keeps_both(out, monkeypatch):
    tuning, stopped = a_tuning(), []

    def stop_once(tuning, study, cohorts, folder, watch):
        def stop(step, value):
            watch(step, value)
            if folder.name == "1" and not stopped:
                stopped.append(step)
                raise InterruptedError

        return train(tuning, study, cohorts, folder, stop)

    monkeypatch.setattr(code, "code_version", lambda: "old")
    with pytest.raises(InterruptedError):
        tune(tuning, out, objective=stop_once)
    monkeypatch.setattr(code, "code_version", lambda: "new")
    study = tune(tuning, out, objective=stop_once)
    assert [trial.user_attrs["code"] for trial in study.trials] == ["old", "old, new", "new"]
    assert "may not compare: new, old." in page_of(tuning, study, out)


def test_a_killed_worker_is_told_of_and_the_tuning_goes_on(out):
    tuning = a_tuning(sampler="random", trials=3)
    with pytest.raises(FederationError, match="was killed") as told:
        tune(tuning, out, workers=2, objective=deadly)
    assert "fewer --workers" in told.value.fix
    assert [trial.state for trial in tune(tuning, out, objective=deadly).trials] == [TrialState.COMPLETE] * 3


def diverging(tuning, study, cohorts, folder, watch):
    raise FederationError("Training diverged", fix="lower training.learning_rate")


def test_pooled_training_is_cross_validated_over_every_patient_once(people, tmp_path, monkeypatch):
    tuning = a_tuning(over="pooled", folds=2)
    cohorts, seen, tested = read_cohorts(tuning, people), [], []

    def seeing(model, training, validation, *others, **settings):
        tested.extend(map(id, validation))
        assert not {*map(id, training)} & {*map(id, validation)}
        assert len(training) + len(validation) == 8
        return train_alone(model, training, validation, *others, **settings)

    monkeypatch.setattr(tuning_objective, "train_alone", seeing)
    tried = train(tuning, tuning.study, cohorts, tmp_path, lambda step, value: seen.append((step, value)))
    assert len(tested) == len(set(tested)) == 8
    assert [step for step, _ in seen] == [1, 2]
    assert tried.value == seen[-1][1]
    assert np.isfinite(tried.weights).all()


def test_prepared_cohorts_are_tuned_on_and_others_are_another_tuning(tmp_path):
    tuning = a_tuning(people={"prepared": site_files(tmp_path, "north", "south")})
    cohorts = read_cohorts(tuning, tmp_path)
    assert {site: len(cohort.patients) for site, cohort in cohorts.items()} == {"north": 3, "south": 3}
    tune(tuning, tmp_path / "tuned", objective=bowl)
    index = tmp_path / "north" / "cohort.json"
    index.write_text(index.read_text() + " ")
    with pytest.raises(ConfigError, match="people"):
        tune(tuning, tmp_path / "tuned", objective=bowl)


def test_who_is_held_out_takes_no_part_in_a_tuning(tmp_path):
    with pytest.raises(ConfigError, match="outside, whose patients are held out"):
        tune(a_tuning(people={"prepared": site_files(tmp_path, "north", "outside")}), tmp_path, objective=bowl)


def test_two_sites_of_one_name_are_not_taken_for_one(tmp_path):
    prepared = site_files(tmp_path / "one", "north", "south") + site_files(tmp_path / "other", "north")
    tuning = a_tuning(people={"prepared": prepared})
    with pytest.raises(ConfigError, match=r"several sites called north$"):
        read_cohorts(tuning, tmp_path)


def site_files(folder, *names):
    """Make sites with prepared patients, each with its settings file."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{name}.toml" for name in names]
    for number, path in enumerate(paths):
        config = a_site(folder, path.stem, 10 * number)
        path.write_text(tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)))
    return [str(path) for path in paths]


def test_the_command_writes_what_it_found(out):
    toml = out.with_suffix(".toml")
    toml.write_text(tomli_w.dumps(a_tuning(trials=2).model_dump(mode="json", exclude_none=True)))
    done = CliRunner().invoke(app, ["tune", str(toml), "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    assert {"best-study.toml", "best.safetensors", "trials.json", "tuning.html"} <= {
        path.name for path in out.iterdir()
    }
    assert "fl-server launch" in done.stdout


def test_the_shipped_tuning_is_valid():
    shipped = Path(simulations.__file__).parent / "scenarios" / "tuning" / "demo.toml"
    assert load_config(Tuning, shipped, {}).base is not None
