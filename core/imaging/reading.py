"""One patient's scans, as a folder, a zip or NIfTI files -> four volumes; a cohort's folders and labels."""

import csv
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from core.errors import DataError, DicomError, NotACaseError
from core.imaging.archives import unpacked
from core.imaging.dicom import Planes, Series, files_under, find_series, planes_of, read_volume
from core.imaging.found import Found
from core.imaging.headers import unreadable
from core.imaging.identity import check_one_study
from core.imaging.nifti import choose_files, is_nifti, nifti_name, read_nifti
from core.imaging.sequences import Guess, choose, identify, named
from core.imaging.volume import SEQUENCES, Volume

LABELS_HEADER = ["BraTS21ID", "MGMT_value"]
PATIENTS_HEADER = ["BraTS21ID", "patient"]
_FOUR = "name a folder or zip archive with one patient's T1w, T1wCE, T2w and FLAIR"


@dataclass(frozen=True)
class Source:
    """Where one sequence came from.

    Attributes:
        confidence, because: how sure it is that this is the sequence, and why.
        format: `DICOM` or `NIfTI`.
        slices: number of slices in the volume.
        notes: what was mended or is unusual.
    """

    confidence: float
    because: tuple[str, ...]
    format: str
    slices: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """The four sequences of one patient, as scanned.

    Attributes:
        volumes, sources: by sequence, in the order of SEQUENCES.
    """

    volumes: dict[str, Volume]
    sources: dict[str, Source]


def read_case(path: Path) -> Case:
    """Read one patient's four sequences from a folder tree of DICOM, a zip of one, or four NIfTI files.

    Raises:
        NotACaseError: nothing there that could be a case, or an unsafe archive.
        DicomError, DataError: a file cannot be read, or a sequence is missing or cannot be a volume.
    """
    with _opened(path) as folder:
        if series := find_series(folder):
            return _read(_chosen(series))
        files = files_under(folder)
        if niftis := [file for file in files if is_nifti(file)]:
            return _read(choose_files(niftis))
        raise NotACaseError(
            f"None of the {len(files)} files is a DICOM image or NIfTI" if files else "The folder is empty",
            fix=_FOUR,
        )


def read_chosen(found: Found, chosen: Mapping[str, str]) -> Case:
    """Read one patient's four sequences from the series that somebody chose; no header is parsed again.

    Args:
        found: what the patient's folder holds.
        chosen: for each of SEQUENCES, a series' key.
    Raises:
        NotACaseError: a sequence has no series, or its series is not there.
        DicomError, DataError: a file cannot be read, a series cannot be a volume, or they are not of one study.
    """
    missing = [sequence for sequence in SEQUENCES if sequence not in chosen]
    if missing:
        raise NotACaseError(f"No series was chosen for {' and '.join(missing)}", fix="choose one for each sequence")
    ordered = {sequence: chosen[sequence] for sequence in SEQUENCES}
    if len(set(ordered.values())) < len(SEQUENCES):
        raise NotACaseError("One series was chosen for two sequences", fix="choose another series for one of them")
    series = {one.key: one for one in found.series}
    if absent := [sequence for sequence, key in ordered.items() if key not in series]:
        raise NotACaseError(
            f"The series chosen for {absent[0]} is not there", fix="look at what the upload holds, and choose again"
        )
    said = {sequence: series[key] for sequence, key in ordered.items()}
    if len(studies := {one.study for one in said.values()}) > 1:
        raise DicomError(f"The chosen series are of {len(studies)} studies", fix="choose all four from one study")
    taken: dict[str, tuple[Planes | Path, Guess]] = {}
    for sequence, one in said.items():
        if one.voxels is None:
            raise DataError(f"{sequence}: {one.wrong}", fix=one.fix)
        taken[sequence] = one.voxels, _agreed(Guess(one.sequence, one.confidence, one.because), sequence)
    return _read(taken)


def _read(chosen: Mapping[str, tuple[Series | Planes | Path, Guess]]) -> Case:
    """Decode the series or files chosen for each sequence."""
    volumes, sources = {}, {}
    for sequence, (one, guess) in chosen.items():
        try:
            if isinstance(one, Path):
                volume, notes = read_nifti(one)
            else:
                volume, notes = read_volume(planes_of(one) if isinstance(one, Series) else one)
        except DataError as error:
            raise type(error)(f"{sequence}: {error.problem}", fix=error.fix) from None
        form = "NIfTI" if isinstance(one, Path) else "DICOM"
        volumes[sequence] = volume
        sources[sequence] = Source(guess.confidence, guess.because, form, len(volume.voxels), notes)
    _check_distinct(volumes)
    return Case(volumes, sources)


