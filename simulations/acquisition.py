"""A patient through a scanner: tissue brightness, slices, shading, noise, and the numbers a console stores."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from core.imaging.volume import SEQUENCES, Volume
from simulations.anatomy import CENTER, rotation, sample
from simulations.atlas import Head
from simulations.head_anatomy import Tissue, smooth_field
from simulations.patients import SCAN, Patient
from simulations.scanners import Protocol, Scanner

# Brightness of each tissue over that of white matter on T1w.
TISSUES = ("gray", "white", "csf", "muscle", "fat", "skin", "bone", "marrow", "eye", "vessel")
BRIGHTNESS = {
    "T1w": (0.70, 1.00, 0.28, 0.55, 1.55, 0.75, 0.10, 0.95, 0.25, 0.55),
    "T1wCE": (0.72, 1.00, 0.30, 0.65, 1.55, 0.85, 0.10, 1.00, 0.25, 1.75),
    "T2w": (0.95, 0.66, 2.00, 0.35, 1.15, 0.60, 0.10, 0.80, 2.10, 0.35),
    "FLAIR": (1.15, 0.95, 0.22, 0.55, 1.05, 0.60, 0.10, 0.75, 0.22, 0.45),
}
LESION = {  # necrosis, enhancing, edema
    "T1w": (0.42, 0.78, 0.70),
    "T1wCE": (0.45, 1.75, 0.74),
    "T2w": (1.85, 1.15, 1.55),
    "FLAIR": (0.75, 1.35, 1.75),
}
AIR = 0.02
VEILED = 0.25  # how much of the tissue's own brightness is seen through edema
NECROSIS, EDEMA, ENHANCING = 1, 2, 4  # BraTS's labels
GRAIN = ((0.035, 1.5), (0.03, 6.0))  # natural variation of a tissue, over its brightness, and its width (mm)
MEMBRANES = 0.3  # how much of the fluid around the brain is vessels and membranes
FINEST = 0.85  # mm between the samples that a scanner really takes; finer pixels are interpolated
# mm that slices cover beyond the brain, both ends together; all but axial ones take in the scalp.
MARGIN = {"axial": (14, 24), "sagittal": (34, 46), "coronal": (34, 46)}

# Columns are the LPS directions along a slice's rows (to the next column), down its columns, and to the next slice.
PLANES = {
    "axial": np.eye(3),
    "sagittal": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


@dataclass(frozen=True)
class Scan:
    """One sequence of one patient.

    Attributes:
        volume: in the console's units: whole numbers times the scanner's slope.
        tumor: uint8 [slices, rows, columns], BraTS's labels on the same grid; all 0 in a healthy control.
    """

    volume: Volume
    tumor: NDArray[np.uint8]


@dataclass(frozen=True)
class Slab:
    """Where the slices lie: their axes (columns, LPS), the middle of them all (mm, LPS), and how many."""

    axes: NDArray[np.float64]
    center: NDArray[np.float64]
    slices: int

    def corner(self, matrix: int, pixel: float, step: float) -> NDArray[np.float64]:
        """Return the center of the first voxel, mm, LPS."""
        return self.center - self.axes @ (
            np.array([matrix - 1, matrix - 1, self.slices - 1]) / 2 * (pixel, pixel, step)
        )


def acquire(patient: Patient, head: Head, sequence: str, scanner: Scanner) -> Scan:
    """Scan a patient.

    Args:
        head: the template of which the patient's anatomy is a map.
        sequence: one of SEQUENCES.
    """
    rng = np.random.default_rng([*patient.plan.seed, SCAN, SEQUENCES.index(sequence)])
    protocol = scanner.protocol(sequence)
    slab = prescribe(patient, protocol, rng)
    brightness = tissue_brightness(sequence, scanner, rng)
    template = paint_head(head, brightness, rng)
    moved = slab if sequence == "T1w" else _moved(slab, rng)
    image, shares = _expose(patient, head, template, sequence, protocol, moved)

    image *= shading(tuple(image.shape), scanner.bias, rng)
    noise = torch.from_numpy(rng.standard_normal((2, *image.shape), dtype=np.float32))
    noise *= scanner.noise * brightness["white"]
    image = torch.hypot(image + noise[0], noise[1])
    if image.shape[-1] != protocol.matrix:
        size = (protocol.matrix, protocol.matrix)
        image = interpolate(image[None], size, mode="bicubic")[0]
        shares = interpolate(shares, size, mode="bilinear")
    image = image.clip(0) ** scanner.gamma * (scanner.gain * float(np.exp(rng.normal(0, 0.12))))
    voxels = image.round().clip(0, 32767).numpy() * np.float32(scanner.slope)
    x, y, z = slab.corner(protocol.matrix, protocol.pixel, protocol.step).tolist()
    spacing = (protocol.pixel, protocol.pixel, protocol.step)
    return Scan(Volume(voxels, spacing, (x, y, z), slab.axes), labels_of(shares))


def prescribe(patient: Patient, protocol: Protocol, rng: np.random.Generator) -> Slab:
    """Lay slices over the whole brain, about as a technologist would."""
    axes = PLANES[protocol.plane]
    if protocol.plane == "axial":
        axes = rotation(np.array([rng.normal(0, 4), 0, 0])) @ axes
    low, high = patient.anatomy.brain
    through = abs(PLANES[protocol.plane][:, 2]) @ (high - low)
    slices = int(np.ceil((through + rng.uniform(*MARGIN[protocol.plane])) / protocol.step))
    # In the plane the whole head should fit, which reaches further down and forward than the brain.
    shift = np.array([0, -8.0, -12]) * (1 - abs(PLANES[protocol.plane][:, 2]))
    return Slab(axes, (low + high) / 2 + shift + rng.normal(0, [1.5, 3, 2]), slices)


def _moved(slab: Slab, rng: np.random.Generator) -> Slab:
    """Return the slices as they lie in a patient who moved a little since the first sequence."""
    turn = rotation(rng.normal(0, 1.6, 3))
    return replace(slab, axes=turn @ slab.axes, center=turn @ (slab.center - CENTER) + CENTER + rng.normal(0, 1.6, 3))


def tissue_brightness(sequence: str, scanner: Scanner, rng: np.random.Generator) -> dict[str, float]:
    """Return each tissue's brightness on this machine and in this patient."""
    machine = np.random.default_rng([scanner.contrast, SEQUENCES.index(sequence)])
    factors = np.exp(machine.normal(0, 0.06, len(TISSUES)) + rng.normal(0, 0.025, len(TISSUES)))
    return dict(zip(TISSUES, np.multiply(BRIGHTNESS[sequence], factors).tolist(), strict=True))


