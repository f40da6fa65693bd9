"""Bayesian hyperparameter search: Optuna proposes settings, whole trainings judge them, and nothing of it is lost.

This process alone proposes and finishes trials; workers train them and report to the journal after each round. A trial
that was running when its process died goes on under its number, from its last round. With one worker the same tuning
gives the same trials, however often it is interrupted; with several, what is proposed depends on who is ready first.

Sources: Akiba 2019, doi:10.1145/3292500.3330701 (Optuna); Bergstra 2011 (tree-structured Parzen estimators); Li 2018,
JMLR 18:185 (hyperband); Golovin 2017, doi:10.1145/3097983.3098043 (the median rule).
"""

import time
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path

import optuna
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial, TrialState

from core.errors import ConfigError, FederationError
from core.files import only_process
from core.progress import Report, silent
from core.study import Study, digest
from fl_client.dataset import Cohort
from fl_client.training import seed_of
from simulations.code_version import code_since
from simulations.ray_cluster import pool
from simulations.tuning_objective import Objective, make_cohorts, read_cohorts, train
from simulations.tuning_space import Tuning
from simulations.tuning_storage import attend, begin_or_resume, keep_best, problem_of, sampler_of, save_weights

RUNNING, PEOPLE = "running", "people"
# How often a trial is begun before it counts as failed: it may be what ends its process.
STARTS = 3


