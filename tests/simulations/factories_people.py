"""People of several hospitals as the folds deal them out, with scans of noise."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import torch

from core.learning.cases import TrainingCase
from fl_client.dataset import Drawn, Patient, patients_of


def a_scan(
    site: str, name: str, scan: int, mgmt: int | None = None, tumor: int | None = None, grid: int = 1, shift: float = 0
) -> Drawn:
    """Return a case: the same scan number has the same pixels, at whatever site and under whatever name."""
    image = torch.randn((4, grid, grid, grid), generator=torch.Generator().manual_seed(scan)) + shift
    pixels = digest_of(image)
    ticket = sha256(f"{site} {name} {scan}".encode()).hexdigest()
    return Drawn(ticket, name, pixels, TrainingCase(image, None, mgmt, tumor))


def digest_of(image: torch.Tensor) -> str:
    return sha256(image.contiguous().numpy().tobytes()).hexdigest()


def by_person(sites: Mapping[str, Sequence[Drawn]]) -> dict[str, tuple[Patient, ...]]:
    """Return each site's cases as the site itself tells its people apart."""
    return {site: patients_of(cases) for site, cases in sites.items()}


def hospitals(sizes: Mapping[str, int], grid: int = 1, shift: float = 0) -> dict[str, tuple[Patient, ...]]:
    """Return hospitals of people with one scan each, every other methylated, whose images `shift` tells apart."""
    return by_person(
        {
            site: [
                a_scan(site, f"{site}-{n}", 1000 * number + n, n % 2, grid=grid, shift=shift * (n % 2 - 0.5))
                for n in range(size)
            ]
            for number, (site, size) in enumerate(sizes.items())
        }
    )


def cases_of(side: Mapping[str, Sequence[Patient]]) -> list[tuple[str, Drawn]]:
    return [(site, drawn) for site, people in side.items() for same in people for drawn in same]
