"""A model version's card: what the model is, what it was trained on, how it came about and how good it is."""

from dataclasses import asdict
from importlib.metadata import version
from platform import python_version
from typing import Any

import numpy as np

from core.imaging.version import PREPROCESSING_VERSION
from core.learning.calibration import DECISIONS, Calibration, fit_calibration
from core.learning.curves import interval_from_area
from core.learning.likeness import PREFIX
from core.learning.metrics import histograms_of, scores_of
from core.messages import Counts, Manifest
from core.study import Study, digest, tier_of
from fl_server.checkpoints import RoundRecord, best_round

LIBRARIES = ("SimpleITK", "flwr", "gliofed", "monai", "numpy", "pydicom", "safetensors", "torch")
WITHHELD = "withheld: differential privacy"
BOTH = {"mgmt": "methylated and unmethylated patients", "tumor": "patients with and without a tumor"}


def card_of(study: Study, manifest: Manifest, history: tuple[RoundRecord, ...]) -> dict[str, Any]:
    """Describe the best round's model: what it is, what it was trained on, how it came about and how good it is."""
    best, validated = best_round(history, study), best_validation(history, study)
    cohort = WITHHELD if study.privacy.is_on else cohort_of(history, best)
    return {
        "study": study.model_dump(mode="json"),
        "architecture": {
            **study.model.model_dump(mode="json"),
            "parameters": manifest.size,
            "manifest": manifest.digest,
        },
        "preprocessing": {
            "settings": study.preprocessing.model_dump(mode="json"),
            "digest": digest(study.preprocessing),
        },
        "preprocessing_version": PREPROCESSING_VERSION,
        "privacy": privacy_of(study),
        "cohort": cohort,
        "heads": {head: head_of(head, study, cohort, validated) for head in DECISIONS},
        "best_round": best,
        "rounds": [told_of(record) for record in history],
        "metrics": {"validation": metrics_of(validated)},
        "libraries": {"python": python_version(), **{library: version(library) for library in LIBRARIES}},
    }


def told_of(record: RoundRecord) -> dict[str, Any]:
    """Return what a round brought, without histograms: every site gets the card, and they come close to patients."""
    told = asdict(record)
    told["validation"] = without_histograms(record.validation)
    for site, brought in record.sites.items():
        told["sites"][site]["validation"] = without_histograms(brought.validation)
    return told


def without_histograms(counts: Counts) -> Counts:
    """Return validation counts without what has a bin for few patients."""
    return {
        name: value for name, value in counts.items() if not name.endswith("_scores") and not name.startswith(PREFIX)
    }


def privacy_of(study: Study) -> dict[str, Any]:
    """Say how the patients who trained a model are protected from it, so that nobody takes it for more than it is."""
    privacy = study.privacy
    if not privacy.is_on:
        return {"tier": tier_of(0), "validated_on": "validation patients of the sites"}
    return {
        "tier": tier_of(privacy.epsilon),
        "epsilon": privacy.epsilon,
        "delta": privacy.delta,
        "unit": "patient: all scans of a person, at the person's own site; adding or removing one",
        "guarantee": "each site's own updates, against the coordinator and everybody who sees the model; a site may "
        "have asked for less than this epsilon, never for more",
        "noised": "every round's weights; nothing else of a patient left a site",
        "validated_on": f"public cases {privacy.validation}",
    }


def calibration_of(study: Study, history: tuple[RoundRecord, ...]) -> Calibration:
    """Fit how the best round's scores are to be read, on the cases that validated it."""
    return fit_calibration(best_validation(history, study), validated_on(study))


def validated_on(study: Study) -> str:
    """Say in few words whose cases say how good a study's models are."""
    return "public validation cases" if study.privacy.is_on else "validation patients"


def best_validation(history: tuple[RoundRecord, ...], study: Study) -> Counts:
    """Return the pooled validation counts of the best round's aggregate."""
    best = best_round(history, study)
    (validated,) = [record for record in history if record.counted and record.round == best + 1]
    return validated.validation


def head_of(head: str, study: Study, cohort: dict[str, Counts] | str, validated: Counts) -> dict[str, Any]:
    """Count the cases behind a head, and say whether it was ever trained.

    Args:
        head: `mgmt` or `tumor`.
        study: says whether the training cases may be counted.
        cohort: as `cohort_of` returns, or why it is withheld.
        validated: pooled validation counts.
    Returns: `trained_on` and `validated_on`, cases by class; `validation_cases`, whose the latter are; `never_trained`,
        why the head can say nothing, or "".
    """
    lower, upper = DECISIONS[head]
    positives, negatives = (int(np.sum(histogram)) for histogram in histograms_of(validated, head))
    trained: dict[str, int] | str = WITHHELD
    never = ""  # what is withheld cannot tell: under differential privacy the public cases' scores must
    if not isinstance(cohort, str):
        trained = {
            name: int(sum(float(np.sum(c[f"{head}_{name}"])) for c in cohort.values())) for name in (lower, upper)
        }
        never = "" if all(trained.values()) else f"{head}: the model was never shown both {BOTH[head]}"
    return {
        "trained_on": trained,
        "validated_on": {lower: negatives, upper: positives},
        "validation_cases": validated_on(study),
        "never_trained": never,
    }


def metrics_of(counts: Counts) -> dict[str, Any]:
    """Return scores as plain values, each area under the curve with its 95 % interval."""
    scores = scores_of(counts)
    metrics = asdict(scores)
    for task, binary in (("mgmt", scores.mgmt), ("tumor", scores.tumor)):
        positives, negatives = (int(np.sum(histogram)) for histogram in histograms_of(counts, task))
        interval = None if binary.auc is None else interval_from_area(binary.auc, positives, negatives)
        metrics[task]["auc_interval"] = interval
    return metrics


def cohort_of(history: tuple[RoundRecord, ...], last: int) -> dict[str, Counts]:
    """Return each site's cohort counts in the newest round up to `last` that it counted in."""
    cohort: dict[str, Counts] = {}
    for record in history:
        if record.counted and record.round <= last:
            cohort |= {site: brought.cohort for site, brought in record.sites.items()}
    return dict(sorted(cohort.items()))