def paint_head(head: Head, brightness: dict[str, float], rng: np.random.Generator) -> Tensor:
    """Return the template head as one sequence would show it, float32 [1, z, y, x]."""
    of_tissue = np.zeros(len(Tissue), np.float32)
    for tissue in Tissue:
        of_tissue[tissue] = brightness.get(tissue.name.lower(), AIR)
    of_tissue[[Tissue.NONE, Tissue.CORD, Tissue.CANAL]] = 0, brightness["white"] * 0.9, brightness["csf"]
    image = torch.from_numpy(of_tissue[head.tissue])
    for name in ("gray", "white", "csf"):
        image.add_(torch.from_numpy(getattr(head, name)), alpha=brightness[name] / 255)
    image[torch.from_numpy(head.intracranial > head.brain)] *= 1 - MEMBRANES
    offset = tuple(int(n) for n in rng.integers(0, 60, 3))
    return (image * torch.roll(_grain(head.gray.shape, head.spacing), offset, (0, 1, 2)))[None]


@lru_cache(maxsize=2)
def _grain(shape: tuple[int, ...], spacing: float) -> Tensor:
    """Return tissue's natural texture around 1, float32 [shape]."""
    # It costs as much as a scan, so it is drawn once and shifted for each.
    rng = np.random.default_rng(11)
    field = sum(amount * smooth_field(rng, shape, width / spacing) for amount, width in GRAIN)
    return torch.from_numpy(np.float32(1) + field)


