"""Synthetic patients: who they are, and what is planted in them."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from simulations.anatomy import Anatomy, make_anatomy
from simulations.atlas import Head
from simulations.tumors import Tumor, give_tumor

# One stream of random numbers for each thing drawn, so that a change to one leaves the others as they were.
LATENT, ANATOMY, TUMOR, SCAN, PERSON = range(5)
# About as patients with a glioblastoma are: mean and deviation of their ages in years, its limits, share of women.
AGE, AGES = (62.0, 13.0), (18, 95)
WOMEN = 0.42


@dataclass(frozen=True)
class PatientPlan:
    """All that decides a patient, before anything is computed.

    Attributes:
        identity: BraTS21ID, five digits.
        seed: entropy of everything drawn for this patient.
        label: MGMT methylation, 0 or 1; None for a healthy control.
        latent: the hidden quantity that shows in the tumor's looks; None for a healthy control.
    """

    identity: str
    seed: tuple[int, ...]
    label: int | None = None
    latent: float | None = None


@dataclass(frozen=True)
class Patient:
    """A patient ready to be scanned; a healthy control has no tumor."""

    plan: PatientPlan
    anatomy: Anatomy
    tumor: Tumor | None


def plan_patient(identity: str, seed: tuple[int, ...], label: int | None, separability: float) -> PatientPlan:
    """Return one patient's plan, with the latent drawn around its label's mean: z ~ N(+-d'/2, 1)."""
    if label is None:
        return PatientPlan(identity, seed)
    deviation = float(np.random.default_rng([*seed, LATENT]).standard_normal())
    return PatientPlan(identity, seed, label, deviation + (label - 0.5) * class_distance(separability))


def sex_and_age(seed: tuple[int, ...]) -> tuple[str, int]:
    """Return a patient's sex, `F` or `M`, and age in years; neither shows in the images."""
    rng = np.random.default_rng([*seed, PERSON])
    return "F" if rng.random() < WOMEN else "M", round(float(np.clip(rng.normal(*AGE), *AGES)))


def class_distance(separability: float) -> float:
    """Return d', the standard deviations between the labels' mean latents that give this best possible AUC.

    No reading of the images can be expected to beat the latent itself.

    Source: Green and Swets 1966: AUC = Phi(d' / sqrt 2) for two normal distributions of unit variance.
    """
    return float(np.sqrt(2) * norm.ppf(separability))


def make_patient(plan: PatientPlan, head: Head) -> Patient:
    """Return the patient that a plan decides."""
    anatomy = make_anatomy(head, np.random.default_rng([*plan.seed, ANATOMY]))
    if plan.latent is None:
        return Patient(plan, anatomy, None)
    return Patient(plan, *give_tumor(anatomy, head, plan.latent, np.random.default_rng([*plan.seed, TUMOR])))
