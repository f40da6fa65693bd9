"""Tables of public cohorts -> what they say of the cohorts' patients: their labels, and who is in BraTS 2021 too.

Source: UCSF-PDGM's own table says the latter in a column. Of UPenn-GBM a table of BraTS 2021's says it, the crosswalk
    BraTS2021_MappingToTCIA.xlsx of doi:10.7937/jc8x-9874: some 447 of its patients, who are called there as their scans
    are, and 115 more of that hospital whom it says TCIA did not have. 9 of BraTS's names in it lack `BraTS2021_`.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError, DataError
from simulations.public_layouts import LAYOUTS, Layout

# Of UCSF's table: who is in BraTS 2021 too.
_ALSO = "BraTS21 ID"
# Columns of the crosswalk, each with how its name may begin, in letters and digits alone.
_PATIENT = ("PatientID on TCIA Radiology Portal", ("patientid",))
_BRATS = ("BraTS2021 ID", ("brats2021id", "brats21id"))


@dataclass(frozen=True)
class PublicLabels:
    """What a cohort's table says.

    Attributes:
        mgmt: by number, methylated (1), unmethylated (0) or unknown (None).
        also: by number, what the patient is called in BraTS 2021; None where the table does not say of anybody.
        strange: by number, a word for methylation that is none of the cohort's.
    """

    mgmt: Mapping[str, int | None]
    also: Mapping[str, tuple[str, ...]] | None
    strange: Mapping[str, str]


def choose_table(layout: Layout, tables: Sequence[Path], given: Path | None) -> Path | None:
    """Return the labels' file: the one that was named, or the only one beside the scans.

    Raises:
        ConfigError: the one that was named is not there.
        DataError: there is none, and the cohort has labels; or there are several.
    """
    if given:
        if not given.is_file():
            raise ConfigError(f"There is no file {given}", fix=f"name {layout.table} with --labels")
        return given
    if len(tables) > 1:
        raise DataError(
            f"There are {len(tables)} files of labels: {', '.join(path.name for path in tables)}",
            fix="name the one that counts with --labels",
        )
    if not tables and layout.required:
        raise DataError(
            f"There is no {layout.table}, which has {layout.title}'s labels",
            fix="download it from where the scans came from, and put it beside them or name it with --labels",
        )
    return tables[0] if tables else None


def read_public_labels(kind: str, path: Path) -> PublicLabels:
    """Read a cohort's own table; follow-ups' lines say only what else the patient is called.

    Raises: DataError: unreadable, without the columns, or two labels for one patient; says the line.
    """
    layout = LAYOUTS[kind]
    rows = _rows(path)
    identifier, methylation = layout.columns
    if not rows or not {identifier, methylation} <= set(rows[0]):
        raise DataError(
            f"{path.name} has no column {identifier} or no column {methylation}",
            fix=f"name {layout.title}'s {layout.table} with --labels, as it was downloaded",
        )
    mgmt: dict[str, int | None] = {}
    also: dict[str, tuple[str, ...]] = defaultdict(tuple)
    strange = {}
    for line, row in enumerate(rows, start=2):
        match = layout.row.fullmatch((row[identifier] or "").strip())
        if match is None:
            continue
        number, word = match["number"].zfill(layout.digits), (row[methylation] or "").strip().lower()
        if other := (row.get(_ALSO) or "").strip():
            also[layout.earlier.get(number, number)] += (other,)
        if not layout.first.fullmatch(match.groupdict().get("visit") or ""):
            continue
        label = layout.words.get(word)
        if number in mgmt and mgmt[number] != label:
            raise DataError(f"{path.name}: line {line} gives a patient another label", fix="keep one line a patient")
        mgmt[number] = label
        if word and word not in layout.words:
            strange[number] = word
    return PublicLabels(mgmt, also if _ALSO in rows[0] else None, strange)


def read_crosswalk(kind: str, path: Path) -> dict[str, tuple[str, ...]]:
    """Read in TCIA's crosswalk of BraTS 2021, saved as CSV, what a cohort's patients are called there.

    Returns: by number, as BraTS's folders are named.
    Raises:
        ConfigError: no such file, or a cohort of which the crosswalk says nothing that its own table does not.
        DataError: unreadable, without the columns, or a name of the cohort's that is not understood; says the line.
    """
    layout = LAYOUTS[kind]
    if not layout.crosswalk:
        raise ConfigError(f"An import of {layout.title} takes no crosswalk", fix="leave --crosswalk out")
    if not path.is_file():
        raise ConfigError(
            f"There is no file {path}", fix="name BraTS2021_MappingToTCIA, saved as CSV, with --crosswalk"
        )
    rows = _rows(path)
    patients, names = (_column(path, rows, *column) for column in (_PATIENT, _BRATS))
    also: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for line, row in enumerate(rows, start=2):
        patient, name = ((row[column] or "").strip() for column in (patients, names))
        if not _letters(patient).startswith(_letters(layout.crosswalk)):
            continue
        ours, theirs = layout.row.fullmatch(patient), LAYOUTS["brats"].row.fullmatch(name)
        if not ours or not theirs:
            raise DataError(
                f"{path.name}: line {line} says {patient} is {name or 'nobody'} of BraTS 2021, which is not understood",
                fix="save BraTS2021_MappingToTCIA.xlsx as CSV anew, as it was downloaded",
            )
        also[ours["number"].zfill(layout.digits)] += (f"BraTS2021_{theirs['number'].zfill(5)}",)
    if not also:
        raise DataError(
            f"{path.name} names nobody of {layout.title}", fix="save all of BraTS2021_MappingToTCIA.xlsx as CSV"
        )
    return dict(also)


def _rows(path: Path) -> list[dict[str, str | None]]:
    """Read a CSV, whichever mark a spreadsheet has put between columns.

    Raises: DataError: unreadable.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        mark = max(",;\t", key=lines[0].count) if lines else ","
        return list(csv.DictReader(lines, strict=True, delimiter=mark))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read ({type(error).__name__})", fix="save it as CSV in UTF-8") from None


def _column(path: Path, rows: Sequence[Mapping[str, str | None]], title: str, beginnings: tuple[str, ...]) -> str:
    """Return how a file spells a column's name.

    Raises: DataError: it has none.
    """
    for name in rows[0] if rows else ():
        if name and _letters(name).startswith(beginnings):
            return name
    raise DataError(
        f"{path.name} has no column {title}",
        fix="save BraTS2021_MappingToTCIA.xlsx as CSV, with the line that names its columns first",
    )


def _letters(text: str) -> str:
    """Return a text's letters and digits, however it is spaced and capitalized."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
