"""One job of an experiment: deal people out, train, and keep what the model says of people who never trained.

FITS/<key>/run/                  a federation's rounds
FITS/<key>/code                  the code that the training under way was begun with
FITS/<key>/weights.safetensors   of the best round or epoch
FITS/<key>/facts.json            what the training came to
FITS/<key>/scores.safetensors    raw scores of held-out and calibration people, in the order of plans; written last
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch import nn

from core.files import atomic, write_atomically
from core.learning.frozen import study_model
from core.learning.metrics import scores_of
from core.learning.prediction import predict_scores
from core.learning.weights import restore
from core.messages import Counts, Flat
from core.progress import Report, silent
from core.records.home import public_folder
from fl_client.dataset import Cohort, Drawn
from simulations.baselines import alone, epochs_of
from simulations.code_version import noted_code
from simulations.experiment import Experiment
from simulations.jobs import POOLED, SLICES, Deal, Job
from simulations.rounds import federate
from simulations.slice_cnn import build_slice_net, train_slices
from simulations.splits import by_label, by_quantity, evenly, numbered_sites
from simulations.tensor_cohort import People, cohort_of, person, read_people

HEADS = ("mgmt", "tumor")
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """What a job came to.

    Attributes:
        job: what was asked.
        best: the round or epoch of the weights.
        rounds: in how many rounds or epochs it trained.
        curve: validation loss and methylation AUC after each, None where they are not defined; a federation that stops
            early does not validate its last round.
        training: people trained on, by site.
        cpu_seconds: of training, evaluation of each round included; None where it was interrupted.
        code: that trained it, as `code_since` tells.
        parameters: numbers in an update.
        scores: by `held_out.mgmt`, `held_out.tumor`, `calibration.mgmt`, `calibration.tumor`, float64 [people].
    """

    job: Job
    best: int
    rounds: int
    curve: list[tuple[float | None, float | None]]
    training: dict[str, int]
    cpu_seconds: float | None
    code: str
    parameters: int
    scores: Mapping[str, Vector]


def run_job(cases: Path, fits: Path, experiment: Experiment, job: Job, report: Report = silent) -> None:
    """Do a job, or what an interrupted call has left of it.

    Args:
        cases: where `make_people` has put the people.
        fits: folder of all jobs.
        experiment: whose job it is.
        job: what to do.
        report: told after each round.
    """
    torch.set_num_threads(1)  # the same bits wherever it runs, and jobs run side by side
    folder = fits / job.key(experiment.people)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "facts.json").exists():
        goes_on, note, began = (folder / "run").exists(), folder / "code", time.process_time()
        code = noted_code(note, goes_on=goes_on)
        found = _trained(cases, folder / "run", experiment, job, report)
        with atomic(folder / "weights.safetensors") as temporary:
            save_file({"weights": found.weights}, temporary)
        write_facts(folder, job, found, code, None if goes_on else time.process_time() - began)
        note.unlink()
    model, path = fitted_model(fits, experiment, job), folder / "scores.safetensors"
    scores = load_file(path) if path.exists() else {}
    for name, people in judged_on(experiment, job).items():
        if f"{name}.{HEADS[0]}" not in scores:
            scores |= _scores(model, cases, people, name)
    with atomic(path) as temporary:
        save_file(scores, temporary)


def is_done(fits: Path, experiment: Experiment, job: Job) -> bool:
    """Say whether a job's training and all that it is to be judged on are kept."""
    path = fits / job.key(experiment.people) / "scores.safetensors"
    if not path.exists():
        return False
    with safe_open(path, "numpy") as kept:
        return all(f"{name}.{head}" in kept.keys() for name in judged_on(experiment, job) for head in HEADS)  # noqa: SIM118


def judged_on(experiment: Experiment, job: Job) -> dict[str, tuple[People, ...]]:
    """Return whom a job's model is judged on, by the name of its scores."""
    people = experiment.people
    judged = {"held_out": experiment.held_out(people.held_out_seeds)}
    return judged | ({"calibration": experiment.held_out(people.calibration_seeds)} if job.calibrates else {})


