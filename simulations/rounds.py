"""A federation's rounds without Flower, messages or records: for studies of hundreds of federations on cases in memory.

What a site does and what the server makes of it is the deployment's own code, in the deployment's order, so the weights
are a deployment's to the last bit (tests/simulations/test_rounds.py). Nobody is late, nothing is refused, and a round
brings no receipts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from core.learning.evaluation import evaluate
from core.learning.frozen import study_model
from core.learning.weights import flatten, manifest_of, restore
from core.messages import Flat
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


@dataclass(frozen=True)
class Federated:
    """What a federation ended with.

    Attributes:
        weights: of the round with the lowest pooled validation loss.
        best_round: which that was.
        history: every round's record, the last evaluation's at the end.
    """

    weights: Flat
    best_round: int
    history: tuple[RoundRecord, ...]


def federate(
    cohorts: Mapping[str, Cohort], study: Study, folder: Path, device: torch.device = CPU, report: Report = silent
) -> Federated:
    """Train over sites for a study's rounds, or go on where an earlier call was interrupted.

    Args:
        cohorts: by site, its cases.
        study: every setting.
        folder: of this federation's own; keeps the newest and the best aggregate and what each round brought.
        device: where to train.
        report: told after each round.
    Raises: FederationError: training diverged, or the folder holds a run of other settings.
    """
    model = study_model(study.model, study.seed, public_folder())
    manifest = manifest_of(model)
    state = load_state(folder, study, manifest, flatten(model))
    folder.mkdir(parents=True, exist_ok=True)
    rounds, optimizer = study.federation.rounds, server_optimizer(study.strategy)
    while len(state.history) <= rounds and not gets_no_better(state, study):
        number, total, sites = len(state.history) + 1, RunningSum(manifest.size), {}
        for site in sorted(cohorts):
            restore(model, state.weights)
            sites[site] = SiteRound(evaluate(model, cohorts[site].validation, device), "")
            if number <= rounds:
                cases = cohorts[site].training
                training = train_one_round(model, cases, study, site, number, device)
                total.add(flatten(model), len(cases))
                sites[site] = replace(sites[site], examples=len(cases), training=training)
        pooled = pooled_counts({site: brought.validation for site, brought in sites.items()})
        history = (*state.history, RoundRecord(number, True, sites, {}, {}, pooled, 0.0))
        if number <= rounds:
            after = optimizer.apply(ServerState(state.weights, state.memory), total.mean())
            state = RunState(number, after.weights, history, after.memory)
        else:
            state = replace(state, history=history)
        save_state(folder, study, manifest, state)
        report("federation", number, rounds + 1)
    best = best_round(state.history)
    return Federated(round_weights(folder, best), best, state.history)
