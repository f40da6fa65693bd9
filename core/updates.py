"""May this update count? The coordinator asks before it averages, and a site may ask before it lets one out.

A reason never repeats text that came over the wire: a site's mistake could have put anything into it.
"""

from collections.abc import Mapping
from math import sqrt
from typing import Protocol

import numpy as np

from core.errors import UpdateRejected
from core.learning.likeness import likeness_counts
from core.learning.metrics import REGIONS, TASKS, counts_of
from core.messages import Counts, Evaluation, Flat, Update
from core.study import Study

# The agreed names of a group of counts: 0 for a number, else the length of a list.
Layout = Mapping[str, int]

# More cases than any hospital has; beyond it one claim would drown every other site.
MAX_EXAMPLES = 1_000_000
# A case's voxels, on the finest grid there is.
MAX_VOXELS = 256**3
# A case's loss: beyond it a model is no model any more, and sums over sites would lose the others'.
MAX_LOSS = 1e6

# Values of a model that are looked at together: what a processor's cache holds.
PIECE = 2**16

# What a site tells of its training: sums over every case of every epoch, of the loss and of its tasks.
TRAINING: Layout = {"cases": 0, "loss": 0, "tumor_map_loss": 0, "tumor_loss": 0, "mgmt_loss": 0}

# What a site tells of its cohort: cases by use, and the training cases' classes where a label or mask says so.
COHORT: Layout = {
    "training": 0,
    "validation": 0,
    "excluded": 0,
    "mgmt_unmethylated": 0,
    "mgmt_methylated": 0,
    "tumor_absent": 0,
    "tumor_present": 0,
}

# What a site tells of a model on its validation cases. Counts of no cases show the names and lengths.
_NONE: dict[str, list[float]] = {task: [] for task in TASKS}
VALIDATION: Layout = {
    name: len(value) if isinstance(value, list) else 0
    for name, value in (counts_of(_NONE, _NONE, [[0.0] * len(REGIONS)] * 3, []) | likeness_counts([])).items()
}


class Shape(Protocol):
    """What must be known of a model to check an update of it: a manifest knows it, and so does a preset."""

    @property
    def size(self) -> int:
        """Number of values in the flat array."""

    @property
    def digest(self) -> str:
        """Of its manifest."""


def check_update(
    update: Update,
    *,
    site: str,
    round_number: int,
    shape: Shape,
    incoming: Flat,
    study: Study,
    validation: Layout,
) -> None:
    """Refuse an update that may not count in the average.

    Args:
        update: as read from the wire.
        site: the name under which the node that sent it is enrolled.
        round_number: the round that was asked for.
        shape: of the study's model.
        incoming: float32 [shape.size], the weights that the site was sent.
        study: bounds how far the weights may move, and says whether there may be counts.
        validation: agreed names of the validation counts.
    Raises: UpdateRejected: the first reason found, the cheapest looked for first.
    """
    _same_origin(update, site, round_number)
    if update.manifest != shape.digest:
        raise _rejected("The update is of another model than the study's")
    _check_weights(update.weights, shape, incoming, study.federation.max_update_norm)
    if study.privacy.is_on:
        _check_withheld(update, study.privacy.patients)
        return
    epochs = study.training.epochs_per_round
    check_counts(update.training, TRAINING, "training", MAX_EXAMPLES * epochs)
    _check_validation(update.validation, validation)
    check_counts(update.cohort, COHORT, "cohort")
    _check_examples(update, epochs)


def check_evaluation(evaluation: Evaluation, *, site: str, round_number: int, study: Study, validation: Layout) -> None:
    """Refuse an evaluation that may not count in the pooled scores.

    Raises: UpdateRejected: it is of another site or round, its counts are not the agreed ones, or there may be none.
    """
    if study.privacy.is_on:
        raise _rejected("The answer holds validation counts, which differential privacy withholds")
    _same_origin(evaluation, site, round_number)
    _check_validation(evaluation.validation, validation)