def _expose(
    patient: Patient, head: Head, template: Tensor, sequence: str, protocol: Protocol, slab: Slab
) -> tuple[Tensor, Tensor]:
    """Return what the slices see without noise, and the tumor's shares in each voxel.

    Returns: float32 [slices, rows, columns] and float32 [slices, 3, rows, columns], on the matrix really taken.
    """
    field = protocol.matrix * protocol.pixel
    matrix = min(protocol.matrix, int(np.ceil(field / FINEST)))
    pixel = field / matrix
    corner = slab.corner(matrix, pixel, protocol.step)
    across, down, normal = torch.from_numpy(slab.axes).float().T
    # A slice averages its thickness: a few thin layers, each a plane of points [layers, rows, columns, 3].
    layers = max(1, round(protocol.thickness / (1.3 * head.spacing)))
    depths = ((torch.arange(layers) + 0.5) / layers - 0.5) * protocol.thickness
    steps = torch.arange(matrix, dtype=torch.float32) * pixel
    plane = steps[None, :, None, None] * down + steps[:, None] * across + depths[:, None, None, None] * normal
    image = torch.empty(slab.slices, matrix, matrix)
    shares = torch.zeros(slab.slices, 3, matrix, matrix)
    for index in range(slab.slices):
        points = plane + torch.from_numpy(corner).float() + index * protocol.step * normal
        seen = sample(template, patient.anatomy.in_head(points), head.origin, (head.spacing,) * 3)[0]
        if patient.tumor and patient.tumor.touches(points):
            maps = patient.tumor.at(points)
            seen = with_tumor(seen, maps, sequence, patient.tumor.traits.ring)
            shares[index] = maps[:3].mean(1)
        image[index] = seen.mean(0)
    return image, shares


def with_tumor(seen: Tensor, maps: Tensor, sequence: str, ring: float) -> Tensor:
    """Return brightness with the tumor's in place of the tissue it replaced."""
    necrosis, enhancing, edema, texture = maps
    of_necrosis, of_enhancing, of_edema = LESION[sequence]
    if sequence == "T1wCE":
        of_enhancing *= ring
    tissue = (1 - necrosis - enhancing - (1 - VEILED) * edema).clip(0) * seen
    core = necrosis * of_necrosis + enhancing * of_enhancing * (1 + texture)
    painted: Tensor = tissue + core + (1 - VEILED) * edema * of_edema
    return painted


def shading(shape: tuple[int, ...], bias: float, rng: np.random.Generator) -> Tensor:
    """Return the coil's sensitivity: a cubic polynomial's exponential, at most exp(bias), float32 [shape]."""
    amounts = torch.zeros(4, 4, 4)
    for powers in np.ndindex(4, 4, 4):
        if 0 < sum(powers) < 4:
            amounts[powers] = rng.normal() / sum(powers)
    z, y, x = (torch.linspace(-1, 1, count)[:, None] ** torch.arange(4) for count in shape)
    # One axis after the other, the longest product last.
    rows = torch.einsum("ijk,yj,xk->iyx", amounts, y, x)
    field = (z @ rows.flatten(1)).reshape(shape)
    return torch.exp(field * (bias / field.abs().max()))


def labels_of(shares: Tensor) -> NDArray[np.uint8]:
    """Return BraTS's labels where more than half of a voxel is tumor.

    Args:
        shares: float32 [slices, 3, rows, columns] of necrosis, enhancing tumor and edema.
    """
    necrosis, enhancing, edema = shares.unbind(1)
    labels = (edema > 0.5) * EDEMA
    core = necrosis + enhancing > 0.5
    labels[core] = ENHANCING
    labels[core & (necrosis > enhancing)] = NECROSIS
    return labels.to(torch.uint8).numpy()