@dataclass(frozen=True)
class Job:
    """What a worker is given: a trial by number, and its study."""

    tuning: Tuning
    study: Study
    out: Path
    number: int
    objective: Objective


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        value: its score, None where it was stopped.
        best: the round or epoch that has it; 0 where it was stopped.
        problem: why it could not be trained, "" where it could.
        cpu_s: CPU seconds since it was last begun.
    """

    value: float | None
    best: int
    problem: str
    cpu_s: float


def tune(
    tuning: Tuning,
    out: Path,
    workers: int = 1,
    report: Report = silent,
    objective: Objective = train,
    ray: str | None = None,
) -> optuna.Study:
    """Run a tuning's trials, or go on where an earlier call was interrupted.

    Args:
        tuning: its settings; only `trials` may differ from an earlier call's.
        out: folder of the tuning's own.
        workers: trials side by side.
        report: told after each trial.
        objective: what a trial is.
        ray: address of a Ray cluster, all of whose machines have `out` at the same path; None: processes of this one.
    Returns: every trial; one at least is complete.
    Raises:
        ConfigError: `out` holds another tuning.
        FederationError: another process is at it, a trial's process was ended, or no trial could be completed.
    """
    out.mkdir(parents=True, exist_ok=True)
    taken = FederationError(f"Another process is tuning in {out}", fix="let it finish, or stop it and call again")
    with only_process(out / ".lock", taken):
        make_cohorts(tuning, out / PEOPLE, workers, report)
        study = begin_or_resume(tuning, out)
        with pool(ray, workers) as executor:
            _Trials(study, tuning, out, executor, workers, objective).run(report)
    if not study.get_trials(states=(TrialState.COMPLETE,)):
        problems = {problem_of(trial) for trial in study.trials} - {""}
        raise FederationError(
            f"No trial could be completed. {'; '.join(sorted(problems))}", fix="search elsewhere, or allow more trials"
        )
    return study


class _Trials:
    """The trials of a tuning that run at the moment, and what is done between them."""

    def __init__(
        self, study: optuna.Study, tuning: Tuning, out: Path, pool: Executor, workers: int, objective: Objective
    ) -> None:
        self.study, self.tuning, self.out, self.pool = study, tuning, out, pool
        self.workers, self.objective = workers, objective
        self.running: dict[Future[Outcome], Trial] = {}

    def run(self, report: Report) -> None:
        """Run all that are wanted, telling how many are over."""
        while True:
            keep_best(self.study, self.out, self.out / RUNNING)
            over = {trial.number for trial in self.study.get_trials(deepcopy=False) if trial.state.is_finished()}
            report("trials", len(over), max(len(over), self.tuning.trials))
            following = next(n for n in count() if n not in over | {trial.number for trial in self.running.values()})
            if following < self.tuning.trials and len(self.running) < self.workers:
                self._begin(self._propose(following))
            elif self.running:
                for future in wait(self.running, return_when=FIRST_COMPLETED).done:
                    self._end(self.running.pop(future), future.result())
            else:
                return

    def _propose(self, number: int) -> Trial:
        """Return the trial with this number, new or interrupted; its number decides what is proposed."""
        seed = seed_of(self.tuning.seed, "trial", number) % 2**32
        self.study.sampler = sampler_of(self.tuning.sampler, seed, side_by_side=self.workers > 1)
        known = self.study.get_trials(deepcopy=False)[number:]
        is_new = not known or known[0].state == TrialState.WAITING
        trial = self.study.ask() if is_new else Trial(self.study, known[0]._trial_id)
        for name, distribution in self.tuning.distributions.items():
            if isinstance(distribution, CategoricalDistribution):
                trial.suggest_categorical(name, distribution.choices)
            elif isinstance(distribution, IntDistribution):
                trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
            elif isinstance(distribution, FloatDistribution):
                trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
        return trial

    def _begin(self, trial: Trial) -> None:
        """Hand a trial to a worker, or end it at once where its score is known or it is known to have none."""
        starts = trial.user_attrs.get("starts", 0) + 1
        if starts > STARTS:
            self._end(trial, Outcome(None, 0, f"It ended its process {STARTS} times", 0.0), TrialState.FAIL)
            return
        try:
            study = self.tuning.study_of(trial.params)
        except ConfigError as error:
            self._end(trial, Outcome(None, 0, error.problem, 0.0), TrialState.FAIL)
            return
        code = code_since(trial.user_attrs.get("code", ""))
        decisive = {"study": digest(study), "seed": study.seed, "code": code}
        for name, value in {"starts": starts, **decisive}.items():
            trial.set_user_attr(name, value)
        for same in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            value = same.value if same.state == TrialState.COMPLETE else None  # a stopped one's is its last report
            if (value is not None or problem_of(same)) and decisive.items() <= same.user_attrs.items():
                trial.set_user_attr("same_as", same.number)
                self._end(trial, Outcome(value, same.user_attrs["best"], problem_of(same), 0.0))
                return
        job = Job(self.tuning, study, self.out, trial.number, self.objective)
        self.running[self.pool.submit(try_out, job)] = trial

    def _end(self, trial: Trial, outcome: Outcome, stopped: TrialState = TrialState.PRUNED) -> None:
        for name in ("best", "problem", "cpu_s"):
            trial.set_user_attr(name, getattr(outcome, name))
        self.study.tell(trial, outcome.value, state=stopped if outcome.value is None else None)


def try_out(job: Job) -> Outcome:
    """Train one trial in this process, which the journal is told of after each round.

    A training that diverges is a trial without a score, by which gp and tpe learn where not to look.
    """
    began = time.process_time()
    torch.set_num_threads(1)  # one order of adding up, so that trials repeat
    study = attend(job.tuning, job.out)
    known = study.get_trials(deepcopy=False)[job.number]
    trial, told = Trial(study, known._trial_id), set(known.intermediate_values)

    def watch(step: int, value: float) -> None:
        if step not in told:  # by this trial itself, before it was interrupted
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned

    folder = job.out / RUNNING / str(job.number)
    value, best, problem = None, 0, ""
    try:
        tried = job.objective(job.tuning, job.study, _cohorts(job.tuning.model_dump_json(), job.out), folder, watch)
        save_weights(folder, job.study, job.number, tried.weights)
        value, best = tried.value, tried.best
    except optuna.TrialPruned:
        pass
    except FederationError as error:
        problem = error.problem
    return Outcome(value, best, problem, time.process_time() - began)


@lru_cache(maxsize=1)
def _cohorts(tuning: str, out: Path) -> dict[str, Cohort]:
    return read_cohorts(Tuning.model_validate_json(tuning), out / PEOPLE)
