"""A federation's rounds without Flower, messages or records: for studies of hundreds of federations on cases in memory.

What a site does and what the server makes of it is the deployment's own code, in the deployment's order, so the weights
are a deployment's to the last bit (tests/simulations/test_rounds.py). Nobody is late, nothing is refused, and a round
brings no receipts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from core.learning.evaluation import evaluate
from core.learning.frozen import study_model
from core.learning.weights import flatten, manifest_of, restore
from core.messages import Counts, Flat
from core.progress import Report, silent
from core.records.home import public_folder
from core.study import Study
from fl_client.dataset import Cohort
from fl_client.training import CPU, train_one_round
from fl_server.aggregation import RunningSum
from fl_server.checkpoints import RoundRecord, RunState, SiteRound, best_round, load_state, round_weights, save_state
from fl_server.rounds import gets_no_better
from fl_server.server_optimizers import ServerState, server_optimizer
from fl_server.strategies import pooled_counts
from simulations.ray_cluster import Mapped

# A site's cases, or what makes or reads them wherever its work is done: small to send to another machine.
Cases = Cohort | Callable[[], Cohort]


@dataclass(frozen=True)
class Federated:
    """What a federation ended with.

    Attributes:
        weights: of the best round.
        best_round: which that was, as `fl_server.checkpoints.best_round` says.
        history: every round's record, the last evaluation's at the end.
    """

    weights: Flat
    best_round: int
    history: tuple[RoundRecord, ...]


@dataclass(frozen=True)
class SiteWork:
    """What one site brings to a round; to the last evaluation only what it validated.

    Attributes:
        validation: counts of the incoming model.
        training: counts of its training.
        examples: how many cases it trained on.
        weights: after its training.
    """

    validation: Counts
    training: Counts
    examples: int = 0
    weights: Flat | None = None


def unwatched(record: RoundRecord) -> None:
    """Watch nothing."""


def federate(
    cohorts: Mapping[str, Cases],
    study: Study,
    folder: Path,
    device: torch.device = CPU,
    report: Report = silent,
    mapped: Mapped = map,
    watch: Callable[[RoundRecord], None] = unwatched,
) -> Federated:
    """Train over sites for a study's rounds, or go on where an earlier call was interrupted.

    Args:
        cohorts: by site, its cases.
        study: every setting.
        folder: of this federation's own; keeps the newest and the best aggregate and what each round brought.
        device: where to train.
        report: told after each round.
        mapped: does the sites' work, as `simulations.ray_cluster.mapper` yields; no bit depends on it.
        watch: given each round's record, those of an earlier call first; an error that it raises ends the federation.
    Raises: FederationError: training diverged, or the folder holds a run of other settings.
    """
    model = study_model(study.model, study.seed, public_folder())
    manifest = manifest_of(model)
    state = load_state(folder, study, manifest, flatten(model))
    for record in state.history:
        watch(record)
    folder.mkdir(parents=True, exist_ok=True)
    rounds, optimizer = study.federation.rounds, server_optimizer(study.strategy)
    names = sorted(cohorts)
    while len(state.history) <= rounds and not gets_no_better(state, study):
        number, total, sites = len(state.history) + 1, RunningSum(manifest.size), {}
        is_last = number > rounds
        work = partial(_work, study=study, number=number, weights=state.weights, is_last=is_last, device=device)
        for site, brought in zip(names, mapped(work, [(site, cohorts[site]) for site in names]), strict=True):
            sites[site] = SiteRound(brought.validation, "", brought.examples, brought.training)
            if brought.weights is not None:
                total.add(brought.weights, brought.examples)
        pooled = pooled_counts({site: brought.validation for site, brought in sites.items()})
        history = (*state.history, RoundRecord(number, True, sites, {}, {}, pooled, 0.0))
        if not is_last:
            after = optimizer.apply(ServerState(state.weights, state.memory), total.mean())
            state = RunState(number, after.weights, history, after.memory)
        else:
            state = replace(state, history=history)
        save_state(folder, study, manifest, state)
        report("federation", number, rounds + 1)
        watch(history[-1])
    best = best_round(state.history, study)
    return Federated(round_weights(folder, best), best, state.history)


def site_round(
    cohort: Cohort, study: Study, site: str, number: int, weights: Flat, is_last: bool, device: torch.device = CPU
) -> SiteWork:
    """Do one site's work of a round: validate the incoming model and, but for the last evaluation, train it on.

    Args:
        cohort: the site's cases.
        study: every setting.
        site: its name, part of the seed.
        number: of the round, 1, 2, ...
        weights: the incoming model's, float32 [parameters].
        is_last: whether the model is only validated.
        device: where to train.
    """
    model = study_model(study.model, study.seed, public_folder())
    restore(model, weights)
    validation = evaluate(model, cohort.validation, device)
    if is_last:
        return SiteWork(validation, {})
    training = train_one_round(model, cohort.training, study, site, number, device)
    return SiteWork(validation, training, len(cohort.training), flatten(model))


def _work(
    item: tuple[str, Cases], *, study: Study, number: int, weights: Flat, is_last: bool, device: torch.device
) -> SiteWork:
    site, cases = item
    cohort = cases if isinstance(cases, Cohort) else cases()
    return site_round(cohort, study, site, number, weights, is_last, device)
