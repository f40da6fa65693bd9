"""Pictures of how far probabilities hold, and of what is gained where a model may keep silent; each a PNG in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from core.learning.calibration_error import equal_mass
from core.learning.intervals import wilson_interval
from simulations.plots import COLORS, DASHES, STYLE, Interval, png

Vector = NDArray[np.float64]
MARKS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Group:
    """Cases of about the same probability: its mean, how many there are, and their share of positives."""

    probability: float
    cases: int
    share: Interval


def groups_of(labels: ArrayLike, probabilities: ArrayLike, bins: int) -> list[Group]:
    """Put cases into bins of about as many each, and count the positives of each bin.

    Args:
        labels: [cases], 0 or 1.
        probabilities: float [cases], 0 to 1.
        bins: how many at most.
    """
    truth, chance = np.asarray(labels, np.float64), np.asarray(probabilities, np.float64)
    groups = []
    places = equal_mass(chance, bins)
    for place in np.unique(places):
        hits = truth[places == place]
        low, high = wilson_interval(hits.sum(), len(hits)) or (0.0, 1.0)
        share = Interval(float(hits.mean()), low, high)
        groups.append(Group(float(chance[places == place].mean()), len(hits), share))
    return groups


def draw_reliability(groups: Mapping[str, Sequence[Group]]) -> bytes:
    """Draw for each kind of probability, in a panel of its own, what was said against what happened.

    Args:
        groups: by kind, as `groups_of` returns them; bars are 95 % intervals.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((3 * len(groups) + 0.4, 3.7), layout="constrained")
        panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for axes, (name, held), color, mark in zip(panels, groups.items(), cycle(COLORS), cycle(MARKS), strict=False):
            axes.plot([0, 1], [0, 1], color="0.8", linewidth=0.8, zorder=0)
            for group in held:
                axes.plot([group.probability] * 2, [group.share.low, group.share.high], color=color, linewidth=1)
            axes.plot([g.probability for g in held], [g.share.value for g in held], mark, color=color, markersize=5)
            axes.set(title=name, xlabel="probability given", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        panels[0].set_ylabel("share of positives")
        return png(figure)


def draw_risks(curves: Mapping[str, tuple[Vector, Vector]], told: Sequence[tuple[float, float]]) -> bytes:
    """Draw risk-coverage curves: how often a model is wrong among the share of cases that it is surest of.

    Args:
        curves: by name, coverages and risks of held-out cases.
        told: the coarse curve of the validation cases, as a version's calibration.json holds it.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((5.2, 3.4), layout="constrained")
        axes = figure.subplots()
        for (name, (coverages, risks)), color, dash in zip(curves.items(), COLORS, DASHES, strict=False):
            axes.plot(coverages, risks, color=color, linestyle=dash, linewidth=1.4, label=name)
        if told:
            axes.plot(*zip(*told, strict=True), "o", color="0.35", markersize=4, label="calibration cases themselves")
        axes.set(xlabel="coverage: share of cases answered", ylabel="risk: share of these answered wrongly")
        axes.set(xlim=(0, 1.02), ylim=(0, None))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.legend(fontsize=8)
        return png(figure)
