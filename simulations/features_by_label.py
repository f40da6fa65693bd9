"""Which hand-crafted features differ between methylated and unmethylated tumors: means by label, with a forest plot.

Sources: Hedges and Olkin 1985 (the standardized difference, unbiased, and its interval); Mann and Whitney 1947.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.stats import mannwhitneyu

from core.errors import DataError
from core.learning.cases import TrainingCase
from core.learning.curves import Z
from core.learning.differences import holm
from core.learning.intervals import Interval
from core.report import Part, Picture, Table
from simulations.hand_crafted import feature_table
from simulations.plots import COLORS, STYLE, png

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class FeatureDifference:
    """One feature by label.

    Attributes:
        name: of the feature.
        methylated, unmethylated: its means.
        difference, interval: standardized, methylated less unmethylated (Hedges' g), with its 95 % interval.
        p: of the Mann-Whitney test, raised for the number of features (Holm).
    """

    name: str
    methylated: float
    unmethylated: float
    difference: float
    interval: Interval
    p: float


def features_by_label(cases: Sequence[TrainingCase], maps: Sequence[NDArray[np.float32]]) -> list[FeatureDifference]:
    """Compare every feature between labels, in the features' order.

    Args:
        cases: those without a label are left out.
        maps: where each one's tumor is, float32 [3, n, n, n].
    Raises: DataError: fewer than two cases of either label.
    """
    labeled = [place for place, case in enumerate(cases) if case.mgmt is not None]
    labels = np.array([cases[place].mgmt for place in labeled])
    if min((labels == 0).sum(), (labels == 1).sum()) < 2:
        raise DataError("Fewer than two cases of a label cannot be compared", fix="choose a larger cohort")
    names, table = feature_table([cases[place] for place in labeled], [maps[place] for place in labeled])
    ones, zeros = table[labels == 1], table[labels == 0]
    p_values = holm([float(mannwhitneyu(one, zero).pvalue) for one, zero in zip(ones.T, zeros.T, strict=True)])
    return [
        FeatureDifference(name, float(one.mean()), float(zero.mean()), *standardized_difference(one, zero), p)
        for name, one, zero, p in zip(names, ones.T, zeros.T, p_values, strict=True)
    ]


def standardized_difference(first: ArrayLike, second: ArrayLike) -> tuple[float, Interval]:
    """Return Hedges' g of two groups, first less second, and its 95 % interval; 0 where neither varies.

    Args:
        first, second: float [cases], at least two each.
    Source: Hedges and Olkin 1985, chapter 5.
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    total = len(one) + len(other)
    squares = sum(float(np.square(group - group.mean()).sum()) for group in (one, other))
    spread = sqrt(squares / (total - 2))
    g = (1 - 3 / (4 * total - 9)) * float(one.mean() - other.mean()) / spread if spread > 0 else 0.0
    half = Z * sqrt(total / (len(one) * len(other)) + g**2 / (2 * total))
    return g, (g - half, g + half)


def features_by_label_part(cases: Sequence[TrainingCase], maps: Sequence[NDArray[np.float32]], source: str) -> Part:
    """Return what a report says of features by label.

    Args:
        cases, maps: as of `features_by_label`.
        source: where the tumor's regions are from, in words, such as `the experts' masks`.
    """
    found = features_by_label(cases, maps)
    rows = [
        (
            each.name,
            f"{each.methylated:.3g}",
            f"{each.unmethylated:.3g}",
            f"{each.difference:+.2f}",
            "{:+.2f} to {:+.2f}".format(*each.interval),
            f"{each.p:.2g}",
        )
        for each in found
    ]
    labels = [case.mgmt for case in cases]
    return Part(
        "Imaging features by methylation",
        (
            f"{labels.count(1)} methylated and {labels.count(0)} unmethylated patients, regions from {source}. Volumes "
            "are shares of the brain; brightness is in standard deviations of the brain's.",
            Table(
                ("feature", "methylated", "unmethylated", "standardized difference", "95 % interval", "p (Holm)"),
                rows,
                frozenset(place for place, each in enumerate(found) if each.p < SIGNIFICANT),
            ),
            Picture(
                draw_forest(found),
                "Standardized difference (methylated less unmethylated) with its 95 % interval; filled where the "
                "Mann-Whitney p, raised for the number of features, is below 0.05",
            ),
        ),
    )


def draw_forest(found: Sequence[FeatureDifference]) -> bytes:
    """Draw each feature's standardized difference with its interval, a row each, in the given order."""
    with mpl.rc_context(STYLE):
        figure = Figure((6.4, 0.2 * len(found) + 0.9), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color="0.7", linewidth=0.8, zorder=0)
        for row, each in enumerate(found):
            clear = each.p < SIGNIFICANT
            color = COLORS[0] if clear else "0.55"
            axes.plot(each.interval, [row, row], color=color, linewidth=1.6, alpha=0.6)
            axes.plot(
                each.difference, row, "o", color=color, markersize=4.5, markerfacecolor=color if clear else "white"
            )
        axes.set_yticks(range(len(found)), [each.name for each in found], fontsize=8)
        axes.set(ylim=(len(found) - 0.4, -0.6), xlabel="standardized difference, methylated less unmethylated")
        axes.tick_params(axis="y", length=0)
        return png(figure)
