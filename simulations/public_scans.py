"""A downloaded public cohort -> the scans in it, and which of them count."""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from core.errors import ConfigError, DataError, NotACaseError
from core.imaging.nifti import is_nifti, nifti_name
from core.imaging.volume import SEQUENCES
from simulations.public_layouts import FOLLOW_UP, LAYOUTS, Layout


@dataclass(frozen=True)
class Scan:
    """One examination, as downloaded.

    Attributes:
        folder: its folder's name.
        patient: whose it is; what the patient is called from now on.
        number: by which the cohort's table knows the patient; empty where no table does.
        visit: which of the patient's examinations; empty where there is one.
        parts: by sequence, its file, or its folder of DICOM.
        mask: the tumor mask, where there is one.
    """

    folder: str
    patient: str
    number: str
    visit: str
    parts: Mapping[str, Path]
    mask: Path | None


@dataclass(frozen=True)
class Downloaded:
    """What a folder holds of one cohort.

    Attributes:
        scans: by folder's name, sorted.
        tables: files named like the cohort's labels.
    """

    scans: tuple[Scan, ...]
    tables: tuple[Path, ...]


def find_scans(kind: str, source: Path) -> Downloaded:
    """Look for a cohort's examinations anywhere below a folder.

    Raises:
        ConfigError: no such folder.
        NotACaseError: nothing there; says of which cohort there is something.
        DataError: one examination twice, or one cohort in two editions.
    """
    if not source.is_dir():
        raise ConfigError(f"There is no folder {source}", fix="name the folder that holds the downloaded cohort")
    layout = LAYOUTS[kind]
    copies: dict[str, list[Scan]] = defaultdict(list)
    tables, masks = [], {}
    for parent, match, names in _walk(source, layout):
        tables += [parent / name for name in names if fnmatch(name, layout.table)]
        for name in names:
            if layout.mask and is_nifti(Path(name)) and nifti_name(Path(name)).endswith(layout.mask):
                masks[nifti_name(Path(name))] = parent / name
        if match and (layout.endings or parent.parent.name == "train"):
            copies[parent.name].append(_scan(layout, match, parent))
    if not any(scan.parts for found in copies.values() for scan in found):
        raise NotACaseError(f"{source} holds no scans as {layout.title} names them", fix=_what_instead(kind, source))
    scans = []
    for name in sorted(copies):
        scan = _one_of(copies[name])
        stem = _group(layout.folder.fullmatch(name), "stem")
        mask = next((masks[stem + ending] for ending in layout.mask if stem + ending in masks), None)
        scans.append(Scan(scan.folder, scan.patient, scan.number, scan.visit, scan.parts, mask))
    if len({scan.number == "" for scan in scans}) > 1:
        raise DataError(
            f"{source} holds BraTS 2021 and BraTS 2023, which are largely the same patients",
            fix="name the folder of one of them",
        )
    return Downloaded(tuple(scans), tuple(sorted(tables)))


def admitted(layout: Layout, scans: Sequence[Scan]) -> tuple[list[Scan], dict[str, str]]:
    """Choose one scan a patient: the first that is there, if it is whole, or none.

    Returns: the scans that count, and why each of the other folders does not.
    """
    chosen: list[Scan] = []
    seen: set[str] = set()
    left_out = {}
    for scan in sorted(scans, key=lambda one: (one.patient, one.visit)):
        if scan.number in layout.known:
            left_out[scan.folder] = layout.known[scan.number]
        elif not layout.first.fullmatch(scan.visit):
            left_out[scan.folder] = layout.later
        elif scan.patient in seen:
            left_out[scan.folder] = FOLLOW_UP
        else:
            seen.add(scan.patient)
            if missing := [sequence for sequence in SEQUENCES if sequence not in scan.parts]:
                left_out[scan.folder] = f"no {' and no '.join(missing)}"
            else:
                chosen.append(scan)
    return chosen, left_out


def _walk(source: Path, layout: Layout) -> list[tuple[Path, re.Match[str] | None, list[str]]]:
    """Return each folder with its match and its files' names; an examination's folders are not entered."""
    found = []
    for parent, folders, names in os.walk(source, onerror=_refuse):
        match = layout.folder.fullmatch(Path(parent).name)
        folders[:] = [] if match else [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        found.append((Path(parent), match, [name for name in names if not name.startswith(".")]))
    return found


def _refuse(error: OSError) -> None:
    raise DataError(
        f"A folder of the cohort cannot be read ({error.strerror or type(error).__name__})",
        fix="let this account read the folder and everything in it",
    ) from None


def _scan(layout: Layout, match: re.Match[str], folder: Path) -> Scan:
    stem, parts = _group(match, "stem"), {}
    for sequence in SEQUENCES:
        names = [
            stem + ending + suffix for ending in layout.endings.get(sequence, ()) for suffix in (".nii.gz", ".nii")
        ]
        files = [folder / name for name in names] if layout.endings else [folder / sequence]
        if there := next((path for path in files if _is_something(path)), None):
            parts[sequence] = there
    return Scan(
        folder.name, _group(match, "patient"), match["number"] or "", match.groupdict().get("visit") or "", parts, None
    )


def _is_something(path: Path) -> bool:
    """Return whether a file has bytes or a folder has files: a download that was cut off leaves empty ones."""
    if path.is_dir():
        return any(one.is_file() and not one.name.startswith(".") for one in path.iterdir())
    return path.is_file() and path.stat().st_size > 0


def _one_of(copies: Sequence[Scan]) -> Scan:
    """Return the examination among folders of one name: UPenn's other images lie in folders named alike."""
    whole = [scan for scan in copies if len(scan.parts) == len(SEQUENCES)]
    if len(whole) > 1:
        raise DataError(f"{whole[0].folder} is there {len(whole)} times", fix="name the folder of one of the copies")
    return whole[0] if whole else max(copies, key=lambda scan: len(scan.parts))


def _group(match: re.Match[str] | None, name: str) -> str:
    """Return a group of a folder's name, whichever edition it is of."""
    groups = match.groupdict() if match else {}
    return groups.get(name) or groups.get(f"{name}23") or ""


def _what_instead(kind: str, source: Path) -> str:
    """Return what to do where a folder does not hold the cohort: perhaps it holds another."""
    for other, layout in LAYOUTS.items():
        for parent, match, _ in _walk(source, layout) if other != kind else ():
            if match and _scan(layout, match, parent).parts:
                return f"it looks like {layout.title}: fl-simulate import {other} {source}"
    layout = LAYOUTS[kind]
    if not layout.endings:
        return "name the folder that holds train/<5 digits>/<T1w, T1wCE, T2w and FLAIR>/ and train_labels.csv"
    endings = ", ".join(names[0] for names in layout.endings.values())
    return f"name the unpacked folder in which each scan has its own, with files that end in {endings} and .nii.gz"
