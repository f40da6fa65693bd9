"""Validation counts of scores that are given one by one, and what a version's calibration.json makes of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.learning.calibration import fit_calibration
from core.learning.likeness import likeness_counts
from core.learning.metrics import counts_of
from core.messages import Counts

Scores = tuple[Sequence[float], Sequence[float]]

# Positives, then negatives; twelve of each, told apart but for two.
CLEAR: Scores = (np.linspace(0.45, 0.95, 12).tolist(), np.linspace(0.05, 0.5, 12).tolist())
NONE: Scores = ([], [])


def counts_with(mgmt: Scores = CLEAR, tumor: Scores = CLEAR) -> Counts:
    """Return the counts of cases whose scores are these; a case has a label of one head only."""
    scores = np.concatenate([*mgmt, *tumor]).astype(float)
    labels = {"mgmt": np.full(len(scores), np.nan), "tumor": np.full(len(scores), np.nan)}
    start = 0
    for head, given in (("mgmt", mgmt), ("tumor", tumor)):
        for label, part in zip((1.0, 0.0), given, strict=True):
            labels[head][start : start + len(part)] = label
            start += len(part)
    return counts_of({"mgmt": scores, "tumor": scores}, labels, [[0.0] * 3] * 3, np.zeros(len(scores)))


def a_fit(mgmt: Scores = CLEAR, tumor: Scores = CLEAR, images: Sequence[NDArray[np.float32]] = ()) -> dict[str, Any]:
    """Return a version's calibration as JSON; without images, which any case looks like."""
    counts = counts_with(mgmt, tumor) | likeness_counts(images)
    return fit_calibration(counts, "validation patients").model_dump(mode="json")


def heads(**never_trained: str) -> dict[str, Any]:
    """Return a card's part on its heads: trained, but for those that are named with the reason."""
    return {head: {"never_trained": never_trained.get(head, "")} for head in ("mgmt", "tumor")}
