"""What a small head under differential privacy stands on: a network that no hospital's patient has trained.

It learns to map tumors, on synthetic patients of seeds and scanners that no simulated site has, and is never shown a
methylation label. The head's features are the main directions in which descriptions of these patients' tumors vary.

FOLDER/<what>-<hospital>.safetensors   cases, kept so that an interrupted call goes on
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from core.errors import ConfigError
from core.learning.augmentation import sample
from core.learning.cases import TrainingCase, augmented, load_cases, save_cases
from core.learning.evaluation import evaluate
from core.learning.metrics import scores_of
from core.learning.model import GliomaNet, SmallHead, build_model, describe
from core.learning.weights import frozen, restore
from core.progress import Report, silent
from core.study import ModelSettings, Study
from fl_client.training import train_alone
from simulations.tensors import make_cases

# Machines and people that no simulated hospital has: its seeds are people's own, and there are at most 50 of them.
SEED = 2_000_003
FIRST_HOSPITAL = {"training": 1000, "validation": 2000}
HOSPITALS = 8
# The strength of a signal whose labels are dropped: any.
SEPARABILITY = 0.99
# Cases beside those it trains on, by which the best epoch is told.
VALIDATION_SHARE = 8
# A direction in which descriptions hardly vary is noise, and must not be blown up.
LEAST_SPREAD = 1e-3
FROZEN_YET_UNKNOWN = "0" * 64


@dataclass(frozen=True)
class PublicCohort:
    """Synthetic patients who are nobody's.

    Attributes:
        patients, controls: with a tumor and without, in all.
        seed: of all of them.
        size: voxels along each axis.
    """

    patients: int = 320
    controls: int = 40
    seed: int = SEED
    size: int = 48


def public_cases(what: str, cohort: PublicCohort, folder: Path, report: Report = silent) -> list[TrainingCase]:
    """Make public patients, or read those that an earlier call has made.

    Args:
        what: `training` or `validation`: two sets that share no person and no machine.
        cohort: how many.
        folder: keeps them.
        report: told after each hospital.
    """
    cases: list[TrainingCase] = []
    shares = [
        (len(range(place, cohort.patients, HOSPITALS)), len(range(place, cohort.controls, HOSPITALS)))
        for place in range(HOSPITALS)
    ]
    for place, (patients, controls) in enumerate(shares):
        hospital = FIRST_HOSPITAL[what] + place
        path = folder / f"{what}-{hospital}-{'-'.join(str(value) for value in asdict(cohort).values())}.safetensors"
        if patients + controls and not path.exists():
            save_cases(path, make_cases(cohort.seed, hospital, patients, controls, SEPARABILITY, cohort.size))
        cases += load_cases(path) if patients + controls else ()
        report(f"public {what} cases", place + 1, HOSPITALS)
    return cases


def pretrain(
    cases: Sequence[TrainingCase], settings: ModelSettings, seed: int, epochs: int, report: Report = silent
) -> bytes:
    """Return a file of frozen weights: a network that maps tumors, and the features of its small head.

    Args:
        cases: public; whatever methylation labels they have are dropped.
        settings: the network's preset and how many features its head has.
        seed: of weights, order and augmentation.
        epochs: over all cases.
        report: told after each epoch.
    Raises: ConfigError: too few cases for so many features.
    """
    with_tumor = [case for case in cases if case.tumor]
    if len(with_tumor) <= settings.features:
        raise ConfigError(
            f"{len(with_tumor)} patients with a tumor cannot tell {settings.features} features",
            fix="make more public patients, or fewer features",
        )
    study = Study(name="pretraining", seed=seed, model=settings.model_copy(update={"frozen": ""}))
    unlabeled = [replace(case, mgmt=None) for case in cases]
    model = build_model(study.model, seed)
    validation, training = unlabeled[::VALIDATION_SHARE], [
        case for place, case in enumerate(unlabeled) if place % VALIDATION_SHARE
    ]  # fmt: skip
    trained = train_alone(model, training, validation, study, "public patients", epochs, epochs, report=report)
    restore(model, trained.weights)
    dice = scores_of(evaluate(model, validation)).dice
    small = build_model(settings.model_copy(update={"frozen": FROZEN_YET_UNKNOWN}), seed)
    with torch.no_grad():
        for name, values in frozen(small).items():
            if not name.startswith("methylation"):
                values.copy_(model.get_parameter(name))
    _fit_features(small, with_tumor, study)
    about = {
        "preset": settings.preset,
        "features": settings.features,
        "trained_on": f"{len(training)} synthetic patients, tumor maps alone",
        "dice": [None if value is None else round(value, 3) for value in dice],
        "seed": seed,
        "epochs": epochs,
    }
    weights = {name: values.detach().contiguous() for name, values in sorted(frozen(small).items())}
    return save(weights, {"gliofed": json.dumps(about, sort_keys=True)})


def _fit_features(model: GliomaNet, cases: Sequence[TrainingCase], study: Study) -> None:
    """Set the head's projection to the main directions of the cases' descriptions, each with a spread of 1, in place.

    Source: Jolliffe 2002, Principal Component Analysis (of the correlation matrix).
    """
    described = _descriptions(model, cases, study)
    middle, spread = described.mean(0), described.std(0).clamp(min=LEAST_SPREAD)
    _, strengths, directions = torch.linalg.svd((described - middle) / spread, full_matrices=False)
    head = model.methylation
    assert isinstance(head, SmallHead)  # noqa: S101 (built with one)
    count = head.projection.out_features
    scale = strengths[:count] / len(described) ** 0.5
    weight = directions[:count] / scale[:, None] / spread
    with torch.no_grad():
        head.projection.weight.copy_(weight)
        head.projection.bias.copy_(-weight @ middle)


def _descriptions(model: GliomaNet, cases: Sequence[TrainingCase], study: Study) -> Tensor:
    """Return one varied view of each case as the head would be told of it: float64 [cases, described]."""
    generator, found = np.random.default_rng(study.seed), []
    model.eval()
    for case in cases:
        image, _ = augmented([case], [sample(study.augmentation, generator)], torch.device("cpu"))
        with torch.no_grad():
            found.append(describe(*model.look_inside(image))[0].double())
    return torch.stack(found)
