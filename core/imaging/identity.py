"""Whose scans these are, and of which study: what decides whether series may be read as one case."""

from collections.abc import Iterable, Sequence
from itertools import combinations

from core.errors import DicomError
from core.imaging.dicom import Series


def check_one_patient(series: Iterable[Series]) -> None:
    """Refuse scans of several patients.

    Series that name no patient at all are taken as the others' patient: anonymized ones are like that.

    Raises: DicomError: two identifiers, or two names where there is no identifier to compare.
    """
    people = {(_text(one, "PatientID"), _text(one, "PatientName").rstrip("^ ").casefold()) for one in series}
    apart = {person for pair in combinations(sorted(people), 2) if _differ(*pair) for person in pair}
    if apart:
        raise DicomError(f"The folder holds scans of {len(apart)} patients", fix="name the folder of one patient")


def _differ(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Return whether two pairs of identifier and name cannot be one person's."""
    if one[0] and other[0]:
        return one[0] != other[0]
    return bool(one[1] and other[1] and one[1] != other[1])


def studies_of(known: Sequence[tuple[Series, str | None]]) -> list[list[Series]]:
    """Group series by study.

    Anonymized cohorts give each series a study of its own, so two of one date are only two where they compete for a
    sequence.

    Args:
        known: the series, each with its sequence or None.
    Returns: at least one series a group; a series without a date belongs to the only date there is.
    """
    dates = {study_date(one) for one, _ in known} - {""}
    days: dict[str, list[tuple[Series, str | None]]] = {}
    for one, sequence in known:
        day = study_date(one) or (next(iter(dates)) if len(dates) == 1 else "")
        days.setdefault(day, []).append((one, sequence))
    groups = []
    for _, members in sorted(days.items()):
        competing: dict[str, set[str]] = {}
        for one, sequence in members:
            if sequence:
                competing.setdefault(sequence, set()).add(_text(one, "StudyInstanceUID"))
        apart = any(len(uids) > 1 for uids in competing.values())
        studies: dict[str, list[Series]] = {}
        for one, _ in members:
            studies.setdefault(_text(one, "StudyInstanceUID") if apart else "", []).append(one)
        groups += [group for _, group in sorted(studies.items())]
    return groups


def check_one_study(known: Sequence[tuple[Series, str | None]]) -> None:
    """Refuse series that are not one patient's, or not of one study; `known` as for `studies_of`.

    Raises: DicomError: several patients or studies.
    """
    check_one_patient(one for one, _ in known)
    if len(studies := studies_of(known)) > 1:
        raise DicomError(f"The folder holds {len(studies)} studies of the patient", fix="name the folder of one study")


def study_date(series: Series) -> str:
    """Return the date of a series' study as its header writes it, YYYYMMDD, or ""."""
    return _text(series, "StudyDate")


def _text(series: Series, keyword: str) -> str:
    return str(series.header.get(keyword) or "").strip()