def check_counts(counts: Counts, layout: Layout, group: str, most: int = MAX_EXAMPLES) -> None:
    """Refuse counts that are not exactly the agreed ones, or that no hospital's cases could add up to.

    Args:
        counts: as read from the wire.
        layout: the agreed names.
        group: what to call the counts in a reason.
        most: cases that they may sum over.
    Raises: UpdateRejected: an unknown or missing name, another length, NaN, infinity, a negative number, part of a
        case, or more than there can be.
    """
    strangers = len(counts.keys() - layout.keys())
    if strangers:
        raise _rejected(f"The {group} counts hold {strangers} name(s) that were not agreed")
    missing = sorted(layout.keys() - counts.keys())
    if missing:
        raise _rejected(f"The {group} counts lack {', '.join(missing)}")
    for name, length in layout.items():
        value = counts[name]
        given = len(value) if isinstance(value, list) else 0
        if given != length or isinstance(value, list) != bool(length):
            raise _rejected(f"{group}.{name} has length {given} instead of {length}")
        numbers = np.asarray(value, np.float64)
        if not np.isfinite(numbers).all() or (numbers < 0).any():
            raise _rejected(f"{group}.{name} is not a finite number from zero up")
        if not name.endswith(("loss", "squared_errors")) and (numbers % 1).any():
            raise _rejected(f"{group}.{name} is not a whole number")
        limit = _limit(name, counts, most)
        if (numbers > limit).any() or numbers.sum() > limit:
            raise _rejected(f"{group}.{name} is more than the {limit:g} that can count")


def _limit(name: str, counts: Counts, most: int) -> float:
    """Return what a number, or a list's sum, can be at most."""
    if name.endswith("loss"):
        return MAX_LOSS * float(np.sum(counts["cases"]))
    return float(most * MAX_VOXELS if name.startswith("map_") else most)


def _same_origin(answer: Update | Evaluation, site: str, round_number: int) -> None:
    if answer.site != site:
        raise _rejected("The answer names another site than the one whose node sent it")
    if answer.round != round_number:
        raise _rejected(f"The answer is for round {answer.round} instead of {round_number}")


def _check_weights(weights: Flat, shape: Shape, incoming: Flat, max_norm: float) -> None:
    if weights.dtype != np.float32:
        raise _rejected(f"The weights are {weights.dtype.str} instead of {np.dtype(np.float32).str}")
    if weights.shape != (shape.size,):
        raise _rejected(f"The weights have shape {list(weights.shape)} instead of [{shape.size}]")
    if not np.isfinite(weights).all():
        raise _rejected("The weights hold NaN or infinity")
    norm = _distance(weights, incoming)
    if norm > max_norm:
        raise _rejected(f"The weights moved by {norm:.3g}, further than the study's limit of {max_norm:g}")


def _distance(weights: Flat, incoming: Flat) -> float:
    """Return the Euclidean distance, summed in float64 a piece at a time: whole copies would fill the memory."""
    squares = 0.0
    for start in range(0, weights.size, PIECE):
        moved = weights[start : start + PIECE].astype(np.float64) - incoming[start : start + PIECE]
        squares += float(moved @ moved)
    return sqrt(squares)


def _check_validation(counts: Counts, layout: Layout) -> None:
    check_counts(counts, layout, "validation")
    if not counts["cases"]:
        raise _rejected("The model was validated on no cases")


def _check_withheld(update: Update, patients: int) -> None:
    """Refuse what was not noised: under differential privacy a site says nothing of its patients but the weights."""
    for group in ("training", "validation", "cohort"):
        if getattr(update, group):
            raise _rejected(f"The update holds {group} counts, which differential privacy withholds")
    if update.examples != patients:
        raise _rejected(f"The update does not count as the agreed {patients} patients")


def _check_examples(update: Update, epochs: int) -> None:
    if not 1 <= update.examples <= MAX_EXAMPLES:
        raise _rejected(f"The update claims {update.examples:.3g} cases; 1 to {MAX_EXAMPLES} can count")
    cases = update.cohort["training"]
    if update.examples != cases:
        raise _rejected(f"The update claims {update.examples} cases, its cohort counts {cases:g}")
    trained = update.training["cases"]
    if trained != update.examples * epochs:
        raise _rejected(f"The update sums over {trained:g} trained cases instead of {update.examples * epochs}")
    for label, classes in (
        ("MGMT", ("mgmt_unmethylated", "mgmt_methylated")),
        ("tumor", ("tumor_absent", "tumor_present")),
    ):
        labeled = np.sum([update.cohort[name] for name in classes])
        if labeled > cases:
            raise _rejected(f"The cohort counts {labeled:g} {label} labels among {cases:g} cases")


def _rejected(problem: str) -> UpdateRejected:
    return UpdateRejected(problem, fix="the site's own log says how it came about; mend it there and train again")
