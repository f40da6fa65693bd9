"""Four NIfTI files, one a sequence, known by name."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from core.errors import DataError
from core.imaging.pixels import MAX_SIDE, MAX_VOXELS
from core.imaging.sequences import Guess, named
from core.imaging.volume import SEQUENCES, Volume, check_extent, volume_of

# Of NIfTI-1 in one file, and the least of NIfTI-2.
_HEADER_BYTES = 352
_AGAIN = "convert the series to NIfTI again, one 3D file a sequence"


def is_nifti(path: Path) -> bool:
    """Return whether a file is named like NIfTI."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def nifti_name(path: Path) -> str:
    """Return a file's name without .nii or .nii.gz."""
    return path.name[: path.name.lower().rindex(".nii")]


def choose_files(files: Sequence[Path]) -> dict[str, tuple[Path, Guess]]:
    """Pick one file a sequence by name, in the order of SEQUENCES.

    Raises: DataError: a sequence is missing or there twice.
    """
    guesses = [(path, named([nifti_name(path)])) for path in files]
    chosen: dict[str, tuple[Path, Guess]] = {}
    for sequence in SEQUENCES:
        candidates = [(path, guess) for path, guess in guesses if guess.sequence == sequence]
        if len(candidates) > 1:
            raise DataError(
                f"{len(candidates)} NIfTI files are named like a {sequence}", fix="leave one file a sequence"
            )
        if candidates:
            chosen[sequence] = candidates[0]
    missing = [sequence for sequence in SEQUENCES if sequence not in chosen]
    if missing:
        raise DataError(
            f"The case has no {' and no '.join(missing)}",
            fix=f"name the files T1w.nii.gz, T1wCE.nii.gz, T2w.nii.gz and FLAIR.nii.gz; "
            f"found: {', '.join(chosen) or 'none of them'}",
        )
    return chosen


def read_nifti(path: Path) -> tuple[Volume, tuple[str, ...]]:
    """Read one 3D NIfTI file; its place in the patient is the one SimpleITK finds in qform or sform.

    Returns: the volume, and notes about its header.
    Values that are not numbers become 0, as the NIfTI library has it.

    Raises: DataError: not NIfTI, not 3D, too many voxels or millimeters, or cut short.
    """
    with _quietly():
        reader = _checked(path)
        keys = reader.GetMetaDataKeys()
        placed = any(reader.GetMetaData(key).strip() != "0" for key in ("qform_code", "sform_code") if key in keys)
        voxels = int(np.prod(reader.GetSize()))
        _check_whole(path, _HEADER_BYTES + voxels * int(reader.GetMetaData("bitpix")) // 8)
        reader.SetOutputPixelType(sitk.sitkFloat32)
        volume = volume_of(reader.Execute())
    return volume, () if placed else ("the header gives no place in the patient; the axes are taken as they are",)


def slices_of(path: Path) -> int:
    """Return how many slices a 3D NIfTI file announces, reading no more than its header.

    Raises: DataError: as `read_nifti`, but for what is cut short.
    """
    with _quietly():
        slices: int = _checked(path).GetSize()[2]
        return slices


@contextmanager
def _quietly() -> Iterator[None]:
    """Refuse what the NIfTI library stumbles over, without its warnings: they name the file, and so maybe the patient.

    Raises: DataError: damaged.
    """
    loud = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    except (RuntimeError, OSError, EOFError, ValueError, MemoryError, zlib.error):
        raise _damaged() from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(loud)


def _checked(path: Path) -> sitk.ImageFileReader:
    """Return a reader that has read a header which may be a head scan's."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    _check_size(reader.GetSize(), reader.GetNumberOfComponents())
    check_extent(reader.GetSize(), reader.GetSpacing())
    return reader


def read_mask(path: Path) -> Volume:
    """Read a tumor mask from one 3D NIfTI file.

    Raises: DataError: as `read_nifti`; says that it is the mask.
    """
    try:
        return read_nifti(path)[0]
    except DataError as error:
        raise DataError(f"The tumor mask: {error.problem}", fix=error.fix) from None


def _check_size(size: tuple[int, ...], components: int) -> None:
    """Refuse what is no 3D scalar image of a sensible size, before its voxels are read."""
    if len([side for side in size if side > 1]) > 3 or components != 1:
        raise DataError("A NIfTI file holds several volumes (4D)", fix="keep one 3D volume a file")
    if len(size) < 3 or min(size[:3]) < 2:
        raise DataError("A NIfTI file holds a single slice, which is no volume", fix=_AGAIN)
    if max(size) > MAX_SIDE or np.prod(np.array(size, dtype=np.float64)) > MAX_VOXELS:
        raise DataError(f"A NIfTI file holds more than {MAX_VOXELS} voxels", fix="keep the original resolution")


def _check_whole(path: Path, size: int) -> None:
    """Refuse a file of fewer bytes than its header promises: the NIfTI library would fill up what is cut off."""
    compressed = path.name.lower().endswith(".gz")
    with gzip.open(path) if compressed else path.open("rb") as stream:
        while size > 0 and (piece := stream.read(min(size, 2**20))):
            size -= len(piece)
    if size > 0:
        raise _damaged()


def _damaged() -> DataError:
    return DataError("A NIfTI file is damaged, cut short or no NIfTI", fix=_AGAIN)
