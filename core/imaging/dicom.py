"""A folder of DICOM -> its series; a series -> a Volume. No file name and no order of files is believed."""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from core.errors import DicomError, NotACaseError
from core.imaging.headers import frame_count, frames, image_headers, number, unreadable
from core.imaging.pixels import check_size, stored_pixels
from core.imaging.stack import Frame, Stack, stack_of
from core.imaging.volume import SEQUENCES, Volume, check_extent

Kind = Literal["original", "derived", "projection", "localizer", "mosaic"]

# A whole study has some thousand files; a disk's root has millions.
MAX_FILES = 20_000
# Echoes whose times differ by less are one; ms.
SAME_ECHO = 1.0

# Values of Image Type (0008,0008), by what they say of a series; the first that fits counts.
_KINDS: tuple[tuple[Kind, set[str]], ...] = (
    ("mosaic", {"MOSAIC"}),
    ("localizer", {"LOCALIZER", "SCOUT", "SURVEY"}),
    ("projection", {"PROJECTION IMAGE", "MIP", "MINIP", "MAX_IP", "MIN_IP", "CSA MIP", "SCREEN SAVE"}),
    ("derived", {"DERIVED"}),
)
# Phase, real and imaginary images often share a series with the magnitude.
_PARTS = ({"P", "PHASE", "PHASE MAP"}, {"R", "REAL"}, {"I", "IMAGINARY"})


@dataclass(frozen=True)
class Series:
    """Files of one SeriesInstanceUID that belong to one stack.

    Attributes:
        files, headers: in step; the headers without pixels.
        folder: names of the folders between the searched root and the files.
        kind: what the scanner or workstation made it for.
    """

    files: tuple[Path, ...]
    headers: tuple[Dataset, ...]
    folder: tuple[str, ...]
    kind: Kind

    @property
    def header(self) -> Dataset:
        """One header to speak for all: the same one whatever the files are called."""
        return self.headers[0]

    @property
    def slices(self) -> int:
        """Images in all files together."""
        return sum(frame_count(header) for header in self.headers)


@dataclass(frozen=True)
class Planes:
    """A series' image planes as its headers tell them: all that decoding it takes.

    Attributes:
        frames: in any order.
        rows, columns: of each.
    """

    frames: tuple[Frame, ...]
    rows: int
    columns: int


def files_under(folder: Path) -> list[Path]:
    """Return every file in a folder tree, sorted; hidden ones and macOS's shadow copies left out.

    Raises:
        NotACaseError: not a folder, or far more files than one patient has.
        DataError: a folder in the tree cannot be read.
    """
    if not folder.is_dir():
        raise NotACaseError("There is no such folder", fix="name the folder or zip archive of one patient's scans")
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
        if len(found) > MAX_FILES:
            raise NotACaseError(
                f"The folder holds more than {MAX_FILES} files, which no single case does",
                fix="name the folder of one patient",
            )
    return sorted(path for path in found if path.is_file())


def _refuse(error: OSError) -> None:
    """Stop at a folder that cannot be read, which os.walk would pass over as if it were empty."""
    raise unreadable(error)


def find_series(folder: Path) -> list[Series]:
    """Look at every file of a folder tree and return the image series in it, in an order that names do not change.

    Raises:
        NotACaseError: not a folder, or too many files.
        DataError: a file or folder cannot be read.
        DicomError: an image is damaged or larger than is read.
    """
    groups: dict[tuple[str, ...], list[tuple[Path, Dataset]]] = defaultdict(list)
    for path in files_under(folder):
        for header in image_headers(path):
            groups[_key(path.relative_to(folder).parts[:-1], header)].append((path, header))
    found = []
    for key in sorted(groups):
        for members in _by_echo(groups[key]):
            members.sort(key=lambda member: (str(member[1].get("SOPInstanceUID", "")), member[0]))
            parts = min(path.relative_to(folder).parts[:-1] for path, _ in members)
            headers = tuple(header for _, header in members)
            found.append(Series(tuple(path for path, _ in members), headers, parts, _kind(headers[0])))
    return found


def read_volume(planes: Planes) -> tuple[Volume, tuple[str, ...]]:
    """Decode a series' planes into a volume, slices ascending along row x column.

    Returns: the volume, and notes about what was mended on the way.
    Raises: DicomError: the series cannot be a volume; says why, and what to do.
    """
    stack = stack_in(planes)
    voxels, padding = _decode(stack, (len(stack.positions), planes.rows, planes.columns))
    if padding.any():
        # Magnitude images have nothing at 0, and there the background belongs.
        voxels[padding] = min(0.0, float(voxels[~padding].min(initial=0.0)))
    copies = sum(len(frames) for frames in stack.positions) - len(stack.positions)
    notes = (f"{copies} slices were there twice; the copies are equal and were left out",) if copies else ()
    return Volume(voxels, stack.spacing, stack.positions[0][0].position, stack.direction), notes


