"""How far a model's probabilities, sets of labels and decisions hold on patients that fitted none of them.

Everything is fitted to the calibration cases as a coordinator fits it, to histograms alone, and shown on others. It
needs single cases and so is for public and synthetic ones, or one hospital's own.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.learning.binary_report import BinaryReport, Estimate, report_of
from core.learning.calibration import (
    DECISIONS,
    UNDECIDED,
    Answer,
    Calibration,
    HeadCalibration,
    calibrated,
    fit_head,
)
from core.learning.conformal import fit_conformal, label_sets, set_scores
from core.learning.curves import auc
from core.learning.intervals import wilson_interval
from core.learning.likeness import Likeness
from core.learning.metrics import THRESHOLD, bin_of, histograms_of, task_counts
from core.learning.selective import aurc, errors_and_confidences, risk_coverage
from core.learning.temperature import Temperature
from core.report import Part, Picture, Table
from simulations.plots_calibration import draw_reliability, draw_risks, groups_of

Vector = NDArray[np.float64]

RAW, SCALED, VENN_ABERS = "raw score", "temperature", "Venn-Abers"
# Fewer bins where cases are few: a share of positives needs some cases.
CASES_A_GROUP, MOST_GROUPS = 15, 10

SETS = (
    "A label is left out of a set where a score is unlike its class. The promise is on average over calibrations; of "
    "one calibration the coverage varies as a beta distribution does, the more the fewer its cases. Sets from bins are "
    "wider than those of single scores, so that they tell nothing of a patient that the intervals do not."
)
RISKS = (
    "How often the model is wrong among the cases that it is surest of. Left, where few cases are answered, curves "
    "rest on few; the dots are what calibration.json tells, of the cases that it was fitted to."
)


@dataclass(frozen=True)
class Scored:
    """Cases of one head.

    Attributes:
        labels: [cases], 0 or 1, NaN where unknown: such cases are left out.
        scores: the model's raw ones, float [cases], 0 to 1.
    """

    labels: ArrayLike
    scores: ArrayLike

    def known(self) -> tuple[Vector, Vector]:
        """Return labels and scores of the cases with a label."""
        labels, scores = np.asarray(self.labels, np.float64), np.asarray(self.scores, np.float64)
        if labels.ndim != 1 or labels.shape != scores.shape or not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError("labels and scores must be one a case, and scores 0 to 1")
        return labels[~np.isnan(labels)], scores[~np.isnan(labels)]


def calibration_part(
    model: str, head: str, calibration: Scored, held_out: Scored, *, seed: int = 0
) -> tuple[Part, dict[str, Any]]:
    """Fit to the calibration cases and show on the held-out ones what holds.

    Args:
        model: what to call it.
        head: `mgmt` or `tumor`.
        calibration: cases on which threshold, temperature, intervals and sets are fitted.
        held_out: other people's cases.
        seed: of the resampling.
    Returns: the report's part, and its figures, ready for JSON.
    """
    fit = _fitted(*calibration.known())
    labels, scores = held_out.known()
    title = f"{model}: how far its {head} probabilities hold"
    figures: dict[str, Any] = {
        "model": model,
        "head": head,
        "calibration_cases": {"positives": fit.positives, "negatives": fit.negatives},
        "held_out_cases": {"positives": int((labels > 0.5).sum()), "negatives": int((labels <= 0.5).sum())},
    }
    if fit.threshold is None or fit.temperature is None or not len(labels):
        why = (
            "Nothing can be fitted or shown: both classes are needed for calibration, and held-out cases to show it on."
        )
        return Part(title, [why]), figures
    answers = _answers(fit, head, scores)
    chances = {
        RAW: scores,
        SCALED: fit.temperature.probabilities(scores),
        VENN_ABERS: np.array([answer.probability for answer in answers], np.float64),
    }
    thresholds = {RAW: THRESHOLD, SCALED: fit.threshold, VENN_ABERS: fit.threshold}
    reports = {name: report_of(labels, chances[name], thresholds[name], seed=seed) for name in chances}
    sureness = {name: errors_and_confidences(labels, chances[name], thresholds[name]) for name in chances}
    curves = {name: risk_coverage(*each) for name, each in sureness.items()}
    figures |= {
        "temperature": fit.temperature.model_dump(),
        "threshold": fit.threshold,
        "probabilities": {name: asdict(report) for name, report in reports.items()},
        "decisions": _decided(head, answers, labels),
        "sets": _covered(fit, *calibration.known(), labels, scores),
        "aurc": {name: aurc(*each) for name, each in sureness.items()},
        "risk_coverage": {name: _at_tenths(*curve) for name, curve in curves.items()},
        "risk_coverage_told": [list(point) for point in fit.risks],
    }
    content: list[str | Picture | Table] = [
        _setting(fit, fit.temperature, len(labels)),
        _table_of_probabilities(reports, figures["aurc"]),
        _picture_of_reliability(labels, chances),
        _sentence_of_decisions(figures["decisions"]),
        _table_of_sets(figures["sets"], head),
        SETS,
        Picture(draw_risks(curves, fit.risks), RISKS),
    ]
    return Part(title, content), figures


def _fitted(labels: Vector, scores: Vector) -> HeadCalibration:
    """Fit as a coordinator does, from histograms."""
    positive, negative = histograms_of(task_counts("mgmt", scores, labels), "mgmt")
    return fit_head(positive, negative, auc(labels, bin_of(scores)))


def _answers(fit: HeadCalibration, head: str, scores: Vector) -> list[Answer]:
    both = Calibration(validated_on="calibration cases", mgmt=fit, tumor=fit, likeness=Likeness(cases=0, limits={}))
    return [calibrated(both, head, float(score)) for score in scores]


def _decided(head: str, answers: list[Answer], labels: Vector) -> dict[str, Any]:
    """Count what a clinician would be told, and how often it is right."""
    said = [
        (answer.decision, DECISIONS[head][int(label)])
        for answer, label in zip(answers, labels, strict=True)
        if answer.decision != UNDECIDED
    ]
    right = sum(decision == truth for decision, truth in said)
    return {
        "cases": len(labels),
        "decided": len(said),
        "right": right,
        "right_interval": wilson_interval(right, len(said)),
    }


def _covered(
    fit: HeadCalibration, old_labels: Vector, old_scores: Vector, labels: Vector, scores: Vector
) -> list[dict[str, Any]]:
    """Return for each alpha how often sets hold the true label, by class, and how many hold one, both or no label."""
    rows = []
    for limits in fit.sets:
        sets = limits.sets(bin_of(scores))
        told = set_scores(labels, sets)
        single_scores = set_scores(labels, label_sets(fit_conformal(old_labels, old_scores, limits.alpha), scores))
        covered = [sets[labels == label, label] for label in (0, 1)]
        rows.append(
            asdict(told)
            | {
                "alpha": limits.alpha,
                "coverage_intervals": [wilson_interval(int(held.sum()), len(held)) for held in covered],
                "of_single_scores": asdict(single_scores),
            }
        )
    return rows


def _at_tenths(coverages: Vector, risks: Vector) -> list[list[float]]:
    ends = [max(1, round(len(risks) * tenth / 10)) - 1 for tenth in range(1, 11)]
    return [[float(coverages[end]), float(risks[end])] for end in ends]


def _setting(fit: HeadCalibration, temperature: Temperature, cases: int) -> str:
    return (
        f"Fitted to histograms of {fit.positives} positive and {fit.negatives} negative calibration cases, shown on "
        f"{cases} held-out cases that fitted nothing. The temperature is {temperature.temperature:g} (above 1, raw "
        f"scores were too sure) with a bias of {temperature.bias:+g}; the threshold is {fit.threshold:.2f}, the share "
        "of positives among the calibration cases. It is on calibrated probabilities; raw scores are cut at one half. "
        "What is served is Venn-Abers."
    )


def _picture_of_reliability(labels: Vector, chances: Mapping[str, Vector]) -> Picture:
    bins = max(2, min(MOST_GROUPS, len(labels) // CASES_A_GROUP))
    return Picture(
        draw_reliability({name: groups_of(labels, given, bins) for name, given in chances.items()}),
        "What was said against what happened, in groups of about as many held-out cases, with 95 % intervals. On the "
        "diagonal a probability holds.",
    )


def _table_of_probabilities(reports: Mapping[str, BinaryReport], areas: Mapping[str, float]) -> Table:
    header = (
        "probability",
        "calibration error",
        "Brier score",
        "sensitivity",
        "specificity",
        "area under risk-coverage",
    )
    rows = [
        (
            name,
            *(_text(score) for score in (report.ece_equal_mass, report.brier, report.recall, report.specificity)),
            f"{areas[name]:.3f}",
        )
        for name, report in reports.items()
    ]
    return Table(header, rows, frozenset({len(rows) - 1}))


def _sentence_of_decisions(decided: Mapping[str, Any]) -> str:
    share = "" if decided["right_interval"] is None else " ({:.0%} to {:.0%})".format(*decided["right_interval"])
    return (
        f"With abstention: of {decided['cases']} held-out cases {decided['decided']} are decided, {decided['right']} "
        f"of them rightly{share}; the others are undecided."
    )


def _table_of_sets(rows: list[dict[str, Any]], head: str) -> Table:
    header = ("sets", *(f"hold {label}" for label in DECISIONS[head]), "one label", "both", "neither", "one, unbinned")
    texts = []
    for row in rows:
        coverage = [
            _text(Estimate(value, *(interval or (None, None))))
            for value, interval in zip(row["coverage"], row["coverage_intervals"], strict=True)
        ]
        shares = [*(row[name] for name in ("single", "both", "neither")), row["of_single_scores"]["single"]]
        texts.append((f"at {1 - row['alpha']:.0%}", *coverage, *(f"{share:.0%}" for share in shares)))
    return Table(header, texts)


def _text(score: Estimate) -> str:
    if score.value is None:
        return "-"
    told = f"{score.value:.2f}"
    return told if score.low is None or score.high is None else f"{told} ({score.low:.2f} to {score.high:.2f})"
