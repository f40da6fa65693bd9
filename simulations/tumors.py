"""A glioma: a necrotic core, an enhancing ring and edema that follows white matter, in one person's brain."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from simulations.anatomy import Anatomy, grid_points, sample, share_at
from simulations.atlas import Head
from simulations.head_anatomy import Point, smooth_field

MASS_EFFECT = 0.22  # how far a tumor pushes what is around it, as a share of its radius
RIM = 8.0  # mm of brain around a tumor's center, at least


@dataclass(frozen=True)
class Traits:
    """What the latent moves in a tumor's looks.

    Attributes:
        necrosis: radius of the necrotic core over the tumor's.
        ring: brightness of the enhancing part on T1wCE over the usual.
        edema: radius of the edema over the tumor's.
    """

    necrosis: float
    ring: float
    edema: float


def traits_of(latent: float) -> Traits:
    """Return a tumor's traits, each of which rises or falls with the latent all the way."""
    level = 1 / (1 + np.exp(-1.1 * latent))
    return Traits(necrosis=0.4 + 0.42 * level, ring=1.0 + 0.55 * (0.5 - level), edema=2.0 - 0.75 * level)


@dataclass(frozen=True)
class Tumor:
    """A tumor on a small grid of its own, whose axes z, y, x run to superior, posterior, left.

    Attributes:
        maps: float32 [4, z, y, x]: the shares of necrosis, enhancing tumor and edema in a voxel, and the relative
            brightness of its enhancing part less 1.
        traits: what the latent made of it.
        origin: mm, LPS.
        spacing: mm.
    """

    maps: Tensor
    traits: Traits
    origin: Point
    spacing: float

    def touches(self, points: Tensor) -> bool:
        """Tell whether the box around points [..., 3] (mm) meets the tumor's grid."""
        low = torch.tensor(self.origin)
        high = low + self.spacing * (self.maps.shape[-1] - 1)
        corners = points[:, :: points.shape[1] - 1, :: points.shape[2] - 1].reshape(-1, 3)
        return bool((corners.amax(0) > low).all() and (corners.amin(0) < high).all())

    def at(self, points: Tensor) -> Tensor:
        """Return the maps at points of the person, float32 [z, y, x, 3] in mm, as float32 [4, z, y, x]."""
        return sample(self.maps, points, self.origin, (self.spacing,) * 3)


def give_tumor(healthy: Anatomy, head: Head, latent: float, rng: np.random.Generator) -> tuple[Anatomy, Tumor]:
    """Return a person's anatomy with a tumor's pressure on it, and the tumor."""
    radius = float(np.clip(rng.normal(19, 5), 9, 30))
    center = _place(healthy, head, rng)
    nodes = grid_points(tuple(healthy.warp.shape[1:]), healthy.origin, healthy.pitch)
    pressed = healthy.in_head(_pressed(nodes, center, radius)).movedim(-1, 0).contiguous()
    anatomy = replace(healthy, warp=pressed)
    return anatomy, _grow(anatomy, head, center, radius, traits_of(latent), rng)


