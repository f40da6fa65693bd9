"""An existing cohort in the RSNA-MICCAI layout, dealt out to sites; a patient goes to one site only.

OUT/<site>/train/<BraTS21ID>/...    hard links: no byte is copied, the source may be moved or deleted later, and readers
                                    see plain files (a symlink would dangle in a container); copies on another disk
OUT/<site>/train_labels.csv         the labels of those patients
OUT/<site>/masks/                   theirs, where the source has masks
"""

import csv
import errno
import io
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError, DataError
from core.files import write_atomically
from core.imaging.reading import LABELS_HEADER, folders_of_cases, read_labels
from core.imaging.traits import read_traits
from core.progress import Report, silent

Assignment = NDArray[np.int64]
SITES_HEADER = ["BraTS21ID", "site"]
_SITE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True)
class Split:
    """Who went where.

    Attributes:
        sites: by site, its patients' identifiers, sorted.
        absent: identifiers that the labels name and the source has no scans of.
        left_out: identifiers of patients with scans who went to no site, as a CSV does not name them.
    """

    sites: dict[str, tuple[str, ...]]
    absent: tuple[str, ...]
    left_out: tuple[str, ...]


def evenly(patients: int, sites: int, rng: np.random.Generator) -> Assignment:
    """Deal patients out at random, to sites whose sizes differ by one at most (IID).

    Returns: int64 [patients], each patient's site.
    """
    _check_enough(patients, sites)
    return rng.permutation(np.arange(patients) % sites)


def by_label(labels: Sequence[int | None], sites: int, alpha: float, rng: np.random.Generator) -> Assignment:
    """Give each site its own mixture of labels: every label's patients are dealt in proportions drawn from Dirichlet.

    Args:
        labels: 0, 1 or None a patient.
        alpha: the smaller, the more a label gathers at few sites; large values come close to IID.
    Source: Hsu, Qi, Brown 2019, arXiv:1909.06335; by class, as Li et al. 2021, arXiv:2102.02079.
    """
    _check_enough(len(labels), sites)
    _check_alpha(alpha)
    assigned = np.empty(len(labels), dtype=np.int64)
    for label in (0, 1, None):
        members = np.array([index for index, one in enumerate(labels) if one == label], dtype=np.int64)
        counts = _round_to_sum(rng.dirichlet(np.full(sites, alpha)), len(members))
        assigned[rng.permutation(members)] = np.repeat(np.arange(sites), counts)
    return _fill_empty(assigned, sites)


def by_quantity(patients: int, sites: int, alpha: float, rng: np.random.Generator) -> Assignment:
    """Give sites unequal numbers of patients, in proportions drawn from Dirichlet; at least one each."""
    _check_enough(patients, sites)
    _check_alpha(alpha)
    counts = 1 + _round_to_sum(rng.dirichlet(np.full(sites, alpha)), patients - sites)
    return rng.permutation(np.repeat(np.arange(sites), counts))


def by_scanner(scanners: Sequence[str], sites: int) -> Assignment:
    """Keep each scanner's patients together; the largest groups go first, each to the site with the fewest patients.

    Raises: DataError: fewer scanners than sites.
    """
    groups = {name: [index for index, one in enumerate(scanners) if one == name] for name in sorted(set(scanners))}
    if len(groups) < sites:
        raise DataError(
            f"The cohort comes from {len(groups)} scanners, which cannot make {sites} sites",
            fix=f"ask for at most {len(groups)} sites, or split another way",
        )
    assigned = np.empty(len(scanners), dtype=np.int64)
    sizes = [0] * sites
    for members in sorted(groups.values(), key=len, reverse=True):
        site = int(np.argmin(sizes))
        assigned[members] = site
        sizes[site] += len(members)
    return assigned


