"""A public cohort, as downloaded, brought into the layout that a site's data have.

OUT/train/<patient>/<sequence>/...   hard links to the downloaded files, as `simulations.site_folders` makes them
OUT/masks/<patient>.nii.gz           tumor masks, with 1 necrosis, 2 edema, 4 enhancing
OUT/import.csv                       every folder that was found: who it became, or why it was left out
OUT/train_labels.csv                 written last: without it, an import is not over
"""

import csv
import io
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import ConfigError, DataError
from core.files import only_process, write_atomically
from core.imaging.dicom import files_under
from core.progress import Report, silent
from simulations.public_layouts import LAYOUTS, Layout
from simulations.public_masks import write_mask
from simulations.public_scans import Scan, admitted, find_scans
from simulations.public_tables import PublicLabels, choose_table, read_crosswalk, read_public_labels
from simulations.site_folders import labels_table, link

LINES = "import.csv"
# Who is known not to be in BraTS 2021 is called so there; where it is not known, the cell is empty.
_NOBODY = "nobody"
_HEADER = ["folder", "BraTS21ID", "MGMT_value", "mask", "in_brats_2021", "left_out", "note"]
# Says which cohort a folder is being made of, and is what a second import of it at the same time stumbles over.
_MARK = ".import"


@dataclass(frozen=True)
class Line:
    """What became of one downloaded folder.

    Attributes:
        folder: its name.
        patient: who it became.
        mgmt: methylated (1), unmethylated (0) or unknown (None).
        mask: whether the patient has a tumor mask.
        also: what the patient is called in BraTS 2021; None where that is unknown.
        left_out: why it became nobody; empty where it did not.
        note: what was left of it, and why.
    """

    folder: str
    patient: str
    mgmt: int | None = None
    mask: bool = False
    also: tuple[str, ...] | None = None
    left_out: str = ""
    note: str = ""


@dataclass(frozen=True)
class Imported:
    """A cohort that was imported before.

    Attributes:
        layout: which one.
        people: by patient, what they are called in BraTS 2021, as far as that is known.
        told: whether it is known at all who is in BraTS 2021.
    """

    layout: Layout
    people: Mapping[str, tuple[str, ...]]
    told: bool

    @property
    def title(self) -> str:
        """What people call it."""
        return self.layout.title


def import_cohort(
    kind: str,
    source: Path,
    out: Path,
    labels: Path | None = None,
    apart_from: Sequence[Path] = (),
    report: Report = silent,
    *,
    crosswalk: Path | None = None,
) -> list[Line]:
    """Bring a downloaded cohort into the project's layout; the source stays as it is.

    A call that is interrupted is gone on with by the next, and one that is repeated changes nothing.

    Args:
        kind: one of LAYOUTS.
        source: the folder it was unpacked into.
        out: a new or empty folder, or one of an earlier call for the same cohort.
        labels: the cohort's table, where it is not beside the scans.
        apart_from: cohorts that were imported before: whoever is in one of them is left out.
        report: told how far it is.
        crosswalk: TCIA's of BraTS 2021, as CSV, where the cohort's own table does not say who is in BraTS 2021 too.
    Returns: a line a folder, by folder.
    Raises:
        ConfigError: a folder or file that cannot be meant.
        NotACaseError, DataError: no such cohort there, or labels that do not fit it.
    """
    layout, source, out = LAYOUTS[kind], source.resolve(), out.resolve()
    found = find_scans(kind, source)
    table = choose_table(layout, found.tables, labels)
    said = read_public_labels(kind, table) if table else PublicLabels({}, None, {})
    if crosswalk:
        said = replace(said, also=read_crosswalk(kind, crosswalk))
    chosen, left_out = admitted(layout, found.scans)
    if table and chosen and not any(scan.number in said.mgmt for scan in chosen):
        raise DataError(
            f"{table.name} names none of the {len(chosen)} patients of {source}",
            fix=f"name {layout.title}'s own table with --labels",
        )
    others = _members(apart_from)
    for scan in list(chosen):
        if shared := next((name for name in _also(kind, scan, said) or () if name in others), None):
            chosen.remove(scan)
            left_out[scan.folder] = f"in {others[shared]} too, as {shared}"
    if not chosen:
        raise DataError(
            f"No patient of {source} can be brought: {_reasons(left_out)}", fix="complete the download, or name another"
        )
    _begin(kind, source, out, {scan.patient for scan in chosen})
    with only_process(out / _MARK, ConfigError(f"{out} is being imported into", fix="wait for the other import")):
        return _write(kind, layout, chosen, left_out, said, out, report)


def read_import(folder: Path) -> Imported:
    """Return what an earlier import brought.

    Raises: ConfigError: a folder without an import that is over.
    """
    if not (folder / _MARK).is_file():
        raise ConfigError(
            f"{folder} holds no finished import" if folder.is_dir() else f"There is no folder {folder}",
            fix=f"make one with `fl-simulate import {'|'.join(LAYOUTS)} DOWNLOADED --out FOLDER`, and name its FOLDER",
        )
    again = ConfigError(
        f"The import into {folder} is not over, or damaged", fix="run the same `fl-simulate import` again"
    )
    if not (folder / "train_labels.csv").is_file():
        raise again
    try:
        layout = LAYOUTS[(folder / _MARK).read_text("utf-8")]
        rows = csv.DictReader((folder / LINES).read_text("utf-8").splitlines(), strict=True)
        also = {row["BraTS21ID"]: row["in_brats_2021"].split() for row in rows if row["BraTS21ID"]}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, AttributeError):
        raise again from None
    people = {patient: tuple(name for name in names if name != _NOBODY) for patient, names in also.items()}
    return Imported(layout, people, any(also.values()))


