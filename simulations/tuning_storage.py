"""What a tuning keeps: Optuna's journal of every trial, whatever ends the process, and the best trial's weights.

OUT/trials.log          every trial with its settings, scores, seed and code
OUT/running/<trial>/    a trial's rounds, deleted when it is over
OUT/best.safetensors    the weights of the best trial so far
"""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from safetensors.numpy import save_file

from core.errors import ConfigError
from core.files import atomic
from core.learning.frozen import study_model
from core.learning.weights import manifest_of, named
from core.messages import Flat
from core.records.home import public_folder
from core.study import Study, digest
from fl_client.prepare import INDEX
from fl_client.training import WARM_UP
from simulations.baselines import epochs_of
from simulations.tuning_objective import prepared_sites
from simulations.tuning_space import Tuning

NAME = "tuning"
JOURNAL, BEST, TRIAL = "trials.log", "best.safetensors", "trial"
WITHOUT_SCORE = (TrialState.PRUNED, TrialState.FAIL)


@contextmanager
def what_optuna_may_change() -> Iterator[None]:
    """Use what Optuna calls experimental, on purpose: its interface may change, which its pinned version rules out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def begin_or_resume(tuning: Tuning, out: Path) -> optuna.Study:
    """Return the journal's study; only one process may do so, and before any worker begins.

    Raises: ConfigError: the journal is another tuning's, or its prepared cohorts are not for tuning.
    """
    _mend(out / JOURNAL)
    direction = "maximize" if tuning.goal == "auc" else "minimize"
    study = optuna.create_study(
        storage=_storage(out), study_name=NAME, direction=direction, pruner=_pruner(tuning), load_if_exists=True
    )
    if study.user_attrs.setdefault("settings", _identity(tuning)) != _identity(tuning):
        raise ConfigError(
            f"{out} holds a tuning of other settings or people", fix="name another folder, or restore the settings"
        )
    study.set_user_attr("settings", _identity(tuning))
    if tuning.base is not None and not study.trials:
        study.enqueue_trial(tuning.base)
    return study


def attend(tuning: Tuning, out: Path) -> optuna.Study:
    """Return the same study as a worker sees it, which proposes nothing."""
    return optuna.load_study(storage=_storage(out), study_name=NAME, sampler=RandomSampler(), pruner=_pruner(tuning))


def sampler_of(kind: str, seed: int, *, side_by_side: bool = False) -> BaseSampler:
    """Return what proposes settings.

    Args:
        kind: gp, tpe or random.
        seed: the same one proposes the same after the same trials.
        side_by_side: whether trials run at the same time: what runs already is then not proposed once more.
    """
    with what_optuna_may_change():
        if kind == "gp":
            return _GaussianProcess(seed=seed)
        return TPESampler(seed=seed, constant_liar=side_by_side) if kind == "tpe" else RandomSampler(seed=seed)


class _GaussianProcess(GPSampler):
    """A Gaussian process that takes a trial without a score for as poor as the poorest that has one.

    Optuna's own passes over such trials: where its model expects most but training diverges, it asks again and again.
    """

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        trials = study.get_trials(deepcopy=False)
        scores = [known.values[0] for known in trials if known.state == TrialState.COMPLETE]
        if not scores or all(known.state not in WITHOUT_SCORE for known in trials):
            return super().sample_relative(study, trial, search_space)
        worst = (min if study.direction == StudyDirection.MAXIMIZE else max)(scores)
        seen = optuna.create_study(direction=study.direction)
        for known in trials:
            seen.add_trial(
                create_trial(value=worst, params=known.params, distributions=known.distributions)
                if known.state in WITHOUT_SCORE
                else known
            )
        return super().sample_relative(seen, seen.get_trials(deepcopy=False)[trial.number], search_space)


def keep_best(study: optuna.Study, out: Path, running: Path) -> None:
    """Put the best trial's weights where they stay, and delete what trials that are over have left."""
    for trial in study.get_trials(deepcopy=False):
        folder = running / str(trial.number)
        if trial.state.is_finished() and folder.exists():
            weights = folder / BEST
            if trial.state == TrialState.COMPLETE and study.best_trial.number == trial.number and weights.exists():
                weights.replace(out / BEST)
            shutil.rmtree(folder)


def save_weights(folder: Path, study: Study, trial: int, weights: Flat) -> None:
    """Write a trial's weights by name, with the trial's number."""
    manifest = manifest_of(study_model(study.model, study.seed, public_folder()))
    with atomic(folder / BEST) as temporary:
        save_file(named(manifest, weights), temporary, {TRIAL: str(trial)})


def problem_of(trial: FrozenTrial) -> str:
    """Return why a trial could not be trained, "" where it could."""
    return str(trial.user_attrs.get("problem", ""))


def _storage(out: Path) -> JournalStorage:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return JournalStorage(JournalFileBackend(str(out / JOURNAL)))


def _mend(journal: Path) -> None:
    """Take away a line that was cut off, which would spoil the next one, and the lock of a process that is no more."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if journal.exists():
        lines = journal.read_bytes()
        whole = lines.rfind(b"\n") + 1
        if whole < len(lines):
            with journal.open("r+b") as file:
                file.truncate(whole)


def _identity(tuning: Tuning) -> str:
    """Return a digest of all that a trial's score depends on, but for the code."""
    people = [sha256((site.prepared / INDEX).read_bytes()).hexdigest() for site in prepared_sites(tuning)]
    return sha256("".join([digest(tuning.model_copy(update={"trials": 1})), *people]).encode()).hexdigest()


def _pruner(tuning: Tuning) -> BasePruner:
    """Return what stops poor trials: after whole folds, or in epochs once the learning rate has risen."""
    steps = tuning.folds if tuning.over == "pooled" else epochs_of(tuning.study)
    first = 1 if tuning.over == "pooled" else max(1, ceil(WARM_UP * steps))
    if tuning.pruner == "hyperband":
        return HyperbandPruner(min_resource=first, max_resource=steps)
    return MedianPruner(n_startup_trials=5, n_warmup_steps=first) if tuning.pruner == "median" else NopPruner()
