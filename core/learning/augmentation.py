"""Variation of training cases: parameters are sampled first, applied second, and can be recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, log, radians, sin

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from core.study import AugmentationSettings

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Augmentation:
    """How one case is varied; the default leaves it as it is.

    Attributes:
        flip: whether the axes D, H, W are mirrored.
        rotation: degrees about the axes D, H, W, in that order.
        zoom: how many times larger the head appears.
        intensity_scale: factor on each sequence's values.
        intensity_shift: added to each sequence's values, in standard deviations of the brain's intensity.
    """

    flip: tuple[bool, bool, bool] = (False, False, False)
    rotation: Three = (0.0, 0.0, 0.0)
    zoom: float = 1.0
    intensity_scale: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    intensity_shift: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)

    @property
    def turns(self) -> bool:
        """Whether voxels come to lie between those that there were."""
        return self.rotation != (0.0, 0.0, 0.0) or self.zoom != 1.0


def sample(settings: AugmentationSettings, generator: np.random.Generator) -> Augmentation:
    """Draw one variation, each parameter uniform within its setting (zoom and scale on a log scale)."""
    # Drawn whether used or not, so that turning one variation off leaves the others as they were.
    flips = generator.random(3) < 0.5
    angles, size = generator.uniform(-1, 1, 3), generator.uniform(-1, 1)
    scales, shifts = generator.uniform(-1, 1, 4), generator.uniform(-1, 1, 4)
    flip = settings.flip & flips
    return Augmentation(
        flip=(bool(flip[0]), bool(flip[1]), bool(flip[2])),
        rotation=_three(settings.rotation_degrees * angles),
        zoom=float(np.exp(log(1 + settings.zoom) * size)),
        intensity_scale=tuple(np.exp(log(1 + settings.intensity_scale) * scales).tolist()),
        intensity_shift=tuple((settings.intensity_shift * shifts).tolist()),
    )


def apply(augmentations: Sequence[Augmentation], images: Tensor, tumor_maps: Tensor) -> tuple[Tensor, Tensor]:
    """Vary a batch, each case by its own: image and tumor map move together, each through one interpolation.

    What becomes of a case does not depend on the others.

    Args:
        augmentations: what to do to each case.
        images: float32 [B, 4, D, H, W], 0 outside the brain.
        tumor_maps: float32 [B, 3, d, h, w] over the same fields of view.
    Returns: new tensors of the same shapes; the arguments themselves where nothing changes.
    """
    return move(augmentations, _change_intensity(augmentations, images)), move(augmentations, tumor_maps)


def move(augmentations: Sequence[Augmentation], values: Tensor) -> Tensor:
    """Mirror, rotate and zoom fields about their centers: float32 [B, C, D, H, W], 0 beyond their borders."""
    turning = {augmentation.turns for augmentation in augmentations}
    if len(turning) > 1:  # one by one, so that a case that is only mirrored stays exact in any company
        alone = (move([one], field[None]) for one, field in zip(augmentations, values, strict=True))
        return torch.cat(list(alone))
    if turning == {True}:
        origins = np.stack([_origins(augmentation) for augmentation in augmentations])
        return functional.grid_sample(values, _grid(_sent(origins, values.device), values), align_corners=False)
    if not any(any(augmentation.flip) for augmentation in augmentations):
        return values
    return torch.stack([_mirrored(one.flip, field) for one, field in zip(augmentations, values, strict=True)])


def rotation_matrix(degrees: Three) -> NDArray[np.float64]:
    """Return the rotation of positions (D, H, W) about D, then H, then W: float64 [3, 3]."""
    turned = np.eye(3)
    for axis, angle in enumerate(degrees):
        cosine, sine = cos(radians(angle)), sin(radians(angle))
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = cosine
        turn[first, second], turn[second, first] = -sine, sine
        turned = turn @ turned
    return turned


def _origins(augmentation: Augmentation) -> NDArray[np.float64]:
    """Return how a voxel's origin moves along each axis (D, H, W), as `grid_sample` names it: float64 [3, W H D]."""
    inverse = rotation_matrix(augmentation.rotation).T / augmentation.zoom
    return (np.where(augmentation.flip, -1.0, 1.0)[:, None] * inverse).T[:, ::-1]


def _grid(origins: Tensor, values: Tensor) -> Tensor:
    """Return where each voxel comes from: float32 [B, D, H, W, 3].

    A sum of what each axis adds, first over a plane and then over planes: a fraction of the time of `affine_grid`.
    """
    batch, _, depth, height, width = values.shape
    along_d, along_h, along_w = (
        origins[:, axis, None] * _centers(size, values.device)[:, None]
        for axis, size in enumerate((depth, height, width))
    )
    plane = (along_h[:, :, None] + along_w[:, None]).view(batch, 1, height, 3 * width)
    planes = along_d.repeat(1, 1, width)[:, :, None]
    return (planes + plane).view(batch, depth, height, width, 3)


def _centers(size: int, device: torch.device) -> Tensor:
    """Return the places of an axis' voxels where its borders are at -1 and 1: float32 [size]."""
    return (2 * torch.arange(size, dtype=torch.float32, device=device) + 1) / size - 1


def _mirrored(flip: tuple[bool, bool, bool], field: Tensor) -> Tensor:
    return field.flip([axis + 1 for axis in range(3) if flip[axis]])


def _change_intensity(augmentations: Sequence[Augmentation], images: Tensor) -> Tensor:
    told = np.array([(one.intensity_scale, one.intensity_shift) for one in augmentations])
    if (told == [[1.0], [0.0]]).all():
        return images
    scale, shift = _sent(told, images.device)[..., None, None, None].unbind(1)
    # Outside the brain stays 0, as preparation leaves it; a sign costs a CPU a tenth of what a comparison does.
    inside = images.abs().sign_()
    return inside.mul_(shift).addcmul_(images, scale)


def _sent(values: NDArray[np.float64], device: torch.device) -> Tensor:
    """Return small parameters as float32 on a device, which is not waited for."""
    return torch.from_numpy(values.astype(np.float32)).to(device, non_blocking=True)


def _three(values: NDArray[np.float64]) -> Three:
    first, second, third = values.tolist()
    return first, second, third