def content_digest(path: Path) -> str:
    """Return a key to a case's content without decoding it: equal keys read to equal volumes.

    SHA-256 over the sorted pairs of a file's SHA-256 and what its place says of its sequence: the folders' names for
    DICOM, the file's own for NIfTI. So renaming or shuffling DICOM files keeps the key, moving one to another
    sequence's folder or changing a byte does not. A zip has the key of the folder it was made from.

    Raises:
        NotACaseError: no such folder, or an unsafe archive.
        DataError: a file cannot be read.
    """
    with _opened(path) as folder:
        lines = []
        for file in files_under(folder):
            parts = [nifti_name(file)] if is_nifti(file) else file.relative_to(folder).parts[:-1]
            with file.open("rb") as stream:
                lines.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()} {named(parts).sequence}\n")
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def folders_of_cases(data: Path) -> list[Path]:
    """Return the folders of a cohort in the RSNA-MICCAI layout, `data/train/<BraTS21ID>`, sorted.

    Raises: NotACaseError: there is no such folder, or it holds none.
    """
    train = data / "train"
    if not train.is_dir():
        raise NotACaseError(
            "The data folder has no folder named train", fix="lay the cases out as train/<BraTS21ID>/<SEQUENCE>/*.dcm"
        )
    cases = sorted(path for path in train.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not cases:
        raise NotACaseError("The folder train is empty", fix="put one folder a patient in it, named by its BraTS21ID")
    return cases


def read_labels(path: Path) -> dict[str, int | None]:
    """Read `train_labels.csv`: identifier -> methylated (1), unmethylated (0) or unlabeled (None).

    Identifiers stay text, with their leading zeros. Whether each has a folder is for the caller to compare.

    Raises: DataError: unreadable, another header, another value, or an identifier twice; says the line.
    """
    if not path.exists():
        raise DataError(
            f"There is no {path.name} beside the folder train",
            fix=f"put {path.name} there, with the first line `{','.join(LABELS_HEADER)}` and one line a patient",
        )
    header, rows = ",".join(LABELS_HEADER), _rows(path, LABELS_HEADER)
    labels: dict[str, int | None] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != 2:
            raise DataError(f"{path.name}: line {line} has {len(row)} cells", fix=f"write two: {header}")
        case, value = (cell.strip() for cell in row)
        if not case or case in (".", "..") or "/" in case or "\\" in case:
            raise DataError(f"{path.name}: line {line} has no usable identifier", fix="write the case's folder name")
        if case in labels:
            raise DataError(f"{path.name}: line {line} repeats an identifier", fix="keep one line a patient")
        if value not in ("0", "1", "0.0", "1.0", ""):
            raise DataError(f"{path.name}: line {line} has a value other than 0 and 1", fix="write 0, 1 or nothing")
        labels[case] = int(float(value)) if value else None
    return labels


def read_patients(path: Path) -> dict[str, str]:
    """Read `patients.csv`: a scan's folder -> its person, where one person has several; without the file, nothing.

    Raises: DataError: unreadable, another header, or a line that names no scan or no person; says the line.
    """
    if not path.exists():
        return {}
    header, rows = ",".join(PATIENTS_HEADER), _rows(path, PATIENTS_HEADER)
    patients: dict[str, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) != 2 or not all(cells) or cells[0] in patients:
            raise DataError(
                f"{path.name}: line {line} is not one scan and its person", fix=f"write two cells: {header}"
            )
        patients[cells[0]] = cells[1]
    return patients


def _rows(path: Path, header: list[str]) -> list[list[str]]:
    """Read a table's lines, its header first.

    Raises: DataError: unreadable, or another header.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read ({type(error).__name__})", fix="save it as CSV in UTF-8") from None
    if not rows or [cell.strip() for cell in rows[0]] != header:
        first = ",".join(header)
        raise DataError(f"{path.name}: line 1 is not `{first}`", fix=f"make `{first}` the first line, with commas")
    return rows


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """Yield the folder of a case, unpacked for as long as needed where it is an archive."""
    try:
        if path.is_dir():
            yield path
        elif not path.exists():
            raise NotACaseError("There is no such folder or file", fix=_FOUR)
        elif path.suffix.lower() == ".zip":
            with unpacked(path) as folder:
                yield folder
        else:
            raise NotACaseError("A single file is not a case", fix=_FOUR)
    except OSError as error:
        raise unreadable(error) from None


def _chosen(series: list[Series]) -> dict[str, tuple[Series, Guess]]:
    """Choose the four sequences, of one patient and one study."""
    check_one_study([(one, guess.sequence) for one in series if (guess := identify(one)).sequence])
    return choose(series)


def _agreed(guess: Guess, sequence: str) -> Guess:
    """Return how sure a sequence is that somebody named."""
    if guess.sequence == sequence:
        return guess
    taken = f", against a guess of {guess.sequence}" if guess.sequence else ""
    return Guess(sequence, 1.0, (f"somebody chose it{taken}",))


def _check_distinct(volumes: dict[str, Volume]) -> None:
    """Refuse one scan under two sequences' names; blank volumes are for the quality check."""
    for first, second in combinations(volumes, 2):
        one, other = volumes[first].voxels, volumes[second].voxels
        if np.ptp(one) > 0 and np.array_equal(one, other):
            raise DataError(f"{first} and {second} are the same images", fix="put each sequence in its own folder")
