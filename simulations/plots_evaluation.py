"""The pictures of an evaluation: curves of both heads, scores by group, and the worst cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from core.imaging.volume import SEQUENCES
from core.learning.evaluation import INSIDE
from simulations.plots import COLORS, DASHES, STYLE, Interval, png

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
PREDICTED, REFERENCE = "#E69F00", "#56B4E9"


@dataclass(frozen=True)
class Shown:
    """A case to look at.

    Attributes:
        title: what to say of it.
        image: float32 [4, N, N, N], as prepared.
        predicted, reference: float32 [n, n, n], the tumor's share of each voxel of the coarse map, as the model draws
            it and as it is; None without a reference.
    """

    title: str
    image: NDArray[np.float32]
    predicted: NDArray[np.float32]
    reference: NDArray[np.float32] | None


def draw_curves(roc: Mapping[str, Curve], precision_recall: Mapping[str, tuple[Curve, float]]) -> bytes:
    """Draw each head's receiver operating characteristic and its precision over recall.

    Args:
        roc: by name, false and true positive rates.
        precision_recall: by name, recall and precision, and the share of positives, which is chance.
    """
    with mpl.rc_context(STYLE):
        figure = Figure((9, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color="0.8", linewidth=0.8)
        for (name, (false_rate, true_rate)), color, dash in zip(roc.items(), COLORS, DASHES, strict=False):
            left.plot(false_rate, true_rate, color=color, linestyle=dash, label=name)
        for (name, ((recall, precision), share)), color, dash in zip(
            precision_recall.items(), COLORS, DASHES, strict=False
        ):
            # Average precision is the area under these steps.
            right.step([0, *recall], [precision[0], *precision], where="pre", color=color, linestyle=dash, label=name)
            right.axhline(share, color=color, linewidth=0.7, alpha=0.5)
        left.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal", title="ROC")
        right.set(xlabel="recall", ylabel="precision", title="Precision and recall (thin: chance)", aspect="equal")
        for axes in (left, right):
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        if roc:
            left.legend(fontsize=8, loc="lower right")
        return png(figure)


def draw_forest(heads: Mapping[str, Mapping[str, Sequence[tuple[str, Interval]]]]) -> bytes:
    """Draw the area under the curve of each group with its interval, a column a head.

    Args:
        heads: by head and heading, which may be empty, the groups' names and areas.
    """
    most = max(
        (sum(bool(heading) + len(groups) for heading, groups in of.items() if groups) for of in heads.values()),
        default=0,
    )
    with mpl.rc_context(STYLE):
        figure = Figure((9, 0.28 * most + 1.1), layout="constrained")
        for axes, (head, headings), color in zip(
            np.atleast_1d(figure.subplots(1, max(1, len(heads)))), heads.items(), cycle(COLORS), strict=False
        ):
            row = 0
            for heading, groups in headings.items():
                if groups and heading:
                    _label(axes, row, heading, bold=True)
                    row += 1
                for name, area in groups:
                    _label(axes, row, name)
                    axes.plot([area.low, area.high], [row, row], color="0.5", linewidth=2)
                    axes.plot(area.value, row, "o", color=color, clip_on=False)
                    row += 1
            axes.axvline(0.5, color="0.7", linestyle="--", linewidth=0.8, zorder=0)
            axes.set(yticks=[], xlim=(0, 1.02), ylim=(most - 0.4, -0.6), xlabel="AUC, 95 % interval", title=head)
            axes.spines["left"].set_visible(False)
        return png(figure)


def draw_cases(cases: Sequence[Shown]) -> bytes:
    """Draw cases, a row each: the four sequences in one axial plane, with the predicted and the reference outline."""
    with mpl.rc_context(STYLE):
        figure = Figure((9, 2.55 * len(cases) + 0.4), layout="constrained")
        places = figure.add_gridspec(len(cases), 1)
        for place, case in enumerate(cases):
            row = figure.add_subfigure(places[place])
            row.suptitle(case.title, fontsize=9, x=0.02, ha="left")
            for axes, sequence, image in zip(row.subplots(1, len(SEQUENCES)), SEQUENCES, case.image, strict=True):
                _show(axes, case, image)
                axes.set_title(sequence, loc="center", fontsize=8)
        handles = [
            mpl.lines.Line2D([], [], color=PREDICTED, label="tumor as the model draws it"),
            mpl.lines.Line2D([], [], color=REFERENCE, linestyle="--", label="as its reference is"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8)
        return png(figure)


def _fine(coarse: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """Return a coarse map, [n, n, n], on a grid so many times as fine."""
    zoomed: NDArray[np.float32] = ndimage.zoom(coarse, scale, order=1, grid_mode=True, mode="nearest")
    return zoomed


def _label(axes: Axes, row: int, text: str, *, bold: bool = False) -> None:
    weight = "bold" if bold else "normal"
    axes.text(
        -0.02, row, text, ha="right", va="center", fontsize=8, weight=weight, transform=axes.get_yaxis_transform()
    )


def _show(axes: Axes, case: Shown, image: NDArray[np.float32]) -> None:
    """Show one sequence in the plane with most of the tumor: the reference's, or the predicted one, or of the brain."""
    scale = image.shape[0] // case.predicted.shape[0]
    brain = case.image.any(0)
    has_tumor = case.reference is not None and case.reference.any()
    drawn = case.reference if case.reference is not None and has_tumor else case.predicted
    tumor = _fine(drawn, scale)
    plane = int((tumor if has_tumor or tumor.max() > INSIDE else brain).sum((1, 2)).argmax())
    low, high = np.percentile(image[brain], [0.5, 99]) if brain.any() else (0.0, 1.0)
    axes.imshow(np.where(brain, image, low)[plane], cmap="gray", vmin=low, vmax=high, interpolation="bilinear")
    for shares, color, dash in ((case.predicted, PREDICTED, "-"), (case.reference, REFERENCE, "--")):
        if shares is None:
            continue
        cut = _fine(shares, scale)[plane]
        if cut.max() > INSIDE > cut.min():
            axes.contour(cut, [INSIDE], colors=color, linestyles=dash, linewidths=1.3)
    axes.set_axis_off()
