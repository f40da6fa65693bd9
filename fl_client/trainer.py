"""A task becomes this site's answer: check it, evaluate what came, train, count."""

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
import torch

from core.errors import ConfigError, UpdateRejected
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.evaluation import evaluate as evaluate_model
from core.learning.frozen import study_model
from core.learning.model import GliomaNet
from core.learning.weights import flatten, manifest_of, restore
from core.messages import Counts, Evaluation, Records, Task, Update, evaluation_records, update_records
from core.progress import Report, silent
from core.records.home import public_folder
from core.study import Study, settings_digest
from fl_client.config import ComputeSettings, SiteConfig
from fl_client.dataset import Cohort, load_cohort
from fl_client.differential_privacy import Loss, SecureRandom
from fl_client.epoch_checkpoint import CheckpointFile
from fl_client.privacy_ledger import PrivacyLedger
from fl_client.private_training import Seen, head_losses, look_up, noise_of, request_for, train_privately, whole_losses
from fl_client.training import train_one_round

# Of a site that keeps no audit log, in a simulation on one machine: that of a log without events.
NO_RECEIPT = "0" * 64
# Of so many sites and studies; they are small, but looking them up takes a minute.
FEATURES_KEPT = 64
# By site, study, device and scans: what a frozen network sees of each patient, the same in every round.
_FEATURES: dict[tuple[Hashable, ...], list[Seen]] = {}


def answer(
    kind: str,
    task: Task,
    site: SiteConfig,
    study: Study,
    receipt: str = NO_RECEIPT,
    report: Report = silent,
    checkpoints: CheckpointFile | None = None,
    ledger: PrivacyLedger | None = None,
) -> Records:
    """Answer a task, as the resident trainer does and as a simulation does in its own process.

    Args:
        kind: `train` or `evaluate`, Flower's message types.
        task: from the coordinator.
        site: this site's settings.
        study: every setting that all sites share.
        receipt: head of this site's audit log once it holds the task.
        report: told after each batch; an error that it raises ends the work.
        checkpoints: where the training keeps how far it is, and from where it goes on; None for a simulation.
        ledger: where the patients' privacy is set aside before they are read; None for a simulation, which keeps none.
    Raises: as `train`.
    """
    if kind == "train":
        return update_records(train(task, site, study, receipt, report, checkpoints, ledger))
    if kind == "evaluate":
        return evaluation_records(evaluate(task, site, study, receipt, report, ledger))
    raise UpdateRejected("The task is of a kind that this release does not know", fix="bring both sides to one release")


def train(
    task: Task,
    site: SiteConfig,
    study: Study,
    receipt: str = NO_RECEIPT,
    report: Report = silent,
    checkpoints: CheckpointFile | None = None,
    ledger: PrivacyLedger | None = None,
) -> Update:
    """Evaluate the incoming model on this site's validation cases, then train it for one round, or go on with both.

    Under differential privacy nothing is evaluated here, and nothing is said but the noised weights.

    Raises:
        PrivacySpent: the patients' privacy may not cost what the round would.
        UpdateRejected: the task is of another study, model or release.
        ConfigError: this machine lacks the device that the settings name.
        PreparationError: this site's cohort cannot be used.
        FederationError: the loss is not a finite number.
    """
    model, device = _model_of(task, study), device_of(site.compute)
    manifest = manifest_of(model)
    name, cohort = site.site.name, load_cohort(site.site.prepared, study, site.site.name)
    _set_aside(task, site, study, cohort, ledger)
    if study.privacy.is_on:
        losses = _losses(model, site, study, task.round, cohort, device)
        train_privately(model, losses, study, task.round, noise_of(study, site.privacy), SecureRandom(), report)
        return Update(name, task.round, flatten(model), manifest.digest, study.privacy.patients, {}, {}, {}, receipt)
    resume = checkpoints.kept(model) if checkpoints else None
    validation = resume.validation if resume else evaluate_model(model, cohort.validation, device, report)
    keep = (lambda done: checkpoints.keep(replace(done, validation=validation))) if checkpoints else None
    training = train_one_round(model, cohort.training, study, name, task.round, device, report, resume, keep)
    return Update(
        site=name,
        round=task.round,
        weights=flatten(model),
        manifest=manifest.digest,
        examples=len(cohort.training),
        training=training,
        validation=validation,
        cohort=cohort_counts(cohort),
        receipt=receipt,
    )


def evaluate(
    task: Task,
    site: SiteConfig,
    study: Study,
    receipt: str = NO_RECEIPT,
    report: Report = silent,
    ledger: PrivacyLedger | None = None,
) -> Evaluation:
    """Evaluate the incoming model on this site's validation cases.

    Raises: as `train`.
    """
    if study.privacy.is_on:
        raise UpdateRejected(
            "Counts of patients are no answer under differential privacy", fix="bring both sides to the same release"
        )
    model, device = _model_of(task, study), device_of(site.compute)
    cohort = load_cohort(site.site.prepared, study, site.site.name)
    _set_aside(task, site, study, cohort, ledger)
    counts = evaluate_model(model, cohort.validation, device, report)
    return Evaluation(site.site.name, task.round, counts, receipt)


def _set_aside(task: Task, site: SiteConfig, study: Study, cohort: Cohort, ledger: PrivacyLedger | None) -> None:
    if ledger is not None:
        ledger.reserve(request_for(task, study, site.privacy, cohort.patients, ledger.key))


def _losses(
    model: GliomaNet, site: SiteConfig, study: Study, round_number: int, cohort: Cohort, device: torch.device
) -> list[Loss]:
    name = site.site.name
    model.to(device)
    if not study.model.frozen:
        return whole_losses(model, cohort.patients, study, (name, round_number), device)
    key = (name, study, device.type, tuple(scan.pixels for patient in cohort.patients for scan in patient))
    if key not in _FEATURES:
        if len(_FEATURES) >= FEATURES_KEPT:
            forget_features()
        _FEATURES[key] = look_up(model, cohort.patients, study, name, device)
    return head_losses(model, _FEATURES[key])


def forget_features() -> None:
    """Free the features that are kept in memory between rounds."""
    _FEATURES.clear()


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
    model = study_model(study.model, study.seed, public_folder())
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


def release(device: torch.device) -> None:
    """Give a GPU's memory back to whoever else works on it; the context stays."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def device_name(device: torch.device) -> str:
    """Return what people call a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
