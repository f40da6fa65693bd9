"""A round of training under differential privacy: what it costs, set aside first; then a fixed number of noised steps.

Where a study freezes all but a small head, a patient's features are looked up once, as a mean over augmented views, and
kept: the steps that follow cost next to nothing. Else each step varies each patient's scans anew.

Nothing that is counted here leaves: no loss, no number of patients, no class.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from core.learning.augmentation import sample
from core.learning.cases import TrainingCase, augmented
from core.learning.losses import ClassWeights, case_losses
from core.learning.model import GliomaNet, SmallHead, describe
from core.learning.privacy import PrivacyBudget, Spend, noise_for, planned_steps
from core.learning.weights import trained
from core.messages import Task
from core.progress import Report, silent
from core.study import Study
from fl_client.config import SitePrivacySettings
from fl_client.dataset import Patient
from fl_client.differential_privacy import Loss, Mechanism, PrivateGradient, SecureRandom, check_private, take_steps
from fl_client.persons import Handles
from fl_client.privacy_ledger import PatientKey, Request
from fl_client.training import CPU, TRAINING, in_full_precision, precision_of, seed_of

# A patient's scans as the head sees them: float32 [scans, features] and [scans], NaN where the label is unknown.
Seen = tuple[Tensor, Tensor]


def noise_of(study: Study, site: SitePrivacySettings) -> float:
    """Return the noise of a study's steps at this site: the stricter of the study's limit and the site's floor decides.

    Raises: PrivacySpent: no noise is enough.
    """
    privacy = study.privacy
    return noise_for(
        budgets_of_study(study, site), privacy.sampling_rate, planned_steps(privacy, study.federation.rounds)
    )


def budgets_of_study(study: Study, site: SitePrivacySettings) -> tuple[PrivacyBudget, ...]:
    """Return what a study may cost a patient here: all of them hold, and over all of its runs."""
    limits = [(study.privacy.epsilon, study.privacy.delta), (site.epsilon, site.delta)]
    return tuple(PrivacyBudget(epsilon, delta) for epsilon, delta in limits if epsilon)


def budget_of_site(site: SitePrivacySettings) -> PrivacyBudget:
    """Return what all studies together may cost a patient here."""
    return PrivacyBudget(site.budget or math.inf, site.delta)


def request_for(
    task: Task, study: Study, site: SitePrivacySettings, patients: Sequence[Patient], key: PatientKey
) -> Request:
    """Return what a task costs this site's patients: a round of noised steps, or everything.

    Args:
        task: of the coordinator.
        study: as this site approved it.
        site: this site's limits.
        patients: everybody whose data the task reads.
        key: the site's.
    Raises: PrivacySpent: no noise is enough.
    """
    privacy = study.privacy
    spend = everything = Spend(0.0, 1.0, 1)
    if privacy.is_on:
        noise = noise_of(study, site)
        spend = Spend(noise, privacy.sampling_rate, privacy.steps_per_round)
        rounds = study.federation.rounds - task.round + 1
        everything = Spend(noise, privacy.sampling_rate, privacy.steps_per_round * rounds)
    return Request(
        study=task.study,
        run=task.run,
        round=task.round if privacy.is_on else 0,
        patients=tuple(handles_of(patient, key) for patient in patients),
        spend=spend,
        all_rounds=everything,
        of_study=budgets_of_study(study, site),
        of_site=budget_of_site(site),
    )


def handles_of(patient: Patient, key: PatientKey) -> Handles:
    """Return a patient's keyed pseudonyms: of the name that the site gave them, and of each scan's pixels."""
    named = {key.handle("patient", scan.patient) for scan in patient}
    return tuple(sorted(named | {key.handle("pixels", scan.pixels) for scan in patient}))


def train_privately(
    model: GliomaNet,
    losses: Sequence[Loss],
    study: Study,
    round_number: int,
    noise: float,
    random: SecureRandom,
    report: Report = silent,
) -> None:
    """Train a model's weights in place for one round's steps.

    Args:
        model: the incoming model.
        losses: one a patient, all of this site's, of `head_losses` or `whole_losses` on this very model.
        study: every setting.
        round_number: 1, 2, ...
        noise: as `noise_of` returns.
        random: draws patients and noise.
        report: told before each step; an error that it raises ends the training.
    Raises: ConfigError: the model has layers that learn of patients past the noise.
    """
    check_private(model)
    privacy = study.privacy
    mechanism = Mechanism(privacy.clip, noise, privacy.sampling_rate, privacy.patients)

    def rate(step: int) -> float:
        report(TRAINING, step, privacy.steps_per_round)
        done = (round_number - 1 + step / privacy.steps_per_round) / study.federation.rounds
        return privacy.learning_rate * decay(done)

    parameters = list(trained(model).values())
    take_steps(PrivateGradient(parameters, mechanism, random), losses, privacy.steps_per_round, rate)
    report(TRAINING, privacy.steps_per_round, privacy.steps_per_round)


def decay(progress: float) -> float:
    """Return what remains of the learning rate at a point of the study, 0 to 1: half a cosine."""
    return (1 + math.cos(math.pi * progress)) / 2


def look_up(
    model: GliomaNet, patients: Sequence[Patient], study: Study, site: str, device: torch.device = CPU
) -> list[Seen]:
    """Return each patient's scans as the small head sees them, as a mean over augmented views.

    Args:
        model: with a small head; moved to `device`.
        patients: of one site.
        study: says how many views there are and how they vary.
        site: its name, part of the views' seed.
        device: where to look.
    """
    model.to(device).eval()
    seen = []
    for number, patient in enumerate(patients):
        generator = np.random.default_rng(seed_of(study.seed, site, number))
        features = [_mean_view(model, scan.case, study, generator, device) for scan in patient]
        labels = [math.nan if scan.case.mgmt is None else float(scan.case.mgmt) for scan in patient]
        seen.append((torch.stack(features), torch.tensor(labels, device=device)))
    return seen


def _mean_view(
    model: GliomaNet, case: TrainingCase, study: Study, generator: np.random.Generator, device: torch.device
) -> Tensor:
    head = model.methylation
    assert isinstance(head, SmallHead)  # noqa: S101 (only such a model's features are looked up)
    total = torch.zeros(head.linear.in_features, device=device)
    for _ in range(study.privacy.views):
        image, _ = augmented([case], [sample(study.augmentation, generator)], device)
        with torch.no_grad():
            total += head.features(describe(*model.look_inside(image)))[0]
    return total / study.privacy.views


def head_losses(model: GliomaNet, seen: Sequence[Seen]) -> list[Loss]:
    """Return each patient's loss for the methylation label alone, as a function of the small head."""
    head = model.methylation
    assert isinstance(head, SmallHead)  # noqa: S101 (as above)

    def loss_of(features: Tensor, labels: Tensor) -> Loss:
        def loss() -> Tensor:
            known = ~labels.isnan()
            logits = head.linear(features).squeeze(1)
            each = functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
            return (each * known).mean()

        return loss

    return [loss_of(*patient) for patient in seen]


def whole_losses(
    model: GliomaNet, patients: Sequence[Patient], study: Study, key: tuple[str, int], device: torch.device = CPU
) -> list[Loss]:
    """Return each patient's loss over views that vary from step to step, as a function of the whole network.

    Args:
        model: moved to `device`.
        patients: of one site.
        study: every setting.
        key: site and round, part of the views' seed.
        device: where to train.
    """
    model.to(device).train()
    precision = precision_of(study, device)

    def loss_of(number: int, patient: Patient) -> Loss:
        generator = np.random.default_rng(seed_of(study.seed, *key, number))

        def loss() -> Tensor:
            views = [scan.case for scan in patient for _ in range(study.privacy.views)]
            image, targets = augmented(views, [sample(study.augmentation, generator) for _ in views], device)
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                output = model(image)
            losses = case_losses(in_full_precision(output), targets, ClassWeights())
            return losses.total(study.training.tumor_map_weight).mean()

        return loss

    return [loss_of(number, patient) for number, patient in enumerate(patients)]
