"""Whether the same patient scanned twice gets the same answer.

Sources: Bland and Altman 1986, doi:10.1016/S0140-6736(86)90837-8 (limits of agreement); Bland and Altman 1996,
doi:10.1136/bmj.313.7059.744 (within-subject standard deviation); Shrout and Fleiss 1979,
doi:10.1037/0033-2909.86.2.420 (the intraclass correlation and its interval).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit as exact_logit
from scipy.stats import f as fisher

from core.learning.curves import Z
from core.learning.intervals import Interval, wilson_interval
from core.learning.metrics import THRESHOLD
from core.progress import Report, silent
from core.report import Part, Picture, Table
from simulations.patients import PatientPlan
from simulations.plots import COLORS, STYLE, png
from simulations.scanners import Scanner
from simulations.tensors import make_case

Vector = NDArray[np.float64]
# Takes prepared images, each float32 [4, N, N, N]; returns their methylation probabilities.
Scorer = Callable[[Sequence[NDArray[np.float32]]], Sequence[float]]
# A probability in single precision cannot be told from 0 or 1 beyond this logit of about 16.
NARROWEST = 1e-7
BATCH = 8


@dataclass(frozen=True)
class Agreement:
    """How far two scans of the same patients agree.

    Attributes:
        first, second: float [patients], each scan's probabilities.
        probability_apart, logit_apart: mean absolute difference.
        within: standard deviation of one patient's logit over scans.
        bias, limits: mean of second less first on the logit scale, and within which 95 % of differences lie.
        icc, icc_interval: ICC(2,1) of the logits and its 95 % interval; None where the logits do not vary.
        flipped, flipped_interval: share of patients whose answer at one half changes, and its 95 % interval.
    """

    first: Vector
    second: Vector
    probability_apart: float
    logit_apart: float
    within: float
    bias: float
    limits: tuple[float, float]
    icc: float | None
    icc_interval: Interval | None
    flipped: float
    flipped_interval: Interval | None


def repeatability(
    score: Scorer, plans: Sequence[PatientPlan], scanner: Scanner, again: Scanner, size: int, report: Report = silent
) -> Agreement:
    """Scan every patient twice and compare the answers.

    Head and tumor lie on the grid alike in both scans, as after a perfect registration.

    Args:
        score: the model.
        plans: the patients, at least two.
        scanner: of the first scan.
        again: of the second; the same one for repeatability, another for reproducibility.
        size: voxels along each axis of the grid.
        report: told after each few patients.
    """
    first: list[float] = []
    second: list[float] = []
    for start in range(0, len(plans), BATCH):
        some = plans[start : start + BATCH]
        first += score([make_case(plan, scanner, size).image.numpy() for plan in some])
        second += score([make_case(plan, again, size, scan=1).image.numpy() for plan in some])
        report("scan again", start + len(some), len(plans))
    return agreement(first, second)


def agreement(first: ArrayLike, second: ArrayLike) -> Agreement:
    """Compare two scans' probabilities of the same patients, float [patients], at least two."""
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 2:
        raise ValueError("two scans of the same patients, of at least two, are needed")
    logits = np.stack([logit(one), logit(other)], axis=1)
    apart = logits[:, 1] - logits[:, 0]
    bias, half = float(apart.mean()), Z * float(apart.std(ddof=1))
    flipped = int(((one >= THRESHOLD) != (other >= THRESHOLD)).sum())
    found = icc(logits)
    return Agreement(
        one,
        other,
        float(np.abs(other - one).mean()),
        float(np.abs(apart).mean()),
        sqrt(float(np.square(apart).mean()) / 2),
        bias,
        (bias - half, bias + half),
        None if found is None else found[0],
        None if found is None else found[1],
        flipped / len(one),
        wilson_interval(flipped, len(one)),
    )


def logit(probabilities: ArrayLike) -> Vector:
    """Return log odds, as far as single precision can tell a probability from 0 and 1: float64, of the same shape."""
    odds: Vector = exact_logit(np.clip(np.asarray(probabilities, np.float64), NARROWEST, 1 - NARROWEST))
    return odds


