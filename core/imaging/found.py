"""What an upload holds, found without decoding images: its patient, studies, series, and which sequence each may be."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from core.errors import DataError, DicomError, NotACaseError
from core.imaging.dicom import Planes, Series, files_under, find_series, planes_of, stack_in
from core.imaging.identity import check_one_patient, studies_of, study_date
from core.imaging.nifti import is_nifti, nifti_name, slices_of
from core.imaging.pixels import foreign_files
from core.imaging.sequences import Guess, identify, named, preference
from core.imaging.volume import SEQUENCES

NIFTI = "nifti"
# A long study has some dozens.
MAX_SERIES = 500


@dataclass(frozen=True)
class FoundStudy:
    """One visit of the patient.

    Attributes:
        key: the same for the same study, whatever its files are called.
        date: YYYYMMDD as in the header, or "".
        patient_id, patient_name: as the header says them, or "". They name the patient: keep them encrypted.
    """

    key: str
    date: str
    patient_id: str
    patient_name: str


@dataclass(frozen=True)
class FoundSeries:
    """One series, or one NIfTI file.

    Attributes:
        key: the same for the same series, whatever its files are called and in whatever order they come.
        study: its study's key; "" for NIfTI.
        sequence: one of SEQUENCES as guessed, or None.
        confidence, because: how sure that is, and why.
        slices: number of images.
        kind: what it was made for, as `Series.kind`, or `nifti`.
        description: as the header says it, or "". It may name the patient.
        wrong, fix: why it cannot be a volume and what to do, or "".
        rank: orders candidates for one sequence; larger is better.
        voxels: where they are: a DICOM series' planes, or a NIfTI file; None where something is wrong.
    """

    key: str
    study: str
    sequence: str | None
    confidence: float
    because: tuple[str, ...]
    slices: int
    kind: str
    description: str
    wrong: str
    fix: str
    rank: tuple[float, ...]
    voxels: Planes | Path | None


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        studies: empty for NIfTI.
        series: in an order that file names do not change.
        several: whether series of more than one study could be the case, so that somebody must say which study.
    """

    studies: tuple[FoundStudy, ...]
    series: tuple[FoundSeries, ...]
    several: bool

    def choice(self, study: str = "") -> dict[str, str]:
        """Return the best series for each sequence, as its key, in the order of SEQUENCES; some may lack.

        Args:
            study: the key of the study to choose from; "" where there is only one to choose from.
        Returns: nothing where there are several studies and none is named.
        """
        if self.several and not study:
            return {}
        chosen = {}
        for sequence in SEQUENCES:
            able = [
                one for one in self.series if one.sequence == sequence and not one.wrong and study in ("", one.study)
            ]
            # Two NIfTI files say no more than their names, which do not tell the better one.
            if able and (len(able) == 1 or able[0].kind != NIFTI):
                chosen[sequence] = max(able, key=lambda one: one.rank).key
        return chosen

    def missing(self, study: str = "") -> tuple[str, ...]:
        """Return the sequences for which `choice` has no series."""
        return tuple(sequence for sequence in SEQUENCES if sequence not in self.choice(study))


_found = TypeAdapter(Found)


def found_as_json(found: Found, folder: Path) -> bytes:
    """Return what was found as JSON, its paths relative to the folder.

    Raises: DataError: a path leads out of the folder.
    """
    return _found.dump_json(_moved(found, lambda path: _within(path, folder)))


def found_from_json(content: bytes, folder: Path) -> Found:
    """Return what `found_as_json` has written, for the same files in a folder elsewhere.

    Raises: DataError: it is nothing of the kind.
    """
    try:
        return _moved(_found.validate_json(content), lambda path: folder / path)
    except ValidationError:
        raise DataError("What was found in the upload cannot be read", fix="upload the scans again") from None


def _moved(found: Found, move: Callable[[Path], Path]) -> Found:
    series = []
    for one in found.series:
        voxels = one.voxels
        if isinstance(voxels, Path):
            voxels = move(voxels)
        elif voxels:
            voxels = replace(voxels, frames=tuple(replace(at, path=move(at.path)) for at in voxels.frames))
        series.append(replace(one, voxels=voxels))
    return replace(found, series=tuple(series))


def _within(path: Path, folder: Path) -> Path:
    if ".." in path.parts or not path.is_relative_to(folder):
        raise DataError("A file of the upload lies outside of it", fix="send the patient's folder as it is")
    return path.relative_to(folder)


