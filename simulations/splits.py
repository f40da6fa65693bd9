"""An existing cohort in the RSNA-MICCAI layout, dealt out to sites; a patient goes to one site only."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from core.errors import ConfigError, DataError
from core.imaging.dicom import files_under
from core.imaging.headers import image_headers
from core.imaging.reading import folders_of_cases, read_labels
from core.imaging.traits import read_traits
from core.progress import Report, silent
from simulations.site_folders import write_sites

Assignment = NDArray[np.int64]
SITES_HEADER = ["BraTS21ID", "site"]
_FREQUENCY, _STRENGTH = "ImagingFrequency", "MagneticFieldStrength"
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
    folders = {folder.name: folder for folder in folders_of_cases(source)}
    labels = read_labels(source / "train_labels.csv")
    members = deal_out(folders, labels, sites, how, alpha=alpha, seed=seed, report=report)
    write_sites(out, {site: {folders[id_]: labels.get(id_) for id_ in ids} for site, ids in members.items()}, report)
    dealt = {id_ for ids in members.values() for id_ in ids}
    return Split(members, tuple(sorted(set(labels) - set(folders))), tuple(sorted(set(folders) - dealt)))


def deal_out(
    folders: Mapping[str, Path],
    labels: Mapping[str, int | None],
    sites: int,
    how: str,
    *,
    alpha: float,
    seed: int,
    report: Report = silent,
) -> dict[str, tuple[str, ...]]:
    """Decide who goes where.

    Args:
        folders: by identifier, each patient's scans.
        labels: by identifier; who is not in it has none.
        sites, how, alpha, seed: as `split`'s.
    Returns: by site, its patients' identifiers.
    Raises: ConfigError, DataError: as `split`.
    """
    if seed < 0:
        raise ConfigError("The seed is negative", fix="use 0 or a positive number")
    rng = np.random.default_rng(seed)
    ways: dict[str, Callable[[], Assignment]] = {
        "iid": lambda: evenly(len(folders), sites, rng),
        "label": lambda: by_label([labels.get(id_) for id_ in folders], sites, alpha, rng),
        "quantity": lambda: by_quantity(len(folders), sites, alpha, rng),
        "scanner": lambda: by_scanner(_scanners(list(folders.values()), report), sites),
    }
    if how in ways:
        assigned = ways[how]()
        return {
            name: tuple(id_ for id_, own in zip(folders, assigned, strict=True) if own == site)
            for site, name in enumerate(numbered_sites(sites))
        }
    if how.endswith(".csv"):
        return read_sites(Path(how), folders)
    raise ConfigError(f"No way to split is called {how}", fix=f"choose {', '.join(ways)} or a CSV file")


def numbered_sites(count: int) -> list[str]:
    """Return the names of sites that have none of their own: site-1, site-2 and so on, all of one length."""
    return [f"site-{number:0{len(str(count))}}" for number in range(1, count + 1)]


def read_sites(path: Path, cases: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Read which patient belongs to which site from a CSV with the header BraTS21ID,site.

    Raises:
        ConfigError: no such file.
        DataError: unreadable, a patient twice or unknown, an impossible site name; says the line.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file {path}", fix="name a CSV file of BraTS21ID,site")
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
        names.append(read_traits(folder).scanner or _magnet_of(folder))
        report("read scanners", done, len(folders))
    if not any(names):
        raise DataError("No scan says which scanner made it", fix="split another way, or by a CSV")
    return names


def _magnet_of(folder: Path) -> str:
    """Return what a magnet is tuned to, by which scanners differ where maker and model were taken out, as RSNA's are.

    A maker's magnets of one nominal strength are alike and another maker's are not: at 3 T, 123 MHz or 128.
    """
    image = next((path for path in files_under(folder) if image_headers(path)), None)
    if image is None:
        return ""
    header = dcmread(image, force=True, stop_before_pixels=True, specific_tags=[_FREQUENCY, _STRENGTH])
    for name, unit, digits in ((_FREQUENCY, "MHz", 0), (_STRENGTH, "T", 1)):
        with suppress(ValueError):
            if (value := float(str(header.get(name) or 0))) > 0:
                return f"{value:.{digits}f} {unit}"
    return ""


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