def _place(anatomy: Anatomy, head: Head, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a tumor's center (mm, LPS): white matter of the cerebrum, not at its very edge."""
    in_head = anatomy.warp.movedim(0, -1)
    white = share_at(head, "white", in_head).numpy() > 0.6
    brain = share_at(head, "brain", in_head).numpy() > 0.5
    deep = ndimage.binary_erosion(brain, iterations=round(RIM / anatomy.pitch[2]))
    x, y, z = in_head.unbind(-1)
    # The cerebellum and brain stem lie behind and between the temporal lobes.
    cerebrum = (z > 8) | ((z > -20) & (y < 25) & (x.abs() > 25))
    places = np.argwhere(white & deep & cerebrum.numpy())[:, ::-1]
    node = places[rng.integers(len(places))]
    return np.asarray(node * anatomy.pitch + anatomy.origin + rng.uniform(-2, 2, 3))


def _pressed(points: Tensor, center: NDArray[np.float64], radius: float) -> Tensor:
    """Return where tissue at points was before a tumor pushed it away from the center; all in mm."""
    away = points - torch.from_numpy(center).float()
    distance = away.norm(dim=-1, keepdim=True) + 1e-3
    pressure = MASS_EFFECT * radius * torch.exp(-(((distance - 0.6 * radius) / (1.1 * radius)) ** 2))
    before: Tensor = points - away / distance * pressure
    return before


def _grow(
    anatomy: Anatomy, head: Head, center: NDArray[np.float64], radius: float, traits: Traits, rng: np.random.Generator
) -> Tumor:
    """Return a tumor of about this radius (mm) that keeps to the brain."""
    spacing = head.spacing
    reach = int(np.ceil((radius * traits.edema * 1.25 + 12) / spacing))
    shape = (2 * reach + 1,) * 3
    x, y, z = (float(c) - reach * spacing for c in center)
    points = grid_points(shape, (x, y, z), (spacing,) * 3)
    in_head = anatomy.in_head(points)
    white = share_at(head, "white", in_head)
    brain = (share_at(head, "brain", in_head) * (share_at(head, "csf", in_head) < 0.55)).clip(0, 1)

    def rough(width: float) -> Tensor:
        return torch.from_numpy(smooth_field(rng, shape, width / spacing))

    beyond = _outside(points, center, radius, rng) + radius * (0.10 * rough(7) + 0.04 * rough(3))
    whole = torch.sigmoid(-beyond / 0.6) * (3 * brain).clip(0, 1)
    wall = radius * (1 - traits.necrosis) * (1 + 0.22 * rough(8) + 0.10 * rough(3))
    necrosis = torch.sigmoid((-beyond - wall) / 0.7) * whole
    # Edema runs along white matter and hardly into the cortex or across to the other half.
    other_half = torch.sign(in_head[..., 0]) != np.sign(float(in_head[reach, reach, reach, 0]))
    effort = beyond * (1 + 0.25 * rough(9)).clip(0.5) + 14 * (1 - white) + 8 * other_half
    # It ends within the grid, whatever white matter leads out of it.
    effort += 2 * ((points - torch.from_numpy(center).float()).norm(dim=-1) - (reach * spacing - 10)).clip(0)
    edema = torch.sigmoid(((traits.edema - 1) * radius - effort) / 1.5) * (2 * brain - 0.5).clip(0, 1) * (1 - whole)
    texture = 0.12 * rough(2.2) + 0.08 * rough(6)
    maps = torch.stack([necrosis, whole - necrosis, edema, texture])
    maps[:, [0, -1]] = maps[:, :, [0, -1]] = maps[:, :, :, [0, -1]] = 0  # beyond the edge the edge goes on
    return Tumor(maps, traits, (x, y, z), spacing)


def _outside(points: Tensor, center: NDArray[np.float64], radius: float, rng: np.random.Generator) -> Tensor:
    """Return the distance (mm) of points beyond a body of a few merged, stretched balls; negative inside."""
    stretch = rng.uniform(0.8, 1.25, 3)
    stretch /= stretch.prod() ** (1 / 3)
    balls = [(center, 0.92 * radius)]
    for _ in range(rng.integers(1, 4)):
        direction = rng.standard_normal(3)
        size = rng.uniform(0.35, 0.6) * radius
        balls.append((center + direction / np.linalg.norm(direction) * rng.uniform(0.6, 0.85) * radius, size))
    softness = 2.0  # mm, over which neighboring balls flow together
    total = torch.zeros(points.shape[:-1])
    for middle, size in balls:
        away = (points - torch.from_numpy(middle).float()) / torch.from_numpy(stretch).float()
        total += torch.exp(((size - away.norm(dim=-1)) / softness).clip(-30, 30))
    distance: Tensor = -softness * torch.log(total)
    return distance