def look_through(folder: Path) -> Found:
    """Say what a folder tree of DICOM or of NIfTI files holds. Each header is parsed once, no image is decoded.

    Raises:
        NotACaseError: no folder, nothing there that could be a case, or too many files or series.
        DicomError: scans of several patients, or a file that is damaged or larger than is read.
        DataError: a file or folder cannot be read.
    """
    if series := find_series(folder):
        _check_count(len(series))
        return _of_dicom(series)
    files = files_under(folder)
    if niftis := [file for file in files if is_nifti(file)]:
        _check_count(len(niftis))
        found = {(one := _of_nifti(file)).key: one for file in niftis}
        return Found((), tuple(sorted(found.values(), key=_order)), several=False)
    raise NotACaseError(
        f"None of the {len(files)} files is a DICOM image or NIfTI" if files else "There are no files",
        fix="send one patient's T1w, T1wCE, T2w and FLAIR, as DICOM or NIfTI",
    )


def _check_count(series: int) -> None:
    """Refuse more series than anybody could choose from."""
    if series > MAX_SERIES:
        raise NotACaseError(f"There are more than {MAX_SERIES} series", fix="send one study of one patient")


def _series_key(series: Series) -> str:
    """Return a key to a series: a digest of what its images say of themselves, and of the sequence their folder names.

    A folder named after a sequence counts, as for `content_digest`: one series in two of them is two answers.
    """
    with foreign_files():
        lines = sorted(
            "|".join(
                str(header.get(name) or "")
                for name in ("SOPInstanceUID", "SeriesInstanceUID", "ImagePositionPatient", "EchoTime", "ImageType")
            )
            for header in series.headers
        )
    return _digest([str(named(series.folder).sequence), *lines])


def _nifti_key(file: Path) -> str:
    """Return a key to a NIfTI file: a digest of its bytes and of the sequence that its name tells."""
    with file.open("rb") as stream:
        return _digest([hashlib.file_digest(stream, "sha256").hexdigest(), str(named([nifti_name(file)]).sequence)])


def _of_dicom(series: Sequence[Series]) -> Found:
    with foreign_files():
        check_one_patient(series)
        guessed = [(one, identify(one)) for one in series]
        groups = studies_of([(one, guess.sequence) for one, guess in guessed])
        studies = [_study(group) for group in groups]
        home = {id(one): study.key for group, study in zip(groups, studies, strict=True) for one in group}
        found = [_series(one, guess, home[id(one)]) for one, guess in guessed]
    candidates = {one.study for one in found if one.sequence}
    # Equal keys are equal copies in folders that say nothing of their sequence.
    unique = {one.key: one for one in found}
    return Found(tuple(studies), tuple(unique.values()), several=len(candidates) > 1)


def _study(group: Sequence[Series]) -> FoundStudy:
    """Describe one study by the first of its series that says something."""
    words = {
        name: next((text for one in group if (text := str(one.header.get(name) or "").strip())), "")
        for name in ("PatientID", "PatientName")
    }
    date = next((date for one in group if (date := study_date(one))), "")
    uids = sorted({str(one.header.get("StudyInstanceUID") or "") for one in group})
    return FoundStudy(_digest([date, *uids]), date, words["PatientID"], words["PatientName"])


def _series(series: Series, guess: Guess, study: str) -> FoundSeries:
    """Describe one series."""
    wrong, fix, voxels = "", "", None
    try:
        planes = planes_of(series)
        stack_in(planes)
        voxels = planes
    except DicomError as error:
        wrong, fix = error.problem, error.fix
    return FoundSeries(
        key=_series_key(series),
        study=study,
        sequence=guess.sequence,
        confidence=guess.confidence,
        because=guess.because,
        slices=series.slices,
        kind=series.kind,
        description=str(series.header.get("SeriesDescription") or "").strip(),
        wrong=wrong,
        fix=fix,
        rank=preference(series, guess),
        voxels=voxels,
    )


def _of_nifti(file: Path) -> FoundSeries:
    guess = named([nifti_name(file)])
    wrong, fix, slices = "", "", 0
    try:
        slices = slices_of(file)
    except DataError as error:
        wrong, fix = error.problem, error.fix
    return FoundSeries(
        key=_nifti_key(file),
        study="",
        sequence=guess.sequence,
        confidence=guess.confidence,
        because=guess.because or ("its name does not say what it is",),
        slices=slices,
        kind=NIFTI,
        description="",
        wrong=wrong,
        fix=fix,
        rank=(),
        voxels=None if wrong else file,
    )


def _order(series: FoundSeries) -> tuple[int, str]:
    """Return what orders NIfTI files: by sequence, those of none last."""
    return (SEQUENCES.index(series.sequence) if series.sequence in SEQUENCES else len(SEQUENCES), series.key)


def _digest(lines: Sequence[str]) -> str:
    """Return 32 hexadecimal digits that stand for these lines."""
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:32]
