"""Which part of a scan is brain: a small network of our own, averaged over the sequences, held in check by the atlas.

The network sees one sequence at a time on a coarse grid and was trained only on heads synthesised with random contrasts
(`simulations.brain_mask`), so that it knows no scanner and no sequence in particular.

Source: Hoopes et al., SynthStrip: skull-stripping for any brain image, NeuroImage 260, 2022 (the idea of the training).
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from core.imaging.atlas import DATA, atlas
from core.imaging.registration import shrunk

WEIGHTS = DATA / "brain_mask.safetensors"

# The network's grid: voxels along z, y, x (to superior, posterior, left) and mm between them.
GRID = (56, 64, 56)
SPACING = 4.0
# How far below the grid's upper end the top of the head lies, mm, as in training.
HEADROOM = 18.0

# mm from the registered atlas brain's surface: farther outside nothing is brain, deeper inside everything is.
OUTSIDE = 4.0
DEEP = 9.0


class BrainMaskNetwork(nn.Module):
    """A UNet from a scan [1, 1, *GRID] to the logit of brain in each voxel [1, 1, *GRID]."""

    def __init__(self, channels: Sequence[int] = (8, 16, 32, 48)) -> None:
        super().__init__()
        self.down = nn.ModuleList(_block(a, b) for a, b in pairwise((1, *channels)))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in pairwise(channels))
        self.head = nn.Conv3d(channels[0], 1, 1)

    def forward(self, scan: Tensor) -> Tensor:
        """Return logits of the scan's shape."""
        features: list[Tensor] = []
        for block in self.down:
            scan = block(functional.max_pool3d(scan, 2) if features else scan)
            features.append(scan)
        signal = features.pop()
        for block, skip in zip(reversed(self.up), reversed(features), strict=True):
            upsampled = functional.interpolate(signal, scale_factor=2, mode="trilinear", align_corners=False)
            signal = block(torch.cat([upsampled, skip], 1))
        logits: Tensor = self.head(signal)
        return logits