@dataclass(frozen=True)
class Training:
    """What a job's training came to; fields are as `Fit` has them."""

    weights: Flat
    best: int
    rounds: int
    curve: list[tuple[float | None, float | None]]
    training: dict[str, int]


def write_facts(folder: Path, job: Job, found: Training, code: str, cpu_seconds: float | None) -> None:
    """Write what a training came to, its weights apart."""
    facts = {
        "best": found.best,
        "rounds": found.rounds,
        "curve": found.curve,
        "training": found.training,
        "cpu_seconds": cpu_seconds,
        "code": code,
        "parameters": len(found.weights),
        "job": {"how": job.how, "site": job.site, "deal": asdict(job.deal)},
        "study": job.study.model_dump(mode="json"),
    }
    write_atomically(folder / "facts.json", json.dumps(facts, indent=1))


def read_fit(fits: Path, experiment: Experiment, job: Job) -> Fit:
    """Return what a finished job came to."""
    folder = fits / job.key(experiment.people)
    facts = json.loads((folder / "facts.json").read_text())
    return Fit(
        job,
        facts["best"],
        facts["rounds"],
        [(loss, area) for loss, area in facts["curve"]],
        facts["training"],
        facts["cpu_seconds"],
        facts["code"],
        facts["parameters"],
        load_file(folder / "scores.safetensors"),
    )


def fitted_model(fits: Path, experiment: Experiment, job: Job) -> nn.Module:
    """Return the network of a job that is trained."""
    weights: Flat = load_file(fits / job.key(experiment.people) / "weights.safetensors")["weights"]
    seed = job.study.seed
    model = build_slice_net(seed) if job.how == SLICES else study_model(job.study.model, seed, public_folder())
    restore(model, weights)
    return model


def labels_of(people: Sequence[People]) -> dict[str, Vector]:
    """Return each head's labels in the order of the plans: float64 [people], NaN where unknown."""
    plans = [plan for each in people for plan in each.plans()]
    mgmt = [np.nan if plan.label is None else float(plan.label) for plan in plans]
    return {"mgmt": np.array(mgmt), "tumor": np.array([float(plan.label is not None) for plan in plans])}


def hospitals_of(people: Sequence[People]) -> NDArray[np.int64]:
    """Return each person's hospital in the order of the plans: int64 [people]."""
    return np.concatenate([np.full(each.patients + each.controls, each.hospital) for each in people])


def cohorts_of(cases: Path, experiment: Experiment, deal: Deal, fraction: float) -> dict[str, Cohort]:
    """Deal people out to sites, each site split into training and validation as a deployment splits it.

    Args:
        cases: where `make_people` has put the people.
        experiment: whose people they are.
        deal: who goes where.
        fraction: of each site's people who validate.
    """
    names, people = numbered_sites(experiment.people.hospitals), experiment.trained_on(deal.seed)
    hospitals = [_first(cases, one, deal) for one in people[: deal.sites]]
    everybody = [drawn for hospital in hospitals for drawn in hospital]
    if deal.permutation:
        everybody = _permuted(everybody, np.random.default_rng([deal.seed, deal.permutation]))
    where = _assignment(deal, everybody, [len(hospital) for hospital in hospitals])
    cohorts = {
        name: cohort_of([one for one, site in zip(everybody, where, strict=True) if site == place], fraction)
        for place, name in enumerate(names[: deal.sites])
        if name != deal.without
    }
    for name, added in zip(names, experiment.added_people(deal.added), strict=False):
        more = tuple(case for piece in read_people(cases, added) for case in piece)
        cohorts[name] = replace(cohorts[name], training=(*cohorts[name].training, *more))
    return cohorts


