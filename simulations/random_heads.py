"""Scans of random heads with random contrasts, and where their brain is: what the brain-mask network learns from.

Realism is not the aim: the heads vary more than patients and scanners do, so that a real scan is one more variation.
All volumes are float32 [z, y, x] on the network's grid (`core.imaging.skull_stripping.GRID`), distances mm.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from core.imaging.skull_stripping import GRID, SPACING, scaled
from simulations.atlas import Tissue, load_head
from simulations.head_anatomy import BASE, FLUID, distance_to

# Brightness of gray matter, white matter, fluid, then muscle, fat, skin, bone, marrow, eye, air, vessel, cord, canal.
CONTRASTS = {
    "T1w": (0.70, 1.00, 0.28, 0.55, 1.55, 0.75, 0.10, 0.95, 0.25, 0.02, 0.55, 0.90, 0.28),
    "T1wCE": (0.72, 1.00, 0.30, 0.65, 1.55, 0.85, 0.10, 1.00, 0.25, 0.02, 1.75, 0.90, 0.30),
    "T2w": (0.95, 0.66, 2.00, 0.35, 1.15, 0.60, 0.10, 0.80, 2.10, 0.02, 0.35, 0.60, 2.00),
    "FLAIR": (1.15, 0.95, 0.22, 0.55, 1.05, 0.60, 0.10, 0.75, 0.22, 0.02, 0.45, 0.85, 0.22),
}
# The atlas position (z, y, x) that lies in the middle of the network's grid before a head is moved.
CENTER = (3.0, 18.0, 0.0)


@dataclass(frozen=True)
class Anatomy:
    """The atlas head as tensors.

    Attributes:
        matter: [1, 3, z, y, x]: shares of gray and white matter, and the brain.
        distance: [1, 1, z, y, x]: from the surface of brain and fissures, negative inside.
        tissue: [1, 1, z, y, x]: a `Tissue` as a number.
        spacing, origin: as in `Head`, the origin as z, y, x.
    """

    matter: Tensor
    distance: Tensor
    tissue: Tensor
    spacing: float
    origin: tuple[float, float, float]


@dataclass(frozen=True)
class Patient:
    """One random head on the network's grid: shares of gray and white, brain, distance, tissue, atlas position."""

    gray: Tensor
    white: Tensor
    brain: Tensor
    distance: Tensor
    tissue: Tensor
    position: Tensor


@lru_cache(maxsize=1)
def load_anatomy() -> Anatomy:
    """Return the 2 mm head as tensors."""
    head = load_head(2)
    matter = np.stack([head.gray / np.float32(255), head.white / np.float32(255), head.brain.astype(np.float32)])
    distance = distance_to(head.intracranial > 0) * head.spacing + FLUID
    return Anatomy(
        matter=torch.from_numpy(matter)[None],
        distance=torch.from_numpy(distance)[None, None],
        tissue=torch.from_numpy(head.tissue.astype(np.float32))[None, None],
        spacing=head.spacing,
        origin=(head.origin[2], head.origin[1], head.origin[0]),
    )