def summary(lines: Sequence[Line]) -> list[tuple[str, int]]:
    """Return what an import came to, in rows of a text and how many folders it is true of."""
    brought = [line for line in lines if line.patient]
    rows = [
        ("patients", len(brought)),
        ("methylated", sum(line.mgmt == 1 for line in brought)),
        ("unmethylated", sum(line.mgmt == 0 for line in brought)),
        ("without a label", sum(line.mgmt is None for line in brought)),
        ("with a tumor mask", sum(line.mask for line in brought)),
    ]
    if any(line.also is not None for line in brought):
        rows.append(("also in BraTS 2021, where RSNA's are", sum(bool(line.also) for line in brought)))
    for said, texts in (
        ("left out", [line.left_out for line in lines]),
        ("brought, but", [line.note for line in lines]),
    ):
        rows += [(f"{said}: {text}", count) for text, count in sorted(Counter(filter(None, texts)).items())]
    return rows


def _begin(kind: str, source: Path, out: Path, patients: set[str]) -> None:
    """Take a new or empty folder for a cohort, or one that an earlier call took for the same.

    Raises: ConfigError: another folder, or one that has other patients.
    """
    if out == source or out in source.parents:
        raise ConfigError(f"{out} holds the downloaded cohort itself", fix="name a new folder with --out")
    mark = out / _MARK
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not mark.exists())):
        raise ConfigError(f"{out} is not an empty folder", fix="name a new folder with --out")
    if mark.exists() and mark.read_text("utf-8") != kind:
        raise ConfigError(f"{out} was made from another cohort", fix="name a new folder with --out")
    strangers = {path.name for path in (out / "train").glob("[!.]*")} - patients
    if strangers:
        raise ConfigError(
            f"{out} holds {len(strangers)} patients whom {source} does not have, or not any more",
            fix="name a new folder with --out",
        )
    out.mkdir(parents=True, exist_ok=True)
    if not mark.exists():
        write_atomically(mark, kind)


def _write(
    kind: str,
    layout: Layout,
    chosen: Sequence[Scan],
    left_out: Mapping[str, str],
    said: PublicLabels,
    out: Path,
    report: Report,
) -> list[Line]:
    """Write patients, masks and tables; what is there already and whole is kept."""
    for half in (*(out / "train").glob(".*.partial-*"), *(out / "masks").glob(".*.partial-*")):
        shutil.rmtree(half) if half.is_dir() else half.unlink()
    table = labels_table({scan.patient: said.mgmt.get(scan.number) for scan in chosen})
    labels = out / "train_labels.csv"
    if labels.exists() and labels.read_text("utf-8") != table:
        labels.unlink()
    lines = [Line(folder, "", left_out=reason) for folder, reason in left_out.items()]
    step = f"import {layout.title}"
    report(step, 0, len(chosen))
    for done, scan in enumerate(chosen, start=1):
        mask, note = write_mask(scan, out / "masks" / f"{scan.patient}.nii.gz")
        _link_scan(scan, out / "train" / scan.patient)
        if word := said.strange.get(scan.number):
            note = "; ".join(filter(None, [note, f"methylation is `{word}`, which is taken for unknown"]))
        lines.append(
            Line(scan.folder, scan.patient, said.mgmt.get(scan.number), mask, _also(kind, scan, said), note=note)
        )
        report(step, done, len(chosen))
    lines.sort(key=lambda line: line.folder)
    write_atomically(out / LINES, _csv(_HEADER, map(_cells, lines)))
    write_atomically(labels, table)
    return lines


def _link_scan(scan: Scan, target: Path) -> None:
    """Link a patient's files into their place; the folder appears whole or not at all."""
    wanted: dict[Path, Path] = {}
    for sequence, part in scan.parts.items():
        if part.is_dir():
            wanted |= {Path(sequence, path.relative_to(part)): path for path in files_under(part)}
        else:
            suffix = ".nii.gz" if part.name.endswith(".gz") else ".nii"
            wanted[Path(sequence, f"{sequence}{suffix}")] = part
    if target.is_dir():
        there = {path.relative_to(target): path.stat() for path in files_under(target)}
        if {name: stat.st_size for name, stat in there.items()} == {
            name: path.stat().st_size for name, path in wanted.items()
        }:
            return
    partial = target.with_name(f".{secrets.token_hex(4)}.partial-{target.name}")
    try:
        for name, path in wanted.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            link(path, partial / name)
        if target.exists():
            shutil.rmtree(target)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _also(kind: str, scan: Scan, said: PublicLabels) -> tuple[str, ...] | None:
    """Return what a patient is called in BraTS 2021, None where that is unknown: RSNA's numbers are BraTS's."""
    if kind in ("rsna", "brats") and scan.number:
        return (f"BraTS2021_{scan.number}",)
    return None if said.also is None else said.also.get(scan.number, ())


def _members(imported: Iterable[Path]) -> dict[str, str]:
    """Return who, by the name in BraTS 2021, is in cohorts that were imported before, and in which.

    Raises: ConfigError: a folder without an import that is over.
    """
    return {name: folder.name for folder in imported for also in read_import(folder).people.values() for name in also}


def _reasons(left_out: Mapping[str, str]) -> str:
    return "; ".join(sorted(set(left_out.values())))


def _cells(line: Line) -> list[str]:
    mask = "yes" if line.mask else ""
    also = "" if line.also is None else " ".join(line.also) or _NOBODY
    return [line.folder, line.patient, _cell(line.mgmt), mask, also, line.left_out, line.note]


def _cell(label: int | None) -> str:
    return "" if label is None else str(label)


def _csv(header: list[str], rows: Iterable[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
