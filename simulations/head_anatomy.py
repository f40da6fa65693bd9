"""What surrounds a brain, drawn from the distance to it and a few ellipsoids.

All positions are mm in the MNI152 templates' frame, as LPS: x to the left, y to the back, z up, with the anterior
commissure at the origin.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]
Point = tuple[float, float, float]

FLUID = 2.2  # mm of fluid and membranes between brain and skull
BASE = -70.0  # z of the skull's base, below which there is neck and face
EYES = ((-32.0, -82.0, -50.0), (32.0, -82.0, -50.0))


class Tissue(IntEnum):
    """What fills a voxel that is not brain or its fluid."""

    NONE = 0
    MUSCLE = 1
    FAT = 2
    SKIN = 3
    BONE = 4
    MARROW = 5
    EYE = 6
    AIR = 7
    VESSEL = 8
    CORD = 9
    CANAL = 10


@dataclass(frozen=True)
class Space:
    """The positions of a grid's voxels, mm: x [1, 1, X], y [1, Y, 1], z [Z, 1, 1]."""

    x: Field
    y: Field
    z: Field

    def ellipsoid(self, center: Point, radii: Point) -> Mask:
        """Return the voxels inside an axis-aligned ellipsoid; an infinite radius makes it a cylinder."""
        (x, y, z), (a, b, c) = center, radii
        inside: Mask = ((self.x - x) / a) ** 2 + ((self.y - y) / b) ** 2 + ((self.z - z) / c) ** 2 < 1
        return inside


def space_of(shape: tuple[int, ...], origin: Point) -> Space:
    """Return the positions of a 1 mm grid of this shape [z, y, x] whose first voxel lies at `origin` (x, y, z)."""
    z, y, x = (np.arange(n, dtype=np.float32) + start for n, start in zip(shape, reversed(origin), strict=True))
    return Space(x[None, None, :], y[None, :, None], z[:, None, None])


def distance_to(mask: Mask) -> Field:
    """Return each voxel's distance to the mask's edge in voxels, negative inside."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    distances: Field = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False)
    )
    return distances


def tissues(space: Space, distance: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a `Tissue` for every voxel of the head, as if there were no brain inside."""
    scalp = 14 + 2 * np.cos((space.y - 18) / 40)
    head = _outline(space, distance, scalp)
    depth = -distance_to(head)
    texture = smooth_field(rng, distance.shape, 5)
    thickness = 5.5 + 1.2 * smooth_field(rng, distance.shape, 18)

    tissue = np.where(head, np.uint8(Tissue.MUSCLE), np.uint8(Tissue.NONE))
    vault = (distance > 9) & (distance < scalp - 2) & (space.z > BASE + 8)
    tissue[head & ((depth < 6) | vault | ((texture > 1) & (distance > 10)))] = Tissue.FAT
    temples = space.ellipsoid((-64, -18, -30), (14, 34, 34)) | space.ellipsoid((64, -18, -30), (14, 34, 34))
    tissue[head & temples & (depth > 5)] = Tissue.MUSCLE
    tissue[head & (depth < 2)] = Tissue.SKIN
    tissue[(distance >= FLUID) & (distance < FLUID + thickness)] = Tissue.BONE
    tissue[(distance > 4) & (distance < FLUID - 1 + thickness) & (space.z > BASE + 23)] = Tissue.MARROW
    _draw_face(tissue, space, head, distance, texture)
    _draw_neck(tissue, space, head)
    _draw_vessels(tissue, space, distance)
    return tissue


def _outline(space: Space, distance: Field, scalp: Field) -> Mask:
    """Return the head's outside: the scalp around the brain, the face and the neck, smoothed where they meet."""
    skull = distance < scalp
    face = space.ellipsoid((0, -42, -86), (68, 76, 80)) & (space.y > -122)
    neck = space.ellipsoid((0, 36, 0), (60, 68, np.inf)) & (space.z < BASE + 12)
    smoothed = ndimage.gaussian_filter((skull | face | neck).astype(np.float32), 4) > 0.5
    outline: Mask = smoothed | skull
    for eye in EYES:
        outline |= space.ellipsoid(eye, (12.2, 12.2, 12.2))
    return outline


def _draw_face(tissue: NDArray[np.uint8], space: Space, head: Mask, distance: Field, texture: Field) -> None:
    """Draw jaw, air-filled cavities, orbits and eyes, in place."""
    outside = head & (distance > 4)
    tissue[space.ellipsoid((0, -76, -122), (30, 30, 14)) & head & (texture < 0.6)] = Tissue.MARROW
    cavities = [
        ((0, -80, -82), (11, 26, 24)),  # nose
        ((0, -16, -46), (11, 11, 9)),  # sphenoid sinus
        ((-24, -74, -92), (11, 15, 14)),  # maxillary sinuses
        ((24, -74, -92), (11, 15, 14)),
        ((0, 4, -122), (9, 10, 32)),  # throat
    ]
    for center, radii in cavities:
        tissue[space.ellipsoid(center, radii) & outside] = Tissue.AIR
    for side in (-46, 46):
        mastoid = space.ellipsoid((side, 28, -66), (9, 14, 12)) & head & (distance > 3)
        tissue[mastoid & (texture > -0.3)] = Tissue.AIR
    for x, y, z in EYES:
        tissue[space.ellipsoid((x, y + 12, z), (18, 26, 17)) & outside] = Tissue.FAT
        tissue[space.ellipsoid((x, y, z), (12.2, 12.2, 12.2)) & (distance > 2.5)] = Tissue.EYE


def _draw_neck(tissue: NDArray[np.uint8], space: Space, head: Mask) -> None:
    """Draw the vertebrae and, behind them, the spinal canal with its cord, in place."""
    vertebrae = space.ellipsoid((0, 24, 0), (14, 12, np.inf)) & (space.z < BASE - 8) & head
    tissue[vertebrae] = Tissue.MARROW
    # The canal leans back a little on its way down.
    lean = space.y - 0.05 * (BASE - space.z)
    radius = np.hypot(space.x, lean - 50)
    below = space.z < BASE + 3
    tissue[below & (radius < 10)] = Tissue.CANAL
    tissue[below & (radius < 6)] = Tissue.CORD


def _draw_vessels(tissue: NDArray[np.uint8], space: Space, distance: Field) -> None:
    """Draw the superior sagittal and the transverse sinuses inside the skull, in place."""
    shell = (distance > 0.6) & (distance < 3.2)
    sagittal = (np.abs(space.x) < 3.2) & (space.z > -20)
    transverse = (np.abs(space.z + 30) < 3.5) & (space.y > 60)
    tissue[shell & (sagittal | transverse)] = Tissue.VESSEL


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], width: float) -> Field:
    """Return Gaussian noise of about unit variance whose features are `width` voxels wide, float32 [shape]."""
    step = max(1, int(width // 2))
    coarse = rng.standard_normal([-(-n // step) + 2 for n in shape], dtype=np.float32)
    coarse = ndimage.gaussian_filter(coarse, width / step)
    coarse /= coarse.std()
    if step > 1:
        zoom = [n / m for n, m in zip(shape, coarse.shape, strict=True)]
        coarse = ndimage.zoom(coarse, zoom, order=1, grid_mode=True, mode="nearest")
    field: Field = coarse[tuple(slice(n) for n in shape)]
    return field