def random_head(anatomy: Anatomy, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return one head's scan, scaled as the network wants it, and its brain in [0, 1]."""
    patient = random_patient(anatomy, rng)
    brightness = random_contrast(rng)
    inside = (0.5 + (FLUID - patient.distance) / SPACING).clamp(0, 1)
    fluid = (inside - patient.gray - patient.white).clamp(0, 1)
    texture = 1 + rng.uniform(0, 0.08) * noise(rng, (24, 27, 24))
    scan = (patient.gray * brightness[0] + patient.white * brightness[1]) * texture + fluid * brightness[2]
    scan = scan + surroundings(patient, brightness[3:], rng) * (1 - inside)
    scan = torch.where(patient.tissue == Tissue.VESSEL, brightness[2 + Tissue.VESSEL], scan)
    for _ in range(rng.integers(0, 3)):
        scan = with_lesion(scan, patient.brain, rng)
    scan = as_scanned(scan, float(brightness[1]), rng)
    scan = disfigured(scan, patient, rng)
    return framed(scan, patient.brain, rng)


def random_patient(anatomy: Anatomy, rng: np.random.Generator) -> Patient:
    """Return the atlas head turned, scaled, moved and bent, with a neck and an atrophy of its own."""
    position = _positions() @ _random_matrix(rng).T + torch.tensor(CENTER) + _normal(rng, (10.0, 8.0, 6.0))
    bends = [rng.uniform(0, 5) * noise(rng, (4, 4, 4)) + rng.uniform(0, 2.5) * noise(rng, (7, 7, 7)) for _ in range(3)]
    position = position + torch.stack(bends, -1)
    # Below the skull's base the neck is wider or thinner, and further to the back or the front, than the atlas's.
    below = ((BASE + 20 - position[..., 0]) / 50).clamp(0, 1)
    position[..., 1] += below * rng.normal(0, 8)
    position[..., 1:] *= 1 + (below * rng.normal(0, 0.15))[..., None]
    # A shrunken brain leaves more fluid between itself and its skull.
    shrinkage = 1 + max(0.0, rng.normal(-0.01, 0.03))
    outward = (position - torch.tensor(CENTER)) * shrinkage + torch.tensor(CENTER)
    gray, white, brain = _look_up(anatomy, anatomy.matter, outward)
    distance = _look_up(anatomy, anatomy.distance, position)[0]
    tissue = _look_up(anatomy, anatomy.tissue, position, "nearest")[0].round()
    return Patient(gray, white, brain, distance, tissue, position)


def random_contrast(rng: np.random.Generator) -> Tensor:
    """Return the brightness of each tissue, in the order of `CONTRASTS`; white matter is near 1 as often as not."""
    if rng.uniform() < 0.3:
        brightness = rng.uniform(0, 1.5, 13)
        brightness[2 + Tissue.BONE] = rng.uniform(0, 0.5)
        brightness[2 + Tissue.AIR] = rng.uniform(0, 0.05)
        return torch.tensor(brightness, dtype=torch.float32)
    brightness = np.array(CONTRASTS[str(rng.choice(list(CONTRASTS)))]) * np.exp(rng.normal(0, 0.18, 13))
    brightness[2 + Tissue.FAT] *= np.exp(rng.normal(0.2, 0.35))
    if rng.uniform() < 0.25:  # fat suppression
        brightness[2 + Tissue.FAT] *= rng.uniform(0.05, 0.6)
        brightness[2 + Tissue.MARROW] *= rng.uniform(0.1, 0.8)
    if rng.uniform() < 0.2:
        brightness[2] = rng.uniform(0.1, 2.2)
    if rng.uniform() < 0.4:  # muscle as bright as brain
        brightness[2 + Tissue.MUSCLE] = brightness[1] * rng.uniform(0.4, 1.15)
    return torch.tensor(brightness, dtype=torch.float32)


def surroundings(patient: Patient, brightness: Tensor, rng: np.random.Generator) -> Tensor:
    """Return what lies around the brain: the atlas's face and neck, under a skull and scalp of random thickness."""
    tissue, distance = patient.tissue.long(), patient.distance
    table = torch.cat([torch.zeros(1), brightness])
    scan = table[tissue] * (1 + rng.uniform(0.02, 0.2) * noise(rng, (18, 20, 18)))
    for _ in range(rng.integers(0, 4)):  # fat, air or glands where the atlas has none
        size = int(rng.integers(6, 20))
        spots = (noise(rng, (size, size, size)) > rng.uniform(0.5, 1.3)) & (tissue > 0) & (tissue != Tissue.EYE)
        scan = torch.where(spots & (distance > FLUID), float(rng.uniform(0, 1.6)), scan)

    z, y = patient.position[..., 0], patient.position[..., 1]
    skull = FLUID + rng.uniform(2.5, 9) + rng.uniform(0, 1.5) * noise(rng, (6, 6, 6))
    scalp = skull + rng.uniform(2.5, 12) + rng.uniform(0, 2) * noise(rng, (5, 5, 5))
    vault = (z > BASE + rng.uniform(0, 20)) & ~((z < -25) & (y < -35) & (distance > skull))
    layers = torch.where(distance < scalp - 1.5, table[Tissue.FAT], table[Tissue.SKIN])
    if rng.uniform() < 0.5:  # muscle over the temples and under the back of the head
        layers = torch.where((z < rng.uniform(-40, 20)) & (distance < scalp - 4), table[Tissue.MUSCLE], layers)
    layers = torch.where(distance < skull, table[Tissue.BONE], layers)
    if rng.uniform() < 0.6:
        marrow = (distance > FLUID + 1.3) & (distance < skull - 1.2) & (noise(rng, (9, 9, 9)) > -0.4)
        layers = torch.where(marrow, table[Tissue.MARROW] * float(rng.uniform(0.3, 1.1)), layers)
    layers = torch.where(distance < scalp, layers, 0.0)
    return torch.where(vault & (tissue != Tissue.EYE) & (tissue != Tissue.AIR), layers, scan)


def with_lesion(scan: Tensor, brain: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the scan with a lesion or a cavity somewhere in the brain, half of them with a core."""
    center = torch.tensor([rng.uniform(n / 4, 3 * n / 4) for n in GRID])
    radius = rng.uniform(1.5, 7) * SPACING
    offset = (_positions() / SPACING + torch.tensor([(n - 1) / 2 for n in GRID]) - center) * SPACING
    distance = offset.norm(dim=-1) + 1.2 * SPACING * noise(rng, (14, 16, 14))
    for reach in (radius, radius * rng.uniform(0.3, 0.7))[: rng.integers(1, 3)]:
        share = ((reach - distance) / 2).sigmoid() * (brain > 0.5)
        scan = scan * (1 - share) + share * float(rng.uniform(0, 2))
    return scan


def as_scanned(scan: Tensor, white: float, rng: np.random.Generator) -> Tensor:
    """Return the scan after a scanner's shading, slices, noise and display curve."""
    scan = scan * torch.exp(rng.uniform(0, 0.45) * noise(rng, (3, 3, 3)))
    kernel = [1, 1, 1]
    kernel[rng.integers(0, 3)] = 3
    thick = functional.avg_pool3d(scan[None, None], tuple(kernel), 1, tuple(k // 2 for k in kernel))[0, 0]
    blur = max(0.0, rng.uniform(-1, 1))
    scan = blur * thick + (1 - blur) * scan
    spread = rng.uniform(0, 0.06) * max(0.3, white)
    scan = torch.hypot(scan + spread * noise(rng, GRID), spread * noise(rng, GRID))
    return scan ** float(rng.uniform(0.7, 1.4)) if rng.uniform() < 0.5 else scan


def disfigured(scan: Tensor, patient: Patient, rng: np.random.Generator) -> Tensor:
    """Return the scan as some archives give it: one in twenty already stripped, one in twelve without its face."""
    chance = rng.uniform()
    if chance < 0.05:
        return scan * (patient.brain > 0.5)
    if chance < 0.13:
        z, y = patient.position[..., 0], patient.position[..., 1]
        face = (y + rng.uniform(0, 1) * z < rng.uniform(-120, -70)) & (patient.distance > rng.uniform(0, 8))
        return torch.where(face, 0.0, scan)
    return scan


def framed(scan: Tensor, brain: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return scan and brain, cut off where a field of view may end, mirrored half of the time."""
    scan, brain = scan.clone(), brain.clone()
    for axis, (likely, low, high) in enumerate(((0.6, 13, 4), (0.1, 5, 3), (0.1, 5, 3))):
        if rng.uniform() < likely:
            for cut in (slice(0, int(rng.uniform(0, low))), slice(GRID[axis] - int(rng.uniform(0, high)), None)):
                for volume in (scan, brain):
                    volume[(slice(None),) * axis + (cut,)] = 0
    if rng.uniform() < 0.5:
        scan, brain = scan.flip(2), brain.flip(2)
    return scaled(scan), brain


def noise(rng: np.random.Generator, cells: tuple[int, int, int]) -> Tensor:
    """Return Gaussian noise of so many cells along each axis, interpolated to the network's grid."""
    coarse = torch.from_numpy(rng.standard_normal((1, 1, *cells), dtype=np.float32))
    if cells == GRID:
        return coarse[0, 0]
    return functional.interpolate(coarse, size=GRID, mode="trilinear", align_corners=True)[0, 0]


@lru_cache(maxsize=1)
def _positions() -> Tensor:
    """Return each voxel's offset (z, y, x) from the middle of the network's grid, [*GRID, 3]."""
    axes = [(torch.arange(n) - (n - 1) / 2) * SPACING for n in GRID]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def _random_matrix(rng: np.random.Generator) -> Tensor:
    """Return a rotation (12 degrees of nodding, 6 of the others, standard deviations) and a scaling along each axis."""
    matrix = np.diag(np.exp(rng.normal(0, 0.07, 3) + rng.normal(0, 0.07)))
    for (i, j), degrees in (((0, 1), 12), ((1, 2), 6), ((0, 2), 6)):
        angle = np.deg2rad(rng.normal(0, degrees))
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = turn @ matrix
    return torch.tensor(matrix, dtype=torch.float32)


def _normal(rng: np.random.Generator, deviations: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rng.normal(0, deviations), dtype=torch.float32)


def _look_up(anatomy: Anatomy, volume: Tensor, position: Tensor, mode: str = "bilinear") -> Tensor:
    """Return a volume's values [channel, *GRID] at atlas positions; beyond its edge, the edge's."""
    size = torch.tensor(volume.shape[2:])
    index = (position - torch.tensor(anatomy.origin)) / anatomy.spacing
    relative = (2 * index / (size - 1) - 1).flip(-1)[None]
    return functional.grid_sample(volume, relative, mode, "border", align_corners=True)[0]
