"""Image planes in space: whether they stack into one volume, in which order, and with which geometry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DicomError

# No scanner is this large, no voxel this small; mm.
FARTHEST_MM = 1e5
SMALLEST_MM = 1e-3
# Two planes closer than this are one position; mm.
SAME_POSITION = 0.01
# Scanners round positions to 0.1 mm at worst; a lost slice changes a step by 100 %.
STEP_TOLERANCE_MM = 0.1
STEP_TOLERANCE = 0.1
# Planes of one stack may drift sideways by rounded headers only; mm over the whole stack.
DRIFT_MM = 1.0
# Direction cosines written with three decimals still pass.
COSINE_TOLERANCE = 5e-3


@dataclass(frozen=True)
class Frame:
    """One image plane: where its pixels are, where it lies, and how its numbers become intensities.

    Attributes:
        path, number: the file, and the frame within it (0 where a file holds one image).
        position: mm, LPS center of the first voxel (0020,0032).
        cosines: LPS unit vectors along a row and along a column (0020,0037).
        spacing: mm between rows, and between columns (0028,0030).
        slope, intercept: stored value to intensity (0028,1053), (0028,1052).
    """

    path: Path
    number: int
    position: tuple[float, float, float]
    cosines: tuple[float, float, float, float, float, float]
    spacing: tuple[float, float]
    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True)
class Stack:
    """Frames in order along the slice normal; frames at one position stand together.

    Attributes:
        positions: the frames at each position, ascending along row x column.
        spacing: mm along (columns, rows, slices).
        direction: float64 [3, 3], whose columns are the row, the column and the normal direction (LPS).
    """

    positions: tuple[tuple[Frame, ...], ...]
    spacing: tuple[float, float, float]
    direction: NDArray[np.float64]


def stack_of(frames: Sequence[Frame]) -> Stack:
    """Order frames along their normal and check that they fill a box evenly.

    The order of `frames` and their file names do not matter.

    Raises: DicomError: no or one slice, two orientations or pixel spacings, gaps, a sheared stack, broken geometry.
    Source: PS3.3 C.7.6.2.1.1 (Image Position and Orientation).
    """
    if not frames:
        raise DicomError("The series has no slices", fix="export the series again")
    # Written so that a NaN fails too.
    if not all(
        abs(value) <= FARTHEST_MM for frame in frames for value in (*frame.position, *frame.cosines, *frame.spacing)
    ):
        raise DicomError("A slice's geometry holds what is no length", fix="export the series again")
    # The reference plane must not depend on the order in which files were found.
    frames = sorted(frames, key=lambda frame: (frame.position, frame.cosines))
    direction = _direction(frames)
    rows, columns = _pixel_spacing(frames)
    places = np.array([frame.position for frame in frames], dtype=np.float64)
    along = places @ direction[:, 2]
    order = np.argsort(along, kind="stable")
    groups: list[list[int]] = []
    for index in order:
        if groups and along[index] - along[groups[-1][0]] < SAME_POSITION:
            groups[-1].append(int(index))
        else:
            groups.append([int(index)])
    if len(groups) == 1:
        raise DicomError(
            "The series is a single slice, which is no volume",
            fix="export the whole series, not a screenshot or a localizer",
        )
    step = _step(np.array([along[group[0]] for group in groups]))
    _check_drift(places - np.outer(along, direction[:, 2]))
    return Stack(
        positions=tuple(tuple(frames[index] for index in group) for group in groups),
        spacing=(columns, rows, step),
        direction=direction,
    )


def _direction(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Return the one orthonormal, right-handed orientation that all frames share."""
    cosines = np.array([frame.cosines for frame in frames], dtype=np.float64)
    row, column = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm(cosines.reshape(-1, 3), axis=1)
    unit = bool(np.all(np.abs(lengths - 1) <= COSINE_TOLERANCE))
    square = bool(np.all(np.abs(np.sum(cosines[:, :3] * cosines[:, 3:], axis=1)) <= COSINE_TOLERANCE))
    if not (unit and square):
        raise DicomError(
            "The slices' direction cosines are not orthonormal",
            fix="export the series again from the scanner or archive, without reformatting",
        )
    if np.abs(cosines - cosines[0]).max() > COSINE_TOLERANCE:
        raise DicomError(
            "The series has two orientations",
            fix="export the localizer separately, so that each series holds slices of one orientation",
        )
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    column = column / np.linalg.norm(column)
    return np.stack([row, column, np.cross(row, column)], axis=1)


def _pixel_spacing(frames: Sequence[Frame]) -> tuple[float, float]:
    """Return the one spacing between rows and between columns, in mm."""
    spacing = np.array([frame.spacing for frame in frames], dtype=np.float64)
    if spacing.min() < SMALLEST_MM:
        raise DicomError("The pixel spacing is zero or negative", fix="export the series again")
    if np.abs(spacing - spacing[0]).max() > 1e-3 * spacing[0].max():
        raise DicomError("The series has two pixel spacings", fix="export each reconstruction as its own series")
    return float(spacing[0, 0]), float(spacing[0, 1])


def _step(along: NDArray[np.float64]) -> float:
    """Return the even distance between slices, in mm."""
    steps = np.diff(along)
    usual = float(np.median(steps))
    uneven = np.abs(steps - usual) > max(STEP_TOLERANCE_MM, STEP_TOLERANCE * usual)
    if uneven.any():
        worst = float(steps[np.argmax(np.abs(steps - usual))])
        raise DicomError(
            f"The slices are unevenly spaced: a step of {worst:.1f} mm among steps of {usual:.1f} mm, "
            f"at {int(uneven.sum())} of {len(steps)} places",
            fix="slices are missing or surplus: send or export the whole series again",
        )
    return float(along[-1] - along[0]) / len(steps)


def _check_drift(sideways: NDArray[np.float64]) -> None:
    """Refuse planes that do not lie behind one another; positions less their part along the normal, mm [n, 3]."""
    drift = float(np.linalg.norm(sideways - sideways[0], axis=1).max())
    if drift > DRIFT_MM:
        raise DicomError(
            f"The slices are shifted sideways by {drift:.1f} mm against each other",
            fix="export the original, unsheared series",
        )
