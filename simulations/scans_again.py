"""How one federation of an experiment fares on worse scans, and on second scans of the same patients."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from core.files import write_atomically
from core.learning.cases import TrainingCase
from core.learning.prediction import methylation_of
from core.progress import Report, silent
from core.report import Part
from simulations.experiment import Experiment
from simulations.features_by_label import features_by_label_part
from simulations.fits import fitted_model
from simulations.hand_crafted import true_maps
from simulations.jobs import Job
from simulations.patients import PatientPlan
from simulations.repeatability import agreement, repeatability, repeatability_part
from simulations.robustness import Effect, robustness, robustness_part
from simulations.scanners import scanner_of
from simulations.tensor_cohort import read_people

FoundT = TypeVar("FoundT")
SAME, OTHER = "same scanner", "another hospital's scanner"


def scans_again(
    cases: Path, fits: Path, experiment: Experiment, job: Job, report: Report = silent
) -> tuple[list[Part], tuple[Effect, ...]]:
    """Judge a finished job's model on worse scans and on second scans, and its patients' features by label.

    Args:
        cases: where `make_people` has put the people.
        fits: folder of all jobs; keeps what is found beside the job.
        experiment: says how many held-out patients of each hospital.
        job: of a network.
        report: told after each step.
    Returns: the report's parts, and what each corruption does.
    """
    folder, count = fits / job.key(experiment.people), experiment.scans_again
    score = partial(methylation_of, fitted_model(fits, experiment, job))
    patients, plans = _patients(cases, experiment)
    effects = _kept(
        folder / f"worse-scans-{count}.json",
        TypeAdapter(tuple[Effect, ...]),
        lambda: robustness(score, patients, seed=job.study.seed, report=report),
    )
    second = _kept(
        folder / f"second-scans-{count}.json",
        TypeAdapter(dict[str, tuple[list[float], list[float]]]),
        lambda: _second_scans(score, plans, experiment, report),
    )
    agreements = {name: agreement(*scores) for name, scores in second.items()}
    by_label = features_by_label_part(patients, true_maps(patients), "the regions as planted")
    return [robustness_part(effects), repeatability_part(agreements), by_label], effects


def _second_scans(
    score: Callable[[Sequence[NDArray[np.float32]]], list[float]],
    plans: Sequence[Sequence[PatientPlan]],
    experiment: Experiment,
    report: Report,
) -> dict[str, tuple[list[float], list[float]]]:
    """Return by scanner of the second scan each patient's two probabilities, hospital by hospital."""
    found: dict[str, tuple[list[float], list[float]]] = {SAME: ([], []), OTHER: ([], [])}
    for hospital, ours in enumerate(plans):
        first = scanner_of(hospital, coarse=True)
        others = {SAME: first, OTHER: scanner_of((hospital + 1) % len(plans), coarse=True)}
        for name, again in others.items():
            told = repeatability(score, ours, first, again, experiment.grid, report)
            found[name][0].extend(told.first.tolist())
            found[name][1].extend(told.second.tolist())
    return found


def _patients(cases: Path, experiment: Experiment) -> tuple[list[TrainingCase], list[list[PatientPlan]]]:
    """Return the first held-out patients of each hospital, and their plans by hospital."""
    people = experiment.held_out(experiment.people.held_out_seeds[:1])
    patients: list[TrainingCase] = []
    for each in people:
        ours = (case for piece in read_people(cases, each) for case in piece)
        patients += islice(ours, experiment.scans_again)
    return patients, [each.plans()[: experiment.scans_again] for each in people]


def _kept(path: Path, kind: TypeAdapter[FoundT], find: Callable[[], FoundT]) -> FoundT:
    """Return what an earlier call has found, or find it and keep it."""
    if not path.exists():
        write_atomically(path, kind.dump_json(find()))
    return kind.validate_python(json.loads(path.read_bytes()))
