"""The jobs of an experiment that train no network: a linear model on hand-crafted features, kept as others are."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn

from core.files import atomic
from core.learning.cases import TrainingCase
from simulations.code_version import code_version
from simulations.experiment import Experiment
from simulations.fits import Training, fitted_model, is_done, judged_on, together, write_facts
from simulations.hand_crafted import found_maps, train_hand_crafted, true_maps
from simulations.jobs import OF_FOUND, POOLED, Job
from simulations.tensor_cohort import read_people


def run_linear(cases: Path, fits: Path, experiment: Experiment, job: Job) -> None:
    """Fit the linear model of a job and keep what it says.

    Args:
        cases: where `make_people` has put the people.
        fits: folder of all jobs; where regions are found, the pooled network of the same deal is trained already.
        experiment: whose job it is.
        job: what to do.
    """
    if is_done(fits, experiment, job):
        return
    folder = fits / job.key(experiment.people)
    folder.mkdir(parents=True, exist_ok=True)
    pooled = replace(job, how="pooled")  # the same deal's: a key leaves names aside
    model = fitted_model(fits, experiment, pooled) if job.how == OF_FOUND else None
    began = time.process_time()
    cohort = together(cases, experiment, job.deal, job.study.validation_fraction)
    linear = train_hand_crafted(cohort.training, _maps(cohort.training, model), job.study.seed)
    numbers = np.append(linear.weights, linear.intercept).astype(np.float32)
    found = Training(numbers, 0, 0, [], {POOLED: len(cohort.training)})
    write_facts(folder, job, found, code_version(), time.process_time() - began)
    scores: dict[str, NDArray[np.float64]] = {}
    for name, people in judged_on(experiment, job).items():
        pieces = [piece for each in people for piece in read_people(cases, each)]
        said = [linear.methylation([case.image.numpy() for case in piece], _maps(piece, model)) for piece in pieces]
        scores[f"{name}.mgmt"] = np.concatenate(said)
        scores[f"{name}.tumor"] = np.full(len(scores[f"{name}.mgmt"]), np.nan)  # it says nothing of tumors
    with atomic(folder / "scores.safetensors") as temporary:
        save_file(scores, temporary)


def _maps(cases: Sequence[TrainingCase], model: nn.Module | None) -> list[NDArray[np.float32]]:
    return true_maps(cases) if model is None else found_maps(model, [case.image.numpy() for case in cases])
