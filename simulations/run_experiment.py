"""Run an experiment: make the people, do the jobs side by side, write what they say.

OUT/fits/         every training, see `simulations.fits`
OUT/report.html   what they say together
OUT/results.json  the same as figures
OUT/tracking/     each training as `simulations.tracking` keeps it
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from core.errors import FLError
from core.files import write_atomically
from core.learning.curves import auc
from core.progress import Report, silent
from core.report import render
from simulations.experiment import Experiment
from simulations.fits import Fit, Vector, is_done, labels_of, read_fit, run_job
from simulations.jobs import OF_FOUND, OF_MASKS, Job, jobs_of
from simulations.linear_fits import run_linear
from simulations.ray_cluster import Mapped, mapper
from simulations.scans_again import scans_again
from simulations.scenario_report import WARNING
from simulations.tensor_cohort import make_people
from simulations.tracking import Tool, check_tools, track
from simulations.trust import trust_of
from simulations.worth import worth_of
from simulations.worth_found import Worth
from simulations.worth_report import worth_parts


def run_experiment(
    experiment: Experiment,
    out: Path,
    cases: Path,
    workers: int,
    ray: str | None = None,
    tools: Collection[Tool] = (),
    report: Report = silent,
) -> tuple[Worth, Path]:
    """Run an experiment, or finish one that was interrupted.

    Args:
        experiment: its settings.
        out: a folder of its own.
        cases: of synthetic people, whom several experiments may share.
        workers: trainings side by side, where there is no Ray cluster.
        ray: address of a Ray cluster, all of whose machines have `out` and `cases` at the same path; None: none.
        tools: where else to write each training.
        report: told after each training.
    Returns: what it says, and the page's path.
    Raises: FLError: as the steps do.
    """
    check_tools(tools)
    people = experiment.people
    everybody = [each for seed in experiment.seeds for each in experiment.trained_on(seed)]
    everybody += [each for count in experiment.added.counts for each in experiment.added_people(count)]
    everybody += experiment.held_out(people.held_out_seeds)
    everybody += experiment.held_out(people.calibration_seeds) if experiment.calibrate else ()
    jobs, fitted = jobs_of(experiment), out / "fits"
    with mapper(ray, workers) as mapped:  # first of all: a cluster that is not there is told of at once
        make_people(cases, everybody, mapped, report)
        # Where regions are found, it is by a network that is trained before.
        for first in (True, False):
            some = [job for job in jobs if (job.how != OF_FOUND) == first]
            do_jobs(experiment, some, fitted, cases, mapped, report)
    fits = [read_fit(fitted, experiment, job) for job in jobs]
    labels = labels_of(experiment.held_out(people.held_out_seeds))["mgmt"]
    for fit in fits:
        _track(labels, fit, out / "tracking", tools)
    worth = worth_of(experiment, fits)
    trusted, figures = trust_of(experiment, fits)
    page, parts = out / "report.html", [*worth_parts(experiment, worth), *trusted]
    if experiment.scans_again:
        (federated, *_) = [job for job in jobs if job.how == "federated"]
        again, worse = scans_again(cases, fitted, experiment, federated, report)
        parts += again
    write_atomically(page, render(f"GlioFed: experiment {experiment.study.name}", WARNING, parts))
    found = {"experiment": experiment.model_dump(mode="json"), **worth.as_json(), "trust": figures}
    found |= {"worse_scans": [asdict(effect) for effect in worse]} if experiment.scans_again else {}
    write_atomically(out / "results.json", json.dumps(found, indent=1))
    return worth, page


def do_jobs(
    experiment: Experiment, jobs: Sequence[Job], fits: Path, cases: Path, mapped: Mapped, report: Report = silent
) -> None:
    """Do whatever of the jobs is not done, side by side; jobs that ask the same are done once."""
    # Of two jobs that ask the same training, the comparison's, which come first, ask more of its model.
    missing = {job.key(experiment.people): job for job in reversed(jobs) if not is_done(fits, experiment, job)}
    done = len(jobs) - len(missing)
    report("train", done, len(jobs))
    for _ in mapped(partial(_do, cases, fits, experiment), reversed(missing.values())):
        done += 1
        report("train", done, len(jobs))


def _do(cases: Path, fits: Path, experiment: Experiment, job: Job) -> None:
    try:
        if job.how in (OF_MASKS, OF_FOUND):
            run_linear(cases, fits, experiment, job)
        else:
            run_job(cases, fits, experiment, job)
    except FLError as error:
        raise type(error)(f"{job.name}: {error.problem}", fix=error.fix) from None


def _track(labels: Vector, fit: Fit, folder: Path, tools: Collection[Tool]) -> None:
    known = ~np.isnan(labels)
    area = auc(labels[known], fit.scores["held_out.mgmt"][known])
    told = [{"validation/loss": loss, "validation/mgmt_auc": curve} for loss, curve in fit.curve]
    steps = {
        number: {name: value for name, value in one.items() if value is not None} for number, one in enumerate(told, 1)
    }
    track(
        folder,
        re.sub(r"[^a-z0-9.]+", "-", fit.job.name.lower()),
        fit.job.study.model_dump(mode="json") | {"how": fit.job.how, "deal": asdict(fit.job.deal)},
        steps,
        {"best": fit.best}
        | ({} if fit.cpu_seconds is None else {"cpu_seconds": fit.cpu_seconds})
        | ({} if area is None else {"held_out/mgmt_auc": area}),
        tools,
    )
