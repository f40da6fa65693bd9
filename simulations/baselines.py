"""What the federation is compared with: each hospital training alone, and all their patients pooled in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from core.files import atomic
from core.learning.frozen import study_model
from core.learning.prediction import methylation_of
from core.learning.weights import manifest_of, named, restore, unnamed
from core.messages import Flat
from core.progress import Report, silent
from core.records.home import public_folder
from core.study import Study, digest
from fl_client.config import SiteConfig
from fl_client.dataset import Cohort, load_cohort
from fl_client.prepare import INDEX
from fl_client.trainer import device_of
from fl_client.training import CPU, Trained, train_alone

POOLED = "pooled"


@dataclass(frozen=True)
class Baseline:
    """A model trained without a federation.

    Attributes:
        name: `<site> alone` or `pooled`.
        study: says how the model is built.
        weights: of its best epoch.
    """

    name: str
    study: Study
    weights: Flat

    def methylation(self, images: Sequence[NDArray[np.float32]]) -> list[float]:
        """Return the methylation probability of prepared images, each float32 [4, N, N, N]."""
        model = study_model(self.study.model, self.study.seed, public_folder())
        restore(model, self.weights)
        return methylation_of(model, images)


def epochs_of(study: Study) -> int:
    """Return the epochs that a patient of the federation is trained on: what a baseline gets too."""
    return study.training.epochs_per_round * study.federation.rounds


def patience_of(study: Study) -> int:
    """Return the epochs without a new best after which a baseline stops."""
    return max(1, epochs_of(study) // 3)


def alone(
    cohort: Cohort, study: Study, site: str, patience: int, device: torch.device = CPU, report: Report = silent
) -> Trained:
    """Train on one hospital's cases only, from the federation's initial weights and for at most as many epochs.

    Args:
        cohort: its cases.
        study: every setting.
        site: its name, part of the seed.
        patience: epochs without a new best after which it stops, as a hospital by itself would.
        device: where to train.
        report: told after each epoch.
    """
    model = study_model(study.model, study.seed, public_folder())
    epochs = epochs_of(study)
    return train_alone(model, cohort.training, cohort.validation, study, site, epochs, patience, device, report)


def pooled(
    cohorts: Mapping[str, Cohort], study: Study, patience: int, device: torch.device = CPU, report: Report = silent
) -> Trained:
    """Train on all hospitals' cases in one place, each still on its own side of the split."""
    together = Cohort(
        tuple(case for site in sorted(cohorts) for case in cohorts[site].training),
        tuple(case for site in sorted(cohorts) for case in cohorts[site].validation),
        (),
    )
    return alone(together, study, POOLED, patience, device, report)


def train_baselines(
    configs: Mapping[str, SiteConfig], study: Study, out: Path, report: Report = silent
) -> tuple[Baseline, ...]:
    """Train every baseline of a study, or read what an earlier call with the same settings and cases kept.

    Args:
        configs: by site, its settings; its cohort is prepared already.
        study: every setting.
        out: folder of the baselines' weights.
        report: told after each epoch.
    Returns: each site alone, in the given order, then pooled.
    """
    cohorts = {site: load_cohort(config.site.prepared, study, site) for site, config in configs.items()}
    manifest = manifest_of(study_model(study.model, study.seed, public_folder()))
    key = training_key(configs, study)
    device, patience = device_of(next(iter(configs.values())).compute), patience_of(study)
    weights = {}
    for name in (*cohorts, POOLED):
        path = out / f"{name}-{key[:16]}.safetensors"
        if not path.exists():
            if name == POOLED:
                trained = pooled(cohorts, study, patience, device, report)
            else:
                trained = alone(cohorts[name], study, name, patience, device, report)
            with atomic(path) as temporary:
                save_file(named(manifest, trained.weights), temporary)
        weights[name] = unnamed(manifest, load_file(path))
    return tuple(Baseline(name if name == POOLED else f"{name} alone", study, flat) for name, flat in weights.items())


def training_key(configs: Mapping[str, SiteConfig], study: Study) -> str:
    """Return a digest of all that a training depends on: settings, network and prepared cases.

    The network too: weights of another release's must not meet this one's.
    """
    manifest = manifest_of(study_model(study.model, study.seed, public_folder()))
    cohorts = [sha256((config.site.prepared / INDEX).read_bytes()).hexdigest() for config in configs.values()]
    return sha256("".join([digest(study), manifest.digest, *cohorts]).encode()).hexdigest()
