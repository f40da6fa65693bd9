"""How close federated averaging comes to training on pooled patients, and how far beyond each hospital alone.

    nice python -m bench.federated_vs_pooled CACHE [--seeds 3] [--first-seed 1] [--unseen 400] [--json FILE]

Cases come straight from simulations/tensors.py: three hospitals of 16 patients and 2 controls, each with its own
scanner; the unseen patients are from the same three machines and a fourth. Every model gets equal epochs, the same
initial weights and the same split. CACHE keeps the cases. One thread, so that figures repeat.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from core.learning.cases import TrainingCase, load_cases, save_cases
from core.learning.curves import auc
from core.learning.evaluation import evaluate
from core.learning.metrics import scores_of
from core.learning.model import build_model
from core.learning.prediction import predict_scores
from core.learning.weights import flatten, restore
from core.messages import Flat
from core.study import Study
from fl_client.dataset import Cohort, Drawn, split
from fl_client.training import train_one_round
from simulations.baselines import alone, epochs_of, pooled
from simulations.tensors import make_cases

HOSPITALS = 3
PATIENTS, CONTROLS = 16, 2


def cached_cases(
    folder: Path, seed: int, hospital: int, patients: int, controls: int, separability: float, size: int
) -> list[TrainingCase]:
    path = folder / f"{seed}-{hospital}-{patients}-{controls}-{separability}-{size}.safetensors"
    if not path.exists():
        save_cases(path, make_cases(seed, hospital, patients, controls, separability, size))
    return list(load_cases(path))


def federate(cohorts: dict[str, Cohort], study: Study) -> Flat:
    """FedAvg as the paper has it: local training, then the average of weights by number of cases.

    Returns: the round with the lowest loss over all validation patients, as pooled training keeps its best epoch.
    """
    model = build_model(study.model, study.seed)
    weights = best = flatten(model)
    lowest = float("inf")
    validation = [case for cohort in cohorts.values() for case in cohort.validation]
    for round_number in range(1, study.federation.rounds + 1):
        total, examples = np.zeros(len(weights), np.float64), 0
        for site, cohort in sorted(cohorts.items()):
            restore(model, weights)
            train_one_round(model, cohort.training, study, site, round_number)
            total += flatten(model).astype(np.float64) * len(cohort.training)
            examples += len(cohort.training)
        weights = (total / examples).astype(np.float32)
        restore(model, weights)
        loss = scores_of(evaluate(model, validation)).loss
        assert loss is not None
        if loss < lowest:
            best, lowest = weights, loss
    return best


def measure(study: Study, weights: Flat, unseen: list[TrainingCase]) -> float:
    model = build_model(study.model, study.seed)
    restore(model, weights)
    scores = [predict_scores(model, case.image[None]).mgmt[0] for case in unseen]
    area = auc([case.mgmt for case in unseen], scores)
    assert area is not None
    return area


def one_seed(study: Study, cohorts: dict[str, Cohort], unseen: list[TrainingCase]) -> dict[str, float]:
    row: dict[str, float] = {}

    def timed(name: str, train) -> None:
        start = time.process_time()
        weights = train()
        row[f"{name} CPU s"] = time.process_time() - start
        row[name] = measure(study, weights, unseen)

    timed("federated", lambda: federate(cohorts, study))
    timed("pooled", lambda: pooled(cohorts, study, epochs_of(study)).weights)
    for site, cohort in cohorts.items():
        timed(f"{site} alone", lambda site=site, cohort=cohort: alone(cohort, study, site, epochs_of(study)).weights)
    return row


def summarize(rows: list[dict[str, float]]) -> dict[str, float]:
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    single = [name for name in means if name.endswith(" alone")]
    return {
        **means,
        "mean alone": float(np.mean([means[name] for name in single])),
        "share of pooled above chance": (means["federated"] - 0.5) / (means["pooled"] - 0.5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--unseen-seed", type=int, default=1_000_003)
    parser.add_argument("--unseen", type=int, default=400)
    parser.add_argument("--separability", type=float, default=0.99)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    unseen = []
    for hospital in range(HOSPITALS + 1):
        count = arguments.unseen // (HOSPITALS + 1)
        unseen += cached_cases(arguments.cache, arguments.unseen_seed, hospital, count, 0, arguments.separability, 48)
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        study = Study(name="bench", seed=seed)
        cohorts = {}
        for hospital in range(HOSPITALS):
            site = f"site-{hospital + 1}"
            cases = cached_cases(arguments.cache, seed, hospital, PATIENTS, CONTROLS, arguments.separability, 48)
            patients = [(Drawn(*[f"{number:03d}"] * 3, case),) for number, case in enumerate(cases)]
            cohorts[site] = Cohort(*split(patients, study.validation_fraction), ())
        rows.append(one_seed(study, cohorts, unseen))
        print(seed, json.dumps(rows[-1]), flush=True)
    summary = summarize(rows)
    for name, value in summary.items():
        print(f"{name:34s} {value:8.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, "mean": summary}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
