"""What a tuning found, as files: the best study for `fl-server launch`, every trial, and a page with pictures."""

import json
from collections.abc import Mapping
from pathlib import Path

import optuna
import tomli_w
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from core.files import write_atomically
from core.report import Part, Picture, Table, render
from core.study import settings_to_share
from simulations.code_version import codes_sentence
from simulations.tuning_plots import Drawn, draw_history, draw_importances, draw_slices
from simulations.tuning_space import Tuning
from simulations.tuning_storage import problem_of, what_optuna_may_change

WARNING = (
    "Each score below is of the validation patients by which the best trial was chosen, so the best one is too good: "
    "the more trials, the more. What the chosen settings are worth is told by patients who took no part in this."
)
# Trials without which no importance is told.
FEWEST = 8
SHOWN = 10


def write_results(tuning: Tuning, study: optuna.Study, out: Path) -> Path:
    """Write OUT/best-study.toml, OUT/trials.json and OUT/tuning.html.

    Returns: the page's path.
    """
    best = tuning.study_of(study.best_params)
    write_atomically(out / "best-study.toml", tomli_w.dumps(settings_to_share(best)))
    told = {"best": study.best_trial.number, "trials": [as_json(trial) for trial in study.trials]}
    write_atomically(out / "trials.json", json.dumps(told, indent=1))
    page = out / "tuning.html"
    write_atomically(page, render(f"GlioFed: tuning of {tuning.study.name}", WARNING, parts_of(tuning, study)))
    return page


def as_json(trial: FrozenTrial) -> dict[str, object]:
    """Return all that is kept of a trial."""
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        "params": trial.params,
        **trial.user_attrs,
        "course": trial.intermediate_values,
    }


def parts_of(tuning: Tuning, study: optuna.Study) -> list[Part]:
    """Return the page's parts: what was searched and found, how it got better, what mattered, every setting."""
    goal = {"auc": "validation AUC (MGMT)", "loss": "validation loss"}[tuning.goal]
    drawn = [_drawn(trial) for trial in study.trials]
    history = draw_history(
        drawn, goal, "fold" if tuning.over == "pooled" else "epoch", higher_is_better=tuning.goal == "auc"
    )
    slices = draw_slices(drawn, {name: searched.log for name, searched in tuning.search.items()}, goal)
    codes = [trial.user_attrs["code"] for trial in study.trials if "code" in trial.user_attrs]
    told = "Left: each trial's score and the best so far. Right: how each came there; the best one is thick."
    return [
        Part("What was searched", [_sentence(tuning, study), _space(tuning), codes_sentence(codes, "trials")]),
        Part("The best trials", [_table(tuning, study)]),
        Part("How it got better", [Picture(history, told)]),
        Part("What mattered", _importances(study)),
        Part("Each setting", [Picture(slices, "Score of complete trials by each setting; later trials are darker.")]),
    ]


def _sentence(tuning: Tuning, study: optuna.Study) -> str:
    states = [trial.state for trial in study.trials]
    trial = "a whole federated run" if tuning.over == "federated" else f"a {tuning.folds}-fold cross-validation"
    diverged = sum(trial.state == TrialState.PRUNED and problem_of(trial) != "" for trial in study.trials)
    stopped = f"{states.count(TrialState.PRUNED) - diverged} stopped early as poor ones ({tuning.pruner}), "
    stopped = "" if tuning.pruner == "none" else stopped
    seconds = sum(trial.user_attrs.get("cpu_s", 0.0) for trial in study.trials)
    return (
        f"{len(states)} trials proposed by {tuning.sampler}, each {trial}: {states.count(TrialState.COMPLETE)} "
        f"complete, {stopped}{diverged} diverged, {states.count(TrialState.FAIL)} failed; {seconds:.0f} CPU seconds."
    )


def _space(tuning: Tuning) -> Table:
    base = tuning.base or {}
    rows = [
        (
            name,
            ", ".join(map(str, one.choices)) or f"{one.low} to {one.high}{', logarithmic' if one.log else ''}",
            _text(base[name]) if name in base else "",
        )
        for name, one in tuning.search.items()
    ]
    return Table(("setting", "searched", "base study"), rows)


def _table(tuning: Tuning, study: optuna.Study) -> Table:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = sorted(complete, key=lambda trial: trial.values[0], reverse=tuning.goal == "auc")
    base = [trial for trial in ranked[SHOWN:] if trial.params == tuning.base][:1]
    shown = [*ranked[:SHOWN], *base]
    unit = "round" if tuning.over == "federated" else "epoch"
    rows = [
        (
            f"{trial.number}{' (base study)' if trial.params == tuning.base else ''}",
            f"{trial.values[0]:.4f}",
            str(trial.user_attrs["best"]),
            *(_text(trial.params[name]) for name in tuning.search),
        )
        for trial in shown
    ]
    return Table(("trial", tuning.goal, unit, *tuning.search), rows, frozenset({0}))


def _importances(study: optuna.Study) -> list[str | Picture]:
    if len(study.get_trials(states=(TrialState.COMPLETE,))) < FEWEST:
        return [f"With fewer than {FEWEST} complete trials there is no telling what mattered."]
    caption = (
        "Importance by PED-ANOVA (Watanabe 2023): how much a setting's values among the better trials differ from "
        "those among all. A setting that matters only together with another may show little."
    )
    return [Picture(draw_importances(importances_of(study)), caption)]


def importances_of(study: optuna.Study) -> Mapping[str, float]:
    """Return each setting's importance, of 1.

    Source: Watanabe 2023, doi:10.24963/ijcai.2023/488.
    """
    with what_optuna_may_change():
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def _drawn(trial: FrozenTrial) -> Drawn:
    value = trial.value if trial.state == TrialState.COMPLETE else None
    return Drawn(trial.number, value, trial.params, trial.intermediate_values)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
