"""The report's pictures, each a PNG in memory.

Colors are Okabe and Ito's (2008), which color-blind readers can tell apart; lines differ in dash as well.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from core.imaging.case import PreparedCase
from core.imaging.volume import SEQUENCES
from core.learning.metrics import REGIONS

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
REGION_COLORS = {"necrosis": "#D55E00", "edema": "#56B4E9", "enhancing": "#F0E442"}
STYLE: dict[Any, Any] = {  # matplotlib types its keys as one long Literal
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "figure.dpi": 110,
}


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def draw_rounds(losses: Mapping[str, Sequence[float]], aucs: Mapping[str, Sequence[float]], best_round: int) -> bytes:
    """Draw validation loss and AUC after each round, a line a site and one for all together.

    Args:
        losses, aucs: by name, one value a round; round 0 is the untrained model. NaN leaves a gap.
        best_round: the round that became the model version.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((9, 3.2), layout="constrained")
        for axes, curves, title in zip(
            figure.subplots(1, 2), (losses, aucs), ("Validation loss", "Validation AUC (MGMT)"), strict=True
        ):
            for (name, values), color, dash in zip(curves.items(), cycle(COLORS), cycle(DASHES), strict=False):
                width = 2.2 if name == "all sites" else 1.1
                axes.plot(range(len(values)), values, color=color, linestyle=dash, linewidth=width, label=name)
            axes.axvline(best_round, color="0.6", linewidth=0.8, zorder=0)
            axes.annotate("best", (best_round, 1), xycoords=("data", "axes fraction"), fontsize=7, color="0.4")
            axes.set(title=title, xlabel="round")
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylim(0, 1.02)
        axes.legend(fontsize=8)
        return png(figure)


