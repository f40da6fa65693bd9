"""From a head's raw score to a probability, its interval and a decision, or the reason why there is none.

An inductive Venn-Abers predictor, fitted once on the pooled validation counts of a model version and only read when
serving: a score's bin is given the isotonic regressions of the validation cases together with the new case, labeled 0
and labeled 1. One of the two values at the new case is calibrated whatever the scores are like, as long as the new case
is drawn as the validation cases were; how far they lie apart says how much those cases can tell.

Beside it, from the same counts: conformal sets of labels (`binned_sets`), which a patient's answer holds too, and
a temperature (`temperature`). Venn-Abers stays what is served, since it assumes nothing of how scores are off; the
temperature's probabilities, which do not tie, order cases by sureness and are what reports compare it with.

A calibration goes to every hospital. What stands in it beside `low` and `high` follows from them (the sets), or is of
all cases together (the temperature, as the area under the curve is) or of groups of five and more (the risks).

Sources: Vovk and Petej, Venn-Abers predictors (2012), arXiv:1211.0025; Vovk, Petej and Fedorova (2015), Large-scale
probabilistic predictors with and without guarantees of validity, arXiv:1511.00213 (section 5: one probability of two).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.optimize import isotonic_regression

from core.config import Section
from core.learning.binned_sets import ALPHAS, SetLimits, fit_sets
from core.learning.curves import interval_from_area
from core.learning.likeness import Likeness, fit_likeness
from core.learning.metrics import BINS, MIDDLES, bin_of, histograms_of, scores_of
from core.learning.selective import binned_risks
from core.learning.temperature import Temperature, fit_temperature
from core.messages import Counts

Vector = NDArray[np.float64]
Probability = Annotated[float, Field(ge=0, le=1)]

UNDECIDED = "undecided"
# What each head decides between: below its threshold, above it.
DECISIONS = {"mgmt": ("unmethylated", "methylated"), "tumor": ("absent", "present")}
CHANCE = 0.5
# Of the label sets, the one that an answer holds.
ALPHA = 0.1


class HeadCalibration(Section):
    """How one head's scores are to be read; where nothing could be fitted, only the numbers of cases."""

    positives: int = Field(ge=0, description="validation cases of the upper class")
    negatives: int = Field(ge=0)
    auc: Probability | None = None
    auc_interval: tuple[Probability, Probability] | None = Field(None, description="95 %; None with one of a class")
    threshold: Probability | None = Field(None, description="a calibrated probability; see fit_head")
    low: tuple[Probability, ...] = Field((), description="by score bin, the probability with the new case as a 0")
    high: tuple[Probability, ...] = Field((), description="with the new case as a 1")
    temperature: Temperature | None = Field(None, description="None in files of earlier releases, as the next two are")
    sets: tuple[SetLimits, ...] = Field((), description="which labels a score excludes, at several alphas")
    risks: tuple[tuple[Probability, Probability], ...] = Field(
        (), description="shares of the cases, the surest first, and their shares of errors at the threshold"
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not self.positives or not self.negatives:
            if self.low or self.high or self.sets or self.risks or self.temperature or self.threshold is not None:
                raise ValueError("something was fitted to one class only")
        elif len(self.low) != BINS or len(self.high) != BINS or self.threshold is None or self.auc is None:
            raise ValueError("something of the fit is missing")
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("an interval ends below where it begins")
        return self

    @property
    def is_fitted(self) -> bool:
        """Whether there were validation cases of both classes."""
        return bool(self.low)

    @property
    def beats_chance(self) -> bool:
        """Whether the whole interval of the area under the curve lies above chance."""
        return self.auc_interval is not None and self.auc_interval[0] > CHANCE


class Calibration(Section):
    """What a version's calibration.json holds."""

    validated_on: str = Field(description="whose cases they were, in words, in the plural")
    mgmt: HeadCalibration
    tumor: HeadCalibration
    likeness: Likeness

    def of(self, head: str) -> HeadCalibration:
        """Return a head's part."""
        return {"mgmt": self.mgmt, "tumor": self.tumor}[head]


@dataclass(frozen=True)
class Answer:
    """What a head says of one case.

    Attributes:
        probability: calibrated, in [0, 1]; None where the head cannot say.
        interval: its lower and upper end, or None.
        decision: one of the head's DECISIONS, `undecided`, or None where the head cannot say.
        reason: why there is no decision, or "".
        possible: those of the head's DECISIONS that cannot be excluded: the true one is among them for 90 % of the
            patients of either class (1 - ALPHA). None where the head, or its version's calibration, cannot say.
    """

    probability: float | None = None
    interval: tuple[float, float] | None = None
    decision: str | None = None
    reason: str = ""
    possible: tuple[str, ...] | None = None


def fit_calibration(counts: Counts, validated_on: str) -> Calibration:
    """Fit both heads, and what a case like these looks like, to the pooled validation counts of a version's weights.

    Args:
        counts: as `core.learning.evaluation.evaluate` makes them, added up.
        validated_on: whose cases they are, such as `validation patients`.
    """
    scores = scores_of(counts)
    return Calibration(
        validated_on=validated_on,
        mgmt=fit_head(*histograms_of(counts, "mgmt"), scores.mgmt.auc),
        tumor=fit_head(*histograms_of(counts, "tumor"), scores.tumor.auc),
        likeness=fit_likeness(counts),
    )


def fit_head(positive: Sequence[float], negative: Sequence[float], auc: float | None) -> HeadCalibration:
    """Fit one head.

    The threshold is the share of positives among the cases: on a rising calibration curve Youden's J, hits plus
    rightly rejected, is highest exactly where the curve passes that share.

    Args:
        positive, negative: cases of each class by score bin, BINS numbers.
        auc: the area under the curve of the same histograms, None without both classes.
    """
    ones, zeros = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    numbers = {"positives": int(ones.sum()), "negatives": int(zeros.sum())}
    if auc is None:
        return HeadCalibration(**numbers)
    low, high = (_fitted(ones, zeros, label) for label in (0, 1))
    threshold = numbers["positives"] / (numbers["positives"] + numbers["negatives"])
    temperature = fit_temperature(positive, negative)
    return HeadCalibration(
        **numbers,
        auc=auc,
        auc_interval=interval_from_area(auc, **numbers),
        threshold=threshold,
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        temperature=temperature,
        sets=tuple(fit_sets(positive, negative, alpha) for alpha in ALPHAS),
        risks=binned_risks(positive, negative, temperature.probabilities(MIDDLES), threshold),
    )


def calibrated(calibration: Calibration, head: str, score: float) -> Answer:
    """Read a head's raw score, 0 to 1, as a probability with its interval and a decision."""
    fit = calibration.of(head)
    if not fit.is_fitted or fit.threshold is None:
        lower, upper = DECISIONS[head]
        return Answer(
            reason=f"{head}: its score cannot be calibrated: among the {calibration.validated_on} of known answer were "
            f"{fit.positives} {upper} and {fit.negatives} {lower}"
        )
    place = int(bin_of(score))
    low, high = fit.low[place], fit.high[place]
    decision, reason = _decision(calibration, head, low, high)
    return Answer(high / (1 - low + high), (low, high), decision, reason, _possible(fit, head, place))


def _possible(fit: HeadCalibration, head: str, place: int) -> tuple[str, ...] | None:
    """Return what cannot be excluded: nothing is by a head that is not shown to beat chance."""
    limits = next((limits for limits in fit.sets if limits.alpha == ALPHA), None)
    if limits is None:
        return None
    if not fit.beats_chance:
        return DECISIONS[head]
    return tuple(label for label, can in zip(DECISIONS[head], limits.sets(place), strict=True) if can)


def _decision(calibration: Calibration, head: str, low: float, high: float) -> tuple[str, str]:
    """Return what the head decides, and why not where it does not."""
    fit = calibration.of(head)
    threshold = fit.threshold or 0.0
    if not fit.beats_chance:
        interval = (
            "too few for an interval" if fit.auc_interval is None else "{:.2f} to {:.2f}".format(*fit.auc_interval)
        )
        return UNDECIDED, (
            f"{head}: undecided: the model is not shown to be better than chance on {fit.positives + fit.negatives} "
            f"{calibration.validated_on}: AUC {fit.auc:.2f}, {interval}"
        )
    lower, upper = DECISIONS[head]
    if low > threshold:
        return upper, ""
    if high < threshold:
        return lower, ""
    return UNDECIDED, (
        f"{head}: undecided: the interval {low:.2f} to {high:.2f} does not lie on one side of the threshold "
        f"{threshold:.2f}"
    )


def _fitted(ones: Vector, zeros: Vector, label: int) -> Vector:
    """Return for each bin the isotonic fit there once a case with this label is added to it."""
    values = np.empty(BINS)
    for place in range(BINS):
        cases, positives = ones + zeros, ones.copy()
        cases[place] += 1
        positives[place] += label
        held = np.flatnonzero(cases)
        fit = isotonic_regression(positives[held] / cases[held], weights=cases[held]).x
        values[place] = np.clip(fit[np.searchsorted(held, place)], 0, 1)
    return values
