"""A model version's card: what the model is, what it was trained on, how it came about and how good it is."""

from dataclasses import asdict
from importlib.metadata import version
from platform import python_version
from typing import Any

import numpy as np

from core.imaging.version import PREPROCESSING_VERSION
from core.learning.curves import interval_from_area
from core.learning.metrics import scores_of
from core.messages import Counts, Manifest
from core.study import Study, digest, tier_of
from fl_server.checkpoints import RoundRecord, best_round

LIBRARIES = ("SimpleITK", "flwr", "gliofed", "monai", "numpy", "pydicom", "safetensors", "torch")
WITHHELD = "withheld: differential privacy"
CLASSES = {"mgmt": ("mgmt_unmethylated", "mgmt_methylated"), "tumor": ("tumor_absent", "tumor_present")}


def card_of(study: Study, manifest: Manifest, history: tuple[RoundRecord, ...]) -> dict[str, Any]:
    """Describe the best round's model: what it is, what it was trained on, how it came about and how good it is."""
    best = best_round(history)
    cohort: Any = WITHHELD if study.privacy.is_on else cohort_of(history, best)
    (validated,) = [record for record in history if record.counted and record.round == best + 1]
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
        "classes_seen": WITHHELD if study.privacy.is_on else classes_in(cohort),
        "best_round": best,
        "rounds": [asdict(record) for record in history],
        "metrics": {"validation": metrics_of(validated.validation)},
        "libraries": {"python": python_version(), **{library: version(library) for library in LIBRARIES}},
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


def classes_in(cohort: dict[str, Counts]) -> dict[str, int]:
    """Return of how many classes of each head there was anybody."""
    return {
        head: sum(any(counts[name] for counts in cohort.values()) for name in classes)
        for head, classes in CLASSES.items()
    }


def metrics_of(counts: Counts) -> dict[str, Any]:
    """Return scores as plain values, each area under the curve with its 95 % interval."""
    scores = scores_of(counts)
    metrics = asdict(scores)
    for task, binary in (("mgmt", scores.mgmt), ("tumor", scores.tumor)):
        positives, negatives = (int(np.sum(counts[f"{task}_{sign}_scores"])) for sign in ("positive", "negative"))
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