def draw_roc(curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> bytes:
    """Draw receiver operating characteristics.

    Args:
        curves: by name, false and true positive rates.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((4.4, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=0.8)
        for (name, (false_rate, true_rate)), color, dash in zip(
            curves.items(), cycle(COLORS), cycle(DASHES), strict=False
        ):
            width = 2.4 if name == "federation" else 1.1
            axes.plot(false_rate, true_rate, color=color, linestyle=dash, linewidth=width, label=name)
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal", title="ROC, outside patients")
        axes.legend(fontsize=8, loc="lower right")
        return png(figure)


def draw_intervals(aucs: Mapping[str, Interval], ceiling: float | None) -> bytes:
    """Draw each model's AUC with its interval, beside chance and, where it is known, the best possible."""
    with mpl.rc_context(STYLE):
        figure = Figure((4.4, 0.5 * len(aucs) + 1.2), layout="constrained")
        axes = figure.subplots()
        for row, (name, auc) in enumerate(reversed(list(aucs.items()))):
            axes.plot([auc.low, auc.high], [row, row], color="0.5", linewidth=2)
            axes.plot(auc.value, row, "o", color=COLORS[0])
            axes.text(auc.value, row + 0.18, f"{auc.value:.2f}", ha="center", fontsize=8)
            axes.text(-0.02, row, name, ha="right", va="center", transform=axes.get_yaxis_transform())
        for value, text in [(0.5, "chance")] + ([] if ceiling is None else [(ceiling, "best possible")]):
            axes.axvline(value, color="0.7", linestyle="--", linewidth=0.8, zorder=0)
            axes.text(value, len(aucs) - 0.35, text, ha="center", fontsize=7, color="0.4")
        axes.set(yticks=[], xlim=(0.3, 1.02), ylim=(-0.5, len(aucs) - 0.2), xlabel="AUC (MGMT), 95 % interval")
        axes.spines["left"].set_visible(False)
        return png(figure)


def draw_folds(groups: Mapping[str, Mapping[str, Interval]]) -> bytes:
    """Draw AUCs with their intervals, a row each, under a heading a group.

    Args:
        groups: by heading, by name; NaN bounds draw no interval, a NaN value says that there was one class only.
    """
    rows = sum(len(group) + 1 for group in groups.values())
    with mpl.rc_context(STYLE):
        figure = Figure((6.4, 0.24 * rows + 0.7), layout="constrained")
        axes = figure.subplots()
        place = 0
        for (heading, group), color in zip(groups.items(), cycle(COLORS), strict=False):
            axes.text(
                -0.02, place, heading, ha="right", va="center", weight="bold", transform=axes.get_yaxis_transform()
            )
            for name, auc in group.items():
                place += 1
                axes.plot([auc.low, auc.high], [place, place], color=color, linewidth=2, alpha=0.45)
                axes.plot(auc.value, place, "o", color=color, markersize=4, clip_on=False)
                told = "one class only" if np.isnan(auc.value) else f"{auc.value:.2f}"
                for x, text, align in ((-0.02, name, "right"), (1.02, told, "left")):
                    axes.text(x, place, text, ha=align, va="center", transform=axes.get_yaxis_transform())
            place += 1
        axes.axvline(0.5, color="0.7", linestyle="--", linewidth=0.8, zorder=0)
        axes.annotate("chance", (0.5, 1), xycoords=("data", "axes fraction"), ha="center", fontsize=7, color="0.4")
        axes.set(yticks=[], xlim=(0, 1), ylim=(place - 0.4, -0.6), xlabel="AUC (MGMT), 95 % interval")
        axes.spines["left"].set_visible(False)
        return png(figure)


def draw_case(case: PreparedCase) -> bytes:
    """Draw the four prepared sequences in three planes through the tumor's or brain's middle, with the mask."""
    center = _center(case)
    with mpl.rc_context(STYLE):
        figure = Figure((9, 6.9), layout="constrained")
        grid = figure.subplots(3, len(SEQUENCES))
        for row, plane in enumerate(("axial", "coronal", "sagittal")):
            for column, sequence in enumerate(SEQUENCES):
                axes = grid[row, column]
                _slice(axes, case, column, row, center)
                axes.contour(_cut(case.brain.astype(float), row, center), [0.5], colors="#E69F00", linewidths=0.9)
                if row == 0:
                    axes.set_title(sequence, loc="center")
                if column == 0:
                    axes.text(-0.04, 0.5, plane, rotation=90, ha="right", va="center", transform=axes.transAxes)
        return png(figure)


def draw_tumor(case: PreparedCase, tumor_map: NDArray[np.float32]) -> bytes:
    """Draw the model's tumor map over a case, beside what was planted there.

    Args:
        case: a prepared case with its mask.
        tumor_map: float32 [3, n, n, n], probabilities of necrosis, edema, enhancing.
    """
    center = _center(case)
    scale = case.image.shape[1] / tumor_map.shape[1]
    fine = [ndimage.zoom(region, scale, order=1, grid_mode=True, mode="nearest") for region in tumor_map]
    with mpl.rc_context(STYLE):
        figure = Figure((9, 6.4), layout="constrained")
        for row, (grid, kind) in enumerate(zip(figure.subplots(2, 3), ("outlined", "found"), strict=True)):
            for plane, axes in enumerate(grid):
                _slice(axes, case, SEQUENCES.index("T1wCE"), plane, center)
                for index, (region, color) in enumerate(REGION_COLORS.items()):
                    planted = (
                        np.zeros(case.brain.shape)
                        if case.tumor is None
                        else (case.tumor == REGIONS[region]).astype(float)
                    )
                    cut = _cut(planted if row == 0 else fine[index], plane, center)
                    if cut.max() > 0.5:
                        axes.contour(cut, [0.5], colors=color, linewidths=1.4)
                if plane == 0:
                    axes.text(-0.03, 0.5, kind, rotation=90, ha="right", va="center", transform=axes.transAxes)
        handles = [mpl.lines.Line2D([], [], color=color, label=region) for region, color in REGION_COLORS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
        return png(figure)


def _center(case: PreparedCase) -> tuple[int, int, int]:
    """Where to cut: through the tumor if there is one, else through the brain."""
    inside = case.tumor > 0 if case.tumor is not None and case.tumor.any() else case.brain
    if not inside.any():
        inside = np.ones_like(case.brain)
    first, second, third = (int(np.median(axis)) for axis in np.nonzero(inside))
    return first, second, third


def _cut(volume: NDArray[Any], plane: int, center: tuple[int, int, int]) -> NDArray[Any]:
    """Take one plane, turned as radiologists look: axial from below, coronal from the front, sagittal from the left."""
    cut: NDArray[Any] = np.take(volume, center[plane], axis=plane)
    return cut if plane == 0 else cut[::-1]


def _slice(axes: Axes, case: PreparedCase, channel: int, plane: int, center: tuple[int, int, int]) -> None:
    """Show one plane of one sequence, black outside of the brain."""
    image = case.image[channel]
    low, high = np.percentile(image[case.brain], [0.5, 99]) if case.brain.any() else (0.0, 1.0)
    shown = np.where(case.brain, image, low)
    axes.imshow(_cut(shown, plane, center), cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
    axes.set_axis_off()


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG that says nothing of who drew it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