def planes_of(series: Series) -> Planes:
    """Return a series' planes.

    Raises: DicomError: a header does not say where its planes lie, or the series is a mosaic.
    """
    if series.kind == "mosaic":
        raise DicomError("The series is a Siemens mosaic", fix="export the sequence as one image a slice")
    found = [frame for path, header in zip(series.files, series.headers, strict=True) for frame in frames(path, header)]
    return Planes(tuple(found), int(series.header.Rows), int(series.header.Columns))


def stack_in(planes: Planes) -> Stack:
    """Return a series' planes in order, decoding none of them.

    Raises: DicomError: the series cannot be a volume, as far as its headers tell.
    """
    stack = stack_of(planes.frames)
    check_size(planes.rows, planes.columns, len(stack.positions))
    check_extent((planes.columns, planes.rows, len(stack.positions)), stack.spacing, DicomError)
    return stack


def _decode(stack: Stack, shape: tuple[int, int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return intensities and where they are padding, one plane a position.

    Raises: DicomError: planes at one position differ.
    """
    voxels = np.empty(shape, dtype=np.float32)
    padding = np.zeros(shape, dtype=np.bool_)
    differing = 0
    # A multi-frame file is decoded once for all its planes.
    held: tuple[Path, tuple[NDArray[Any], NDArray[np.bool_] | None]] | None = None
    for index, copies in enumerate(stack.positions):
        for copy, frame in enumerate(copies):
            if held is None or held[0] != frame.path:
                held = (frame.path, stored_pixels(frame.path))
            stored, padded = held[1]
            plane = _intensities(frame, stored, shape)
            if copy == 0:
                voxels[index] = plane
                padding[index] = False if padded is None else padded[frame.number]
            elif not np.array_equal(plane, voxels[index]):
                differing += 1
    if differing:
        raise _repeated(stack, differing)
    return voxels, padding


def _intensities(frame: Frame, stored: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return one plane, rescaled: float32 [rows, columns]."""
    if frame.number >= len(stored) or stored.shape[1:] != shape[1:]:
        raise DicomError("A file holds fewer or other images than it announces", fix="send or export the series again")
    plane: NDArray[np.float32] = (stored[frame.number] * frame.slope + frame.intercept).astype(np.float32)
    return plane


def _repeated(stack: Stack, differing: int) -> DicomError:
    """Return why planes that share a position but not their pixels are refused."""
    counts = {len(copies) for copies in stack.positions}
    if len(counts) == 1:
        return DicomError(
            f"The series holds {counts.pop()} volumes in one (4D: over time, echoes or weightings)",
            fix="export the one anatomical volume as its own series",
        )
    return DicomError(
        f"{differing} slices lie where another slice already is, with different pixels",
        fix="two scans were mixed under one series: export each separately",
    )


def _key(parts: tuple[str, ...], header: Dataset) -> tuple[str, ...]:
    """Return what files of one stack have in common, echoes aside."""
    image_type = _image_type(header)
    named = [part for part in parts if part in SEQUENCES]
    return (
        str(header.get("PatientID") or ""),
        str(header.get("StudyInstanceUID") or ""),
        str(header.get("SeriesInstanceUID") or "/".join(parts)),
        # One series copied into two sequences' folders is two answers to two questions.
        named[-1] if named else "",
        f"{int(header.Rows):06d} x {int(header.Columns):06d}",
        _kind(header),
        "".join(str(int(bool(part & image_type))) for part in _PARTS),
    )


def _kind(header: Dataset) -> Kind:
    """Return what a series was made for, by its image type."""
    image_type = _image_type(header)
    return next((kind for kind, words in _KINDS if words & image_type), "original")


def _image_type(header: Dataset) -> set[str]:
    """Return the values of Image Type (0008,0008)."""
    values = header.get("ImageType") or ()
    return {str(value).strip().upper() for value in ([values] if isinstance(values, str) else values)}


def _by_echo(members: list[tuple[Path, Dataset]]) -> list[list[tuple[Path, Dataset]]]:
    """Split files of one series by echo time: some scanners write two echoes under one UID."""
    members = sorted(members, key=lambda member: number(member[1].get("EchoTime"), 0.0))
    echoes: list[list[tuple[Path, Dataset]]] = []
    last = -np.inf
    for member in members:
        echo = number(member[1].get("EchoTime"), 0.0)
        if echo - last > SAME_ECHO:
            echoes.append([])
        echoes[-1].append(member)
        last = echo
    return echoes