def split(
    source: Path,
    out: Path,
    sites: int,
    how: str,
    *,
    alpha: float = 0.5,
    seed: int = 0,
    report: Report = silent,
) -> Split:
    """Deal a cohort out to sites and write their folders; OUT appears whole or not at all.

    Args:
        source: holds `train/<BraTS21ID>/` and `train_labels.csv`, perhaps `masks/`.
        out: a new or empty folder.
        sites: how many; a CSV says for itself.
        how: `iid`, `label`, `quantity`, `scanner`, or the path of a CSV with the header BraTS21ID,site.
        alpha: Dirichlet's parameter for `label` and `quantity`.
        seed: the same seed gives the same split.
    Raises:
        ConfigError: impossible numbers, an unknown `how`, or an `out` that is not empty.
        DataError: a source that is no cohort, or a CSV that does not fit it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not an empty folder", fix="name a new folder for the sites")
    if seed < 0:
        raise ConfigError("The seed is negative", fix="use 0 or a positive number")
    folders = {folder.name: folder for folder in folders_of_cases(source)}
    labels = read_labels(source / "train_labels.csv")
    rng = np.random.default_rng(seed)
    ways: dict[str, Callable[[], Assignment]] = {
        "iid": lambda: evenly(len(folders), sites, rng),
        "label": lambda: by_label([labels.get(id_) for id_ in folders], sites, alpha, rng),
        "quantity": lambda: by_quantity(len(folders), sites, alpha, rng),
        "scanner": lambda: by_scanner(_scanners(list(folders.values()), report), sites),
    }
    if how in ways:
        assigned = ways[how]()
        width = len(str(sites))
        members = {
            f"site-{site + 1:0{width}}": tuple(id_ for id_, own in zip(folders, assigned, strict=True) if own == site)
            for site in range(sites)
        }
    elif how.endswith(".csv"):
        members = read_sites(Path(how), folders)
    else:
        raise ConfigError(f"No way to split is called {how}", fix=f"choose {', '.join(ways)} or a CSV file")
    _write(source, out, members, labels, report)
    dealt = {id_ for ids in members.values() for id_ in ids}
    return Split(members, tuple(sorted(set(labels) - set(folders))), tuple(sorted(set(folders) - dealt)))


def read_sites(path: Path, cases: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Read which patient belongs to which site from a CSV with the header BraTS21ID,site.

    Raises: DataError: unreadable, a patient twice or unknown, an impossible site name; says the line.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read ({type(error).__name__})", fix="save it as CSV in UTF-8") from None
    header = ",".join(SITES_HEADER)
    if not rows or [cell.strip() for cell in rows[0]] != SITES_HEADER:
        raise DataError(f"{path.name}: line 1 is not `{header}`", fix=f"make `{header}` the first line, with commas")
    found: dict[str, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) != 2 or not _SITE_NAME.fullmatch(cells[1]):
            raise DataError(
                f"{path.name}: line {line} names no site", fix="name sites by lower-case letters, digits and -"
            )
        if cells[0] in found:
            raise DataError(f"{path.name}: line {line} repeats a patient", fix="give each patient one site")
        if cells[0] not in cases:
            raise DataError(f"{path.name}: line {line} names a patient without scans", fix="delete the line")
        found[cells[0]] = cells[1]
    if not found:
        raise DataError(f"{path.name} names no patients", fix=f"write one line a patient: {header}")
    return {
        site: tuple(sorted(id_ for id_, own in found.items() if own == site)) for site in sorted(set(found.values()))
    }


def _scanners(folders: Sequence[Path], report: Report) -> list[str]:
    """Return each case's scanner, as the first image of its first sequence names it."""
    names = []
    for done, folder in enumerate(folders, start=1):
        names.append(read_traits(folder).scanner)
        report("read scanners", done, len(folders))
    if not any(names):
        raise DataError("No scan says which scanner made it", fix="split another way, or by a CSV")
    return names


def _write(
    source: Path, out: Path, members: Mapping[str, Sequence[str]], labels: Mapping[str, int | None], report: Report
) -> None:
    """Write the sites beside `out` and give them its name when they are whole."""
    partial = out.with_name(f".{secrets.token_hex(4)}.partial-{out.name}")
    total, done = sum(len(ids) for ids in members.values()), 0
    try:
        for site, ids in members.items():
            table = io.StringIO()
            rows = csv.writer(table, lineterminator="\n")
            rows.writerow(LABELS_HEADER)
            for id_ in ids:
                shutil.copytree(source / "train" / id_, partial / site / "train" / id_, copy_function=link)
                mask = source / "masks" / f"{id_}.nii.gz"
                if mask.is_file():
                    (partial / site / "masks").mkdir(exist_ok=True)
                    link(mask, partial / site / "masks" / mask.name)
                label = labels.get(id_)
                rows.writerow([id_, "" if label is None else label])
                done += 1
                report("write sites", done, total)
            write_atomically(partial / site / "train_labels.csv", table.getvalue())
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


def _round_to_sum(shares: NDArray[np.float64], total: int) -> Assignment:
    """Return whole numbers in these proportions that add up to `total`: the largest remainders are rounded up."""
    exact = shares * total
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _fill_empty(assigned: Assignment, sites: int) -> Assignment:
    """Move one patient from the largest site to each that has none."""
    for site in range(sites):
        sizes = np.bincount(assigned, minlength=sites)
        if sizes[site] == 0:
            assigned[np.flatnonzero(assigned == np.argmax(sizes))[-1]] = site
    return assigned


def _check_enough(patients: int, sites: int) -> None:
    if not 1 <= sites <= patients:
        raise ConfigError(f"{patients} patients cannot make {sites} sites", fix="ask for 1 to as many as patients")


def _check_alpha(alpha: float) -> None:
    if not 1e-3 <= alpha <= 1e6:
        raise ConfigError(f"alpha is {alpha}", fix="choose 0.001 (one label a site) to 1000000 (all alike)")
