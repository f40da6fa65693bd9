"""A tuning's pictures: how it got better, what was stopped, what mattered, and where good settings lie."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from simulations.plots import COLORS, STYLE, png

Value = bool | int | float | str
# Slices in a row of the picture.
ROW = 3


@dataclass(frozen=True)
class Drawn:
    """A trial as it is drawn.

    Attributes:
        number: from 0.
        value: its score; None where it was stopped.
        params: its settings by dotted name.
        course: by step, the score then.
    """

    number: int
    value: float | None
    params: Mapping[str, Value]
    course: Mapping[int, float] = field(default_factory=dict)


def draw_history(trials: Sequence[Drawn], goal: str, step: str, *, higher_is_better: bool) -> bytes:
    """Draw every trial's score with the best so far, and how each came there.

    Args:
        trials: in order.
        goal: what the score is called.
        step: what a course is counted in.
        higher_is_better: whether the best is the highest.
    """
    better = np.fmax if higher_is_better else np.fmin
    values = np.array([np.nan if trial.value is None else trial.value for trial in trials])
    stopped = [trial for trial in trials if trial.value is None and trial.course]
    with mpl.rc_context(STYLE):
        figure = Figure((9, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for trial in stopped:
            left.plot(trial.number, list(trial.course.values())[-1], "x", color="0.6")
        left.plot([trial.number for trial in trials], values, "o", color=COLORS[0], markersize=4, label="complete")
        left.plot([], [], "x", color="0.6", label="stopped")
        left.step([trial.number for trial in trials], better.accumulate(values), where="post", color=COLORS[1],
                  label="best so far")  # fmt: skip
        left.set(title="Trials", xlabel="trial", ylabel=goal)
        left.xaxis.get_major_locator().set_params(integer=True)
        left.legend(fontsize=8)
        for trial in trials:
            is_best = trial.value is not None and trial.value == better.reduce(values)
            color, width = (COLORS[1], 2.2) if is_best else (COLORS[0], 0.7)
            right.plot(
                list(trial.course), list(trial.course.values()), color="0.7" if trial.value is None else color,
                linewidth=width, zorder=3 if is_best else 2,
            )  # fmt: skip
        for trial in stopped:
            right.plot(*list(trial.course.items())[-1], "x", color="0.6", markersize=4)
        right.set(title=f"Score by {step}", xlabel=step)
        right.xaxis.get_major_locator().set_params(integer=True)
        return png(figure)


def draw_importances(importances: Mapping[str, float]) -> bytes:
    """Draw each setting's share of what made trials good, the largest first."""
    with mpl.rc_context(STYLE):
        figure = Figure((6.5, 0.35 * len(importances) + 0.9), layout="constrained")
        axes = figure.subplots()
        for row, (name, share) in enumerate(sorted(importances.items(), key=lambda item: item[1])):
            axes.barh(row, share, color=COLORS[0], height=0.6)
            axes.text(share + 0.01, row, f"{share:.2f}", va="center", fontsize=8)
            axes.text(-0.01, row, name, ha="right", va="center", transform=axes.get_yaxis_transform())
        axes.set(yticks=[], xlim=(0, max(1e-9, *importances.values()) * 1.12), xlabel="importance, of 1")
        axes.spines["left"].set_visible(False)
        return png(figure)


def draw_slices(trials: Sequence[Drawn], logarithmic: Mapping[str, bool], goal: str) -> bytes:
    """Draw the score of complete trials by each setting, later trials darker.

    Args:
        trials: in order.
        logarithmic: by dotted name, each setting that is searched and whether as a logarithm.
        goal: what the score is called.
    """
    complete = [trial for trial in trials if trial.value is not None]
    rows = -(-len(logarithmic) // ROW)
    with mpl.rc_context(STYLE):
        figure = Figure((9, 2.5 * rows + 0.3), layout="constrained")
        panels = figure.subplots(rows, ROW, squeeze=False, sharey=True).ravel()
        for axes, (name, is_logarithmic) in zip(panels, logarithmic.items(), strict=False):
            _slice(axes, [trial.params[name] for trial in complete], complete)
            axes.set_title(name, fontsize=9)
            if is_logarithmic:
                axes.set_xscale("log")
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.xaxis.set_major_formatter("{x:g}")
                axes.xaxis.set_minor_locator(NullLocator())
        for axes in panels[len(logarithmic) :]:
            axes.set_axis_off()
        for first in figure.axes[::ROW]:
            first.set_ylabel(goal)
        return png(figure)


def _slice(axes: Axes, settings: Sequence[Value], trials: Sequence[Drawn]) -> None:
    """Draw a setting's panel; texts and switches stand side by side."""
    places: Sequence[float]
    if any(isinstance(value, (str, bool)) for value in settings):
        names = sorted({str(value) for value in settings})
        places = [names.index(str(value)) for value in settings]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    else:
        places = [float(value) for value in settings]
    order = [trial.number for trial in trials]
    axes.scatter(places, [trial.value or 0.0 for trial in trials], c=order, cmap="Blues", vmin=-len(order), s=18)
