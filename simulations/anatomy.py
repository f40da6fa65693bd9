"""A person's own anatomy: the template head seen through a smooth map, which says which point of the head lies where.

All positions are mm in LPS: x to the left, y to the back, z up.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from simulations.atlas import Head
from simulations.head_anatomy import Point, smooth_field

NODE = 4.0  # mm between the nodes of a map, about
USUAL_SIZE = 0.92  # of a patient's head along each axis: the template's brain, 1,897 ml, is larger than most
CENTER = (0.0, 20.0, 10.0)  # the middle of the template's brain; heads turn and scale around it


@dataclass(frozen=True)
class Anatomy:
    """Where each point of the template head lies in one person.

    Attributes:
        warp: float32 [3, z, y, x], the head's point (x, y, z; mm) at each node of the map.
        origin: mm, position of the first node.
        pitch: mm between nodes along x, y, z.
        brain: mm [2, 3], the lowest and the highest x, y, z of the brain.
    """

    warp: Tensor
    origin: Point
    pitch: Point
    brain: NDArray[np.float64]

    def in_head(self, points: Tensor) -> Tensor:
        """Return the head's points at points of the person, both float32 [z, y, x, 3], mm."""
        return sample(self.warp, points, self.origin, self.pitch).movedim(0, -1)


def sample(volumes: Tensor, points: Tensor, origin: Point, spacing: Point) -> Tensor:
    """Interpolate volumes linearly; beyond their edges the edge goes on.

    Args:
        volumes: float32 [channels, Z, Y, X].
        points: float32 [z, y, x, 3], positions (x, y, z) in mm.
        origin, spacing: mm, (x, y, z) of the volumes' grid.
    Returns: float32 [channels, z, y, x].
    """
    last = torch.tensor(volumes.shape[:0:-1]) - 1
    scale = 2 / (last * torch.tensor(spacing))
    places = torch.addcmul(-1 - torch.tensor(origin) * scale, points, scale)
    return grid_sample(volumes[None], places[None], padding_mode="border", align_corners=True)[0]


def grid_points(shape: tuple[int, ...], origin: Point, spacing: Point) -> Tensor:
    """Return the positions (x, y, z; mm) of a grid's nodes, float32 [z, y, x, 3]."""
    steps = zip(shape, reversed(origin), reversed(spacing), strict=True)
    axes = [start + step * torch.arange(count, dtype=torch.float32) for count, start, step in steps]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)


def make_anatomy(head: Head, rng: np.random.Generator) -> Anatomy:
    """Return the anatomy of a healthy person drawn at random."""
    extent = [(count - 1) * head.spacing for count in head.gray.shape]
    shape = tuple(int(np.ceil(length / NODE)) + 1 for length in extent)
    z, y, x = (length / (count - 1) for length, count in zip(extent, shape, strict=True))
    nodes = grid_points(shape, head.origin, (x, y, z))
    warp = _affine(nodes, rng) + _wobble(shape, rng)
    inside = np.argwhere(share_at(head, "brain", warp).numpy() > 0.5)[:, ::-1]
    brain = np.stack([inside.min(0), inside.max(0)]) * (x, y, z) + head.origin
    return Anatomy(warp.movedim(-1, 0).contiguous(), head.origin, (x, y, z), brain)


def share_at(head: Head, name: str, points: Tensor) -> Tensor:
    """Return the share, 0 to 1, of the head's `gray`, `white`, `csf` or `brain` at points of the head.

    Args:
        points: float32 [z, y, x, 3], mm.
    Returns: float32 [z, y, x].
    """
    voxels = torch.from_numpy(getattr(head, name))[None].float()
    full = 1 if name == "brain" else 255
    return sample(voxels, points, head.origin, (head.spacing,) * 3)[0] / full


def rotation(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that turns by these angles about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def _affine(points: Tensor, rng: np.random.Generator) -> Tensor:
    """Return where points lie in a head of another size, turned and moved as heads are in a coil."""
    scale = USUAL_SIZE * np.exp(rng.normal(0, 0.035, 3) + rng.normal(0, 0.03))
    matrix = torch.from_numpy(rotation(rng.normal(0, [5, 3, 3])) @ np.diag(1 / scale)).float()
    shift = torch.from_numpy(rng.normal(0, [3, 5, 6])).float()
    center = torch.tensor(CENTER)
    return (points - center) @ matrix.T + center + shift


def _wobble(shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Return smooth displacements of some 3 mm, float32 [z, y, x, 3]."""
    scales = ((2.6, 32.0), (1.2, 12.0))  # mm of displacement, mm of its features
    fields = [sum(mm * smooth_field(rng, shape, width / NODE) for mm, width in scales) for _ in range(3)]
    return torch.from_numpy(np.stack(fields, -1))
