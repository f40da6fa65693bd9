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
from tempfile import TemporaryDirectory

import numpy as np
import torch

from core.learning.cases import TrainingCase
from core.learning.curves import auc
from core.learning.model import build_model
from core.learning.prediction import predict_scores
from core.learning.weights import restore
from core.messages import Flat
from core.study import Study
from fl_client.dataset import Cohort, Drawn, split
from simulations.baselines import alone, epochs_of, pooled
from simulations.rounds import federate
from simulations.tensor_cohort import People, make_people, read_people

HOSPITALS = 3
PATIENTS, CONTROLS = 16, 2


def cached_cases(
    folder: Path, seed: int, hospital: int, patients: int, controls: int, separability: float, size: int
) -> list[TrainingCase]:
    people = People(seed, hospital, patients, controls, separability, size)
    make_people(folder, [people])
    return [case for piece in read_people(folder, people) for case in piece]


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

    with TemporaryDirectory() as folder:
        timed("federated", lambda: federate(cohorts, study, Path(folder) / "run").weights)
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
