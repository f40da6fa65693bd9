"""How far what an experiment's federations say can be trusted: calibration and sets of labels, of every seed.

Fitted on the calibration people, shown on the held-out ones; the two share nobody.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.report import Part, Table
from simulations.calibration_report import RAW, SCALED, VENN_ABERS, Scored, calibration_part
from simulations.experiment import Experiment
from simulations.fits import HEADS, Fit, labels_of

ALPHA = 0.1


def trust_of(experiment: Experiment, fits: Sequence[Fit]) -> tuple[list[Part], list[dict[str, Any]]]:
    """Judge the federations that were asked about the calibration people.

    Args:
        experiment: its settings.
        fits: of all its jobs.
    Returns: a table of all, the first of them in full, and each one's figures, ready for JSON.
    """
    people = experiment.people
    known, new = (labels_of(experiment.held_out(each)) for each in (people.calibration_seeds, people.held_out_seeds))
    found = [
        calibration_part(
            fit.job.name,
            head,
            Scored(known[head], fit.scores[f"calibration.{head}"]),
            Scored(new[head], fit.scores[f"held_out.{head}"]),
        )
        for fit in fits
        if fit.job.calibrates and fit.job.how == "federated"
        for head in HEADS
    ]
    if not found:
        return [], []
    figures = [each for _, each in found]
    parts = [part for part, _ in found[: len(HEADS)]]
    labeled = int((~np.isnan(known[HEADS[0]])).sum())
    told = f"Fitted to {labeled} patients of their own. {_MEANING}"
    return [Part("How far it can be trusted", [_table(figures), told]), *parts], figures


_MEANING = (
    "A coordinator fits to the pooled validation cases of the best round, which are fewer and chose it: what is served "
    "has wider intervals and larger sets. Calibration error is the expected one in ten groups of equal size, which "
    "chance makes a little too large. Sets hold the labels that cannot be excluded at 90 %."
)


def _table(figures: Sequence[dict[str, Any]]) -> Table:
    header = ("federation", "head", *(f"error, {name}" for name in (RAW, SCALED, VENN_ABERS)), "90 % sets hold 0", "1")
    rows = []
    for one in figures:
        errors = [
            f"{one['probabilities'][name]['ece_equal_mass']['value']:.3f}" if "probabilities" in one else "-"
            for name in (RAW, SCALED, VENN_ABERS)
        ]
        covered = [
            "-" if share is None else f"{share:.3f}"
            for sets in one.get("sets", ())
            if sets["alpha"] == ALPHA
            for share in sets["coverage"]
        ]
        rows.append((one["model"], one["head"], *errors, *(covered or ("-", "-"))))
    return Table(header, rows)
