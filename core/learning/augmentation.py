"""Variation of training cases: parameters are sampled first, applied second, and can be recorded."""

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


def apply(augmentation: Augmentation, image: Tensor, tumor_map: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Vary a case: image and tumor map move together, each through one interpolation.

    Args:
        augmentation: what to do.
        image: float32 [4, D, H, W], 0 outside the brain.
        tumor_map: float32 [3, d, h, w] over the same field of view, or None.
    Returns: new tensors of the same shapes; the arguments themselves where nothing changes.
    """
    image = _change_intensity(augmentation, image)
    return move(augmentation, image), None if tumor_map is None else move(augmentation, tumor_map)


def move(augmentation: Augmentation, values: Tensor) -> Tensor:
    """Mirror, rotate and zoom a field about its center: float32 [C, D, H, W], 0 beyond its border."""
    axes = [axis + 1 for axis, mirrored in enumerate(augmentation.flip) if mirrored]
    if axes:
        values = values.flip(axes)
    if augmentation.rotation == (0.0, 0.0, 0.0) and augmentation.zoom == 1.0:
        return values
    # grid_sample asks where each output voxel comes from, so this is the inverse; it names axes in the order W, H, D.
    inverse = (rotation_matrix(augmentation.rotation).T / augmentation.zoom)[::-1, ::-1]
    affine = torch.from_numpy(np.concatenate([inverse, np.zeros((3, 1))], 1).astype(np.float32))
    affine = affine.to(values.device, non_blocking=True)
    grid = functional.affine_grid(affine[None], [1, *values.shape], align_corners=False)
    return functional.grid_sample(values[None], grid, align_corners=False)[0]


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


def _change_intensity(augmentation: Augmentation, image: Tensor) -> Tensor:
    if set(augmentation.intensity_scale) == {1.0} and set(augmentation.intensity_shift) == {0.0}:
        return image
    scale, shift = (
        torch.tensor(each, dtype=image.dtype).to(image.device, non_blocking=True)[:, None, None, None]
        for each in (augmentation.intensity_scale, augmentation.intensity_shift)
    )
    # Outside the brain stays 0, as preparation leaves it.
    return torch.where(image != 0, image * scale + shift, 0.0)


def _three(values: NDArray[np.float64]) -> Three:
    first, second, third = values.tolist()
    return first, second, third