def together(cases: Path, experiment: Experiment, deal: Deal, fraction: float) -> Cohort:
    """Return all people of a deal in one place, split once."""
    everybody = [drawn for one in experiment.trained_on(deal.seed)[: deal.sites] for drawn in _first(cases, one, deal)]
    return cohort_of(everybody, fraction)


def _trained(cases: Path, run: Path, experiment: Experiment, job: Job, report: Report) -> Training:
    study, fraction = job.study, job.study.validation_fraction
    if job.how == "federated":
        cohorts = cohorts_of(cases, experiment, job.deal, fraction)
        found = federate(cohorts, study, run, report=report)
        rounds = min(len(found.history), study.federation.rounds)
        curve = _curve([record.validation for record in found.history[1:]])
        return Training(found.weights, found.best_round, rounds, curve, _sizes(cohorts))
    if job.how in (POOLED, SLICES):
        site, cohort = POOLED, together(cases, experiment, job.deal, fraction)
    else:
        site, cohort = job.site, cohorts_of(cases, experiment, job.deal, fraction)[job.site]
    patience = study.stopping.patience * study.training.epochs_per_round or epochs_of(study)
    if job.how == SLICES:
        trained = train_slices(cohort, study, patience, report=report)
    else:
        trained = alone(cohort, study, site, patience, report=report)
    curve = _curve([validated for _, validated in trained.history])
    return Training(trained.weights, trained.best_epoch, len(curve), curve, _sizes({site: cohort}))


def _curve(counts: Sequence[Counts]) -> list[tuple[float | None, float | None]]:
    scores = [scores_of(each) for each in counts]
    return [(one.loss, one.mgmt.auc) for one in scores]


def _sizes(cohorts: Mapping[str, Cohort]) -> dict[str, int]:
    return {site: len(cohort.training) for site, cohort in cohorts.items()}


def _first(cases: Path, people: People, deal: Deal) -> list[Drawn]:
    """Return a hospital's first patients and controls, each with the lottery ticket of its identity."""
    every = [case for piece in read_people(cases, people) for case in piece]
    chosen = [*range(deal.patients), *range(people.patients, people.patients + deal.controls)]
    plans = people.plans()
    return [person([deal.seed, plans[place].identity], plans[place].identity, every[place]) for place in chosen]


def _permuted(everybody: Sequence[Drawn], rng: np.random.Generator) -> list[Drawn]:
    """Shuffle the methylation labels among those who have one; images, masks and everything else stay."""
    labels = [drawn.case.mgmt for drawn in everybody if drawn.case.mgmt is not None]
    shuffled = iter(rng.permutation(np.array(labels)).tolist())
    return [
        drawn if drawn.case.mgmt is None else replace(drawn, case=replace(drawn.case, mgmt=next(shuffled)))
        for drawn in everybody
    ]


def _assignment(deal: Deal, everybody: Sequence[Drawn], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Return each person's site: int64 [people]."""
    rng = np.random.default_rng([deal.seed, 1])
    how, _, alpha = deal.partition.partition("-")
    if how == "scanner":
        return np.repeat(np.arange(len(sizes)), sizes)
    if how == "label":
        return by_label([drawn.case.mgmt for drawn in everybody], deal.sites, float(alpha), rng)
    if how == "quantity":
        return by_quantity(len(everybody), deal.sites, float(alpha), rng)
    return evenly(len(everybody), deal.sites, rng)


def _scores(model: nn.Module, cases: Path, people: Sequence[People], name: str) -> dict[str, Vector]:
    parts: dict[str, list[Vector]] = {head: [] for head in HEADS}
    for images in _images(cases, people):
        predicted = predict_scores(model, images)
        parts["mgmt"].append(predicted.mgmt)
        parts["tumor"].append(predicted.tumor)
    return {f"{name}.{head}": np.concatenate(values) for head, values in parts.items()}


def _images(cases: Path, people: Sequence[People]) -> Iterator[torch.Tensor]:
    for each in people:
        for piece in read_people(cases, each):
            yield torch.stack([case.image for case in piece]).to(memory_format=torch.channels_last_3d)
