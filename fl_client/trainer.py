"""A task becomes this site's answer: check it, evaluate what came, train, count."""

import numpy as np
import torch

from core.errors import ConfigError, UpdateRejected
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.model import GliomaNet, build_model
from core.learning.weights import flatten, manifest_of, restore
from core.messages import Counts, Evaluation, Task, Update, settings_digest
from core.study import Study
from fl_client.config import ComputeSettings, SiteConfig
from fl_client.dataset import Cohort, load_cohort
from fl_client.training import evaluate as evaluate_model
from fl_client.training import train_one_round


def train(task: Task, site: SiteConfig, study: Study) -> Update:
    """Evaluate the incoming model on this site's validation cases, then train it for one round.

    Raises:
        UpdateRejected: the task is of another study, model or release.
        ConfigError: this machine lacks the device that the settings name.
        PreparationError: this site's cohort cannot be used.
    """
    model, device = _model_of(task, study), device_of(site.compute)
    manifest = manifest_of(model)
    name, cohort = site.site.name, load_cohort(site.site.prepared, study, site.site.name)
    validation = evaluate_model(model, cohort.validation, device)
    training = train_one_round(model, cohort.training, study, name, task.round, device)
    return Update(
        site=name,
        round=task.round,
        weights=flatten(model),
        manifest=manifest.digest,
        examples=len(cohort.training),
        training=training,
        validation=validation,
        cohort=cohort_counts(cohort),
    )


def evaluate(task: Task, site: SiteConfig, study: Study) -> Evaluation:
    """Evaluate the incoming model on this site's validation cases.

    Raises: as `train`.
    """
    model, device = _model_of(task, study), device_of(site.compute)
    cohort = load_cohort(site.site.prepared, study, site.site.name)
    return Evaluation(site.site.name, task.round, evaluate_model(model, cohort.validation, device))


def cohort_counts(cohort: Cohort) -> Counts:
    """Count a cohort's cases by use, and its training cases by class: the names of `core.updates.COHORT`."""
    mgmt = [case.mgmt for case in cohort.training]
    tumor = [case.tumor for case in cohort.training]
    return {
        "training": float(len(cohort.training)),
        "validation": float(len(cohort.validation)),
        "excluded": float(len(cohort.excluded)),
        "mgmt_unmethylated": float(mgmt.count(0)),
        "mgmt_methylated": float(mgmt.count(1)),
        "tumor_absent": float(tumor.count(0)),
        "tumor_present": float(tumor.count(1)),
    }


def _model_of(task: Task, study: Study) -> GliomaNet:
    """Build the study's model with the task's weights."""
    if task.study != study.name:
        raise UpdateRejected(
            "The task is of another study", fix="start the site's node with the coordinator's study.toml"
        )
    if task.settings != settings_digest(study):
        raise UpdateRejected(
            "The task's study has other settings than this site's study.toml",
            fix="start the site's node with the coordinator's study.toml",
        )
    if task.preprocessing != PREPROCESSING_VERSION:
        raise UpdateRejected(
            "The coordinator's release prepares cases otherwise than this site's",
            fix="bring both sides to the same release and prepare the cohort again",
        )
    model = build_model(study.model, study.seed)
    if task.manifest != manifest_of(model).digest:
        raise UpdateRejected(
            "The task is of another model than the study's", fix="bring both sides to the same release and study.toml"
        )
    if not np.isfinite(task.weights).all():
        raise UpdateRejected("The task's weights hold NaN or infinity", fix="tell the coordinator; do not train on it")
    restore(model, task.weights)
    return model


def device_of(compute: ComputeSettings) -> torch.device:
    """Set the thread count and return the device that the settings ask for.

    Raises: ConfigError: it is CUDA and there is none.
    """
    torch.set_num_threads(compute.threads)
    if compute.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "compute.device is cuda, but PyTorch finds no CUDA device here",
            fix='install the NVIDIA driver and a CUDA build of PyTorch, or set compute.device to "auto" or "cpu"',
        )
    return torch.device(compute.device)
