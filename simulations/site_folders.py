"""Patients of a cohort as the folders of sites.

OUT/<site>/train/<BraTS21ID>/...    hard links: no byte is copied, the source may be moved or deleted later, and readers
                                    see plain files (a symlink would dangle in a container); copies on another disk
OUT/<site>/train_labels.csv         the labels of those patients
OUT/<site>/masks/                   theirs, where the source has masks
"""

import csv
import errno
import io
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from core.files import write_atomically
from core.imaging.reading import LABELS_HEADER
from core.progress import Report, silent


def labels_table(labels: Mapping[str, int | None]) -> str:
    """Return the text of a train_labels.csv."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(LABELS_HEADER)
    rows.writerows([id_, "" if label is None else label] for id_, label in labels.items())
    return table.getvalue()


def write_sites(out: Path, members: Mapping[str, Mapping[Path, int | None]], report: Report = silent) -> None:
    """Write sites' folders beside `out`, by hard links, and move them there when all are whole.

    Args:
        out: a folder that has none of the sites; a new or empty one has all of them at once.
        members: by site, its patients' folders in cohorts of this layout, each with its label.
    """
    partial = out.with_name(f".{secrets.token_hex(4)}.partial-{out.name}")
    total, done = sum(map(len, members.values())), 0
    try:
        for site, patients in members.items():
            for folder in patients:
                shutil.copytree(folder, partial / site / "train" / folder.name, copy_function=link)
                mask = folder.parent.parent / "masks" / f"{folder.name}.nii.gz"
                if mask.is_file():
                    (partial / site / "masks").mkdir(exist_ok=True)
                    link(mask, partial / site / "masks" / mask.name)
                done += 1
                report("write sites", done, total)
            table = labels_table({folder.name: label for folder, label in patients.items()})
            write_atomically(partial / site / "train_labels.csv", table)
        if out.is_dir() and any(out.iterdir()):
            for site in members:
                (partial / site).replace(out / site)
        else:
            partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def link(source: str | Path, target: str | Path) -> None:
    """Hard-link a file, or copy it where the file system cannot."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        shutil.copy2(source, target)