def _block(incoming: int, outgoing: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (incoming, outgoing):
        layers += [
            nn.Conv3d(channels, outgoing, 3, padding=1, bias=False),
            nn.GroupNorm(4, outgoing),
            nn.LeakyReLU(0.1, inplace=True),
        ]
    return nn.Sequential(*layers)


def scaled(scan: Tensor) -> Tensor:
    """Return a scan with its bright tissue at 1, cut off at 1.5, whatever the scanner's units."""
    sample = scan.flatten()[::7]
    level = torch.quantile(sample, 0.995) * 0.02
    tissue = sample[sample > level]
    bright = torch.quantile(tissue, 0.98) if tissue.numel() else scan.max()
    return (scan / bright.clamp_min(1e-6)).clamp(0, 1.5)


@lru_cache(maxsize=1)
def network() -> BrainMaskNetwork:
    """Return the trained network that the node ships, ready to be asked."""
    trained = BrainMaskNetwork()
    trained.load_state_dict(load_file(WEIGHTS))
    # The layout for which torch's 3D convolutions are fast.
    trained.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return trained.eval()


def brain_probability(
    images: Sequence[sitk.Image], transforms: Sequence[sitk.Transform], reference: sitk.Image
) -> sitk.Image:
    """Return the probability of brain, averaged over the sequences.

    Args:
        images: the sequences, at about 3 mm: finer ones would be sampled without smoothing.
        transforms: for each image, from the reference's points to that image's points (LPS, mm).
        reference: the image whose head the network's grid is laid over, at about 3 mm.
    Returns: float32 probability on the network's 4 mm grid, in the reference's frame.
    """
    grid = _network_grid(reference)
    scans = [
        sitk.Resample(image, grid, transform, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
        for image, transform in zip(images, transforms, strict=True)
    ]
    batch = torch.stack([scaled(torch.from_numpy(sitk.GetArrayFromImage(scan))) for scan in scans])[:, None]
    with torch.inference_mode():
        mean = network()(batch).sigmoid().mean(0)[0]
    probability = sitk.GetImageFromArray(mean.numpy())
    probability.CopyInformation(grid)
    return probability


def brain_mask(probability: sitk.Image, reference: sitk.Image) -> sitk.Image:
    """Return the brain on the reference's grid, uint8 0 or 1: one piece without holes, empty if nothing is likely."""
    likely = sitk.Resample(probability, reference, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32) >= 0.5
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(likely), sortByObjectSize=True)
    mask: sitk.Image = sitk.BinaryFillhole(pieces == 1)
    return mask


def gate_by_atlas(probability: sitk.Image, reference: sitk.Image, to_atlas: sitk.Transform) -> sitk.Image:
    """Return the probability, corrected where the registered atlas leaves no doubt.

    Args:
        probability: as `brain_probability` gives it.
        reference: the grid of the result.
        to_atlas: affine, from the atlas's points to the reference's points (LPS, mm).
    Returns: float32 probability on the reference's grid: fading to 0 beyond 4 mm outside of the atlas's brain, at least
        0.9 deeper than 9 mm inside of it.
    """
    _, brain = atlas()
    here = sitk.Resample(
        sitk.Cast(brain, sitk.sitkFloat32), reference, to_atlas.GetInverse(), sitk.sitkLinear, 0.0, sitk.sitkFloat32
    )
    signed = sitk.SignedMaurerDistanceMap(
        here >= 0.5, insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    distance = sitk.GetArrayFromImage(signed)
    likely = sitk.Resample(probability, reference, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    gate = 1 / (1 + np.exp(np.clip(distance - OUTSIDE, -30, 30)))
    gated = np.maximum(sitk.GetArrayFromImage(likely) * gate, 0.9 * (distance < -DEEP))
    result = sitk.GetImageFromArray(gated.astype(np.float32))
    result.CopyInformation(reference)
    return result


def is_stripped(image: sitk.Image) -> bool:
    """Return whether a scan comes without its skull, as BraTS's do.

    Such a scan is exactly 0 around something of a brain's size, and the network finds brain in nearly all of that. A
    head whose face was removed also has exact zeros, but is larger than a brain, or has a scalp around its brain.
    """
    voxels = sitk.GetArrayViewFromImage(image)
    tissue = voxels != 0
    milliliters = float(np.count_nonzero(tissue)) * float(np.prod(image.GetSpacing())) / 1000
    if tissue.mean() > 0.75 or not 500 < milliliters < 2500:
        return False
    coarse = shrunk(sitk.Cast(image, sitk.sitkFloat32), 3.0)
    probability = brain_probability([coarse], [sitk.Transform()], coarse)
    found = sitk.GetArrayFromImage(brain_mask(probability, image)) > 0
    return bool(np.count_nonzero(found & tissue) >= 0.8 * np.count_nonzero(tissue))


def _network_grid(reference: sitk.Image) -> sitk.Image:
    """Return an empty image on the network's grid, laid over the head as it was in training."""
    x, y, top = _top_of_head(reference)
    height, rows, columns = ((n - 1) * SPACING for n in GRID)
    grid = sitk.Image([GRID[2], GRID[1], GRID[0]], sitk.sitkFloat32)
    grid.SetSpacing((SPACING, SPACING, SPACING))
    grid.SetOrigin((x - columns / 2, y - rows / 2, top + HEADROOM - height))
    return grid


def _top_of_head(reference: sitk.Image) -> NDArray[np.float64]:
    """Return where the head ends above, and its middle across and along, as one LPS point (x, y, z), mm."""
    size = reference.GetSize()
    corners = [
        reference.TransformContinuousIndexToPhysicalPoint([c * (n - 1) for c, n in zip(corner, size, strict=True)])
        for corner in np.ndindex(2, 2, 2)
    ]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    upright = sitk.Image([int(n) for n in np.ceil((high - low) / SPACING) + 1], sitk.sitkFloat32)
    upright.SetSpacing((SPACING, SPACING, SPACING))
    upright.SetOrigin(low.tolist())
    voxels = sitk.GetArrayFromImage(
        sitk.Resample(reference, upright, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    )
    pieces, count = ndimage.label(voxels > 0.12 * np.quantile(voxels, 0.99))
    if count == 0:
        return np.asarray((low + high) / 2)
    head = np.argwhere(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)[:, ::-1] * SPACING + low
    top = np.quantile(head[:, 2], 0.998)
    # What lies deeper than a brain reaches (chin, shoulders) says nothing about the brain's middle.
    upper = head[head[:, 2] > top - 150, :2]
    return np.append(np.quantile(upper, [0.01, 0.99], axis=0).mean(0), top)
