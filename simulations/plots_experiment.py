"""The pictures of an experiment: areas, differences, learning curves, the null; each a PNG in memory."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simulations.plots import COLORS, STYLE, Interval, png


def draw_differences(rows: Mapping[str, Interval], margins: Mapping[str, float]) -> bytes:
    """Draw differences of areas with their intervals, beside none.

    Args:
        rows: by name.
        margins: by name, the lowest difference that is aimed at.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((7.5, 0.4 * len(rows) + 1.1), layout="constrained")
        axes = figure.subplots()
        for place, (name, one) in enumerate(rows.items()):
            _row(axes, len(rows) - 1 - place, name, one, "{:+z.3f}")
            if name in margins:
                axes.plot(margins[name], len(rows) - 1 - place, "|", color=COLORS[5], markersize=14, markeredgewidth=2)
        axes.axvline(0, color="0.7", linewidth=0.8, zorder=0)
        axes.set(yticks=[], ylim=(-0.6, len(rows) - 0.3), xlabel="difference in AUC, 95 % interval")
        axes.spines["left"].set_visible(False)
        return png(figure)


def draw_points(rows: Mapping[str, Interval], ceiling: float, label: str) -> bytes:
    """Draw areas with their intervals, one below the other, beside the best possible."""
    with mpl.rc_context(STYLE):
        figure = Figure((7.5, 0.32 * len(rows) + 1.1), layout="constrained")
        axes = figure.subplots()
        for place, (name, one) in enumerate(rows.items()):
            _row(axes, len(rows) - 1 - place, name, one, "{:.3f}")
        axes.axvline(ceiling, color="0.7", linestyle="--", linewidth=0.8, zorder=0)
        axes.text(ceiling, len(rows) - 0.4, "best possible", ha="center", fontsize=7, color="0.4")
        axes.set(yticks=[], ylim=(-0.6, len(rows)), xlabel=label)
        axes.spines["left"].set_visible(False)
        return png(figure)


def draw_curves(curves: Mapping[str, Sequence[tuple[int, Interval]]], ceiling: float, counted: str) -> bytes:
    """Draw learning curves: areas with their intervals over a number, on a logarithmic axis.

    Args:
        curves: by way to train, pairs of how many and the area.
        ceiling: the best possible area.
        counted: what the number is of.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((5, 3.2), layout="constrained")
        axes = figure.subplots()
        for place, (name, points) in enumerate(curves.items()):
            # A little beside each other, or intervals would cover one another.
            counts = [count * 1.04**place for count, _ in points]
            values = [one.value for _, one in points]
            low, high = ([one.value - one.low for _, one in points], [one.high - one.value for _, one in points])
            axes.errorbar(
                counts, values, yerr=(low, high), fmt="o-", color=COLORS[place], capsize=3, linewidth=1.2, label=name
            )
        axes.axhline(ceiling, color="0.7", linestyle="--", linewidth=0.8)
        axes.annotate("best possible", (0.02, ceiling), xycoords=("axes fraction", "data"), fontsize=7, va="bottom")
        ticks = [count for count, _ in next(iter(curves.values()))]
        axes.set_xscale("log")
        axes.set_xticks(ticks, [str(count) for count in ticks])
        axes.minorticks_off()
        axes.set(xlabel=counted, ylabel="AUC (MGMT)")
        if len(curves) > 1:
            figure.legend(loc="outside upper center", ncols=len(curves), frameon=False, fontsize=8)
        return png(figure)


def draw_null(areas: Sequence[float], true_labels: float) -> bytes:
    """Draw where federations on shuffled labels come out, beside the one on true labels."""
    with mpl.rc_context(STYLE):
        figure = Figure((6, 2.4), layout="constrained")
        axes = figure.subplots()
        spread = np.linspace(-0.3, 0.3, len(areas)) if len(areas) > 1 else [0.0]
        axes.plot(areas, spread, "o", color=COLORS[0], alpha=0.7, label="shuffled labels")
        axes.plot(true_labels, 0, "D", color=COLORS[5], label="true labels")
        axes.axvline(0.5, color="0.7", linewidth=0.8, zorder=0)
        axes.set(yticks=[], ylim=(-0.6, 0.6), xlabel="AUC (MGMT) of held-out people")
        axes.spines["left"].set_visible(False)
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        return png(figure)


def _row(axes: Axes, place: int, name: str, one: Interval, form: str) -> None:
    axes.plot([one.low, one.high], [place, place], color="0.5", linewidth=2)
    axes.plot(one.value, place, "o", color=COLORS[0])
    axes.text(1.02, place, form.format(one.value), va="center", fontsize=8, transform=axes.get_yaxis_transform())
    axes.text(-0.02, place, name, ha="right", va="center", fontsize=8, transform=axes.get_yaxis_transform())