def icc(values: ArrayLike) -> tuple[float, Interval] | None:
    """Return ICC(2,1), two-way random effects, absolute agreement, one measurement, and its 95 % interval.

    Args:
        values: float [patients, scans], at least two of either.
    Returns: None where the values do not vary, or vary between scans alone.
    Source: Shrout and Fleiss 1979.
    """
    table = np.asarray(values, np.float64)
    patients, scans = table.shape
    middle = table.mean()
    of_patient, of_scan = table.mean(1, keepdims=True), table.mean(0, keepdims=True)
    between = scans * float(np.square(of_patient - middle).sum()) / (patients - 1)
    among = patients * float(np.square(of_scan - middle).sum()) / (scans - 1)
    free = (patients - 1) * (scans - 1)
    rest = float(np.square(table - of_patient - of_scan + middle).sum()) / free
    total = between + (scans - 1) * rest + scans * (among - rest) / patients
    if between == 0 or total <= 0:
        return None
    ratio = (between - rest) / total
    if rest == 0:
        # No noise beside the scans' own levels: the formula of the interval has no degrees of freedom.
        return ratio, (ratio, ratio)
    spread = scans * ratio * among / rest + patients * (1 + (scans - 1) * ratio) - scans * ratio
    weight = patients * (1 + (scans - 1) * ratio) - scans * ratio
    degrees = free * spread**2 / ((patients - 1) * (scans * ratio * among / rest) ** 2 + weight**2)
    upper, lower = fisher.ppf(0.975, patients - 1, degrees), fisher.ppf(0.975, degrees, patients - 1)
    shared = scans * among + (scans * patients - scans - patients) * rest
    low = patients * (between - upper * rest) / (upper * shared + patients * between)
    high = patients * (lower * between - rest) / (shared + patients * lower * between)
    return ratio, (float(low), float(high))


def repeatability_part(agreements: dict[str, Agreement]) -> Part:
    """Return what a report says of scans repeated, by how they were, such as `same scanner`."""
    header = (
        "second scan", "patients", "|difference|", "|difference|, logit", "within-patient SD", "95 % limits, logit",
        "ICC(2,1)", "answers that flip",
    )  # fmt: skip
    return Part(
        "The same patient scanned twice",
        (
            "Same person and tumor; other noise, brightness and shading. The last column counts patients on the other "
            "side of one half. Registration and brain mask are perfect here, so that real scans agree less.",
            Table(header, [_row(name, each) for name, each in agreements.items()]),
            Picture(
                draw_bland_altman(agreements),
                "Difference of the two scans' logits over their mean, a point a patient, with the mean difference "
                "and the 95 % limits of agreement; orange: the answer flips",
            ),
        ),
    )


def _row(name: str, found: Agreement) -> tuple[str, ...]:
    (low, high), flips = found.limits, found.flipped_interval or (0.0, 1.0)
    interval = found.icc_interval
    return (
        name,
        str(len(found.first)),
        f"{found.probability_apart:.3f}",
        f"{found.logit_apart:.2f}",
        f"{found.within:.2f}",
        f"{low:.2f} to {high:.2f}",
        "-" if found.icc is None or interval is None else f"{found.icc:.3f} ({interval[0]:.3f} to {interval[1]:.3f})",
        f"{found.flipped:.1%} ({flips[0]:.1%} to {flips[1]:.1%})",
    )


def draw_bland_altman(agreements: dict[str, Agreement]) -> bytes:
    """Draw difference over mean on the logit scale, a panel each, on the same axes."""
    with mpl.rc_context(STYLE):
        figure = Figure((4.4 * len(agreements), 3.4), layout="constrained")
        panels = figure.subplots(1, len(agreements), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, found) in zip(panels, agreements.items(), strict=True):
            one, other = logit(found.first), logit(found.second)
            flips = (found.first >= THRESHOLD) != (found.second >= THRESHOLD)
            for which, color in ((~flips, COLORS[0]), (flips, COLORS[1])):
                axes.plot((one + other)[which] / 2, (other - one)[which], "o", markersize=3, alpha=0.8, color=color)
            for value, text in zip((found.bias, *found.limits), ("mean", "lower limit", "upper limit"), strict=True):
                axes.axhline(value, color="0.5", linewidth=0.9, linestyle="-" if text == "mean" else "--", zorder=0)
                place = (1, value)
                axes.annotate(
                    f"{value:+.2f}", place, xycoords=axes.get_yaxis_transform(), fontsize=7, ha="right", va="bottom"
                )
            axes.set(title=name, xlabel="mean logit of the two scans")
        panels[0].set_ylabel("second less first")
        return png(figure)
