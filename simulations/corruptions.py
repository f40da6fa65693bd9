"""What may be wrong with a scan, put onto prepared images in steps: noise, motion, shading, thick slices, no contrast.

A prepared image has no scale of its own any more, so each change is followed by the scaling that preparation would have
done after it. What surrounds the brain is gone: ghosts of skull and skin, which real motion and coils bring, are not
shown.

Sources: Shaw 2019, PMLR 102:427-436 (lines of k-space taken at several positions of the head); Gudbjartsson and Patz
1995, doi:10.1002/mrm.1910340618 (noise is close to normal where there is signal).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from core.imaging.volume import SEQUENCES
from core.learning.augmentation import Augmentation, move
from simulations.acquisition import shading

Image = NDArray[np.float32]
Brain = NDArray[np.bool_]
# Takes an image, its brain, a severity and a generator; what it leaves outside of the brain is put to 0 afterwards.
Change = Callable[[Image, Brain, float, np.random.Generator], Image]

T1W, T1WCE = SEQUENCES.index("T1w"), SEQUENCES.index("T1wCE")
# How often a patient moves while one sequence is taken.
POSITIONS = 8


@dataclass(frozen=True)
class Corruption:
    """One thing that may be wrong with a scan.

    Attributes:
        name: in words.
        unit: of its severities.
        severities: rising; 0 is the scan as it is, and not among them.
        change: makes it.
        scaled: whether each sequence is brought back to mean 0 and standard deviation 1, as preparation does.
        moves: whether the brain is somewhere else afterwards.
    """

    name: str
    unit: str
    severities: tuple[float, ...]
    change: Change
    scaled: bool = True
    moves: bool = False


def corrupted(image: Image, corruption: Corruption, severity: float, seed: int) -> Image:
    """Return a prepared image with one thing wrong.

    Args:
        image: float32 [4, N, N, N], 0 outside of the brain.
        corruption: what.
        severity: how much, in the corruption's unit; 0 gives the image itself.
        seed: of what is random; the same one gives the same image, and a higher severity more of the same.
    Returns: float32 [4, N, N, N], 0 outside of the brain, which only a turn moves.
    """
    if severity == 0:
        return image
    brain = (image != 0).any(0)
    changed = corruption.change(image, brain, severity, np.random.default_rng(seed))
    if corruption.moves:
        brain = (changed != 0).any(0)
    return np.stack([_prepared(each, brain) if corruption.scaled else each * brain for each in changed])


def add_noise(image: Image, brain: Brain, deviations: float, rng: np.random.Generator) -> Image:
    """Add normal noise, in standard deviations of the brain's brightness."""
    return image + np.float32(deviations) * rng.standard_normal(image.shape, dtype=np.float32)


def add_motion(image: Image, brain: Brain, voxels: float, rng: np.random.Generator) -> Image:
    """Take a sequence while the head moves: slabs of k-space along y hold it at other places.

    It lies where it should while the middle lines are taken, so that the image as a whole stays in place.

    Args:
        image, brain, rng: as of any change.
        voxels: standard deviation of each place, along each axis.
    Source: Shaw 2019.
    """
    size = image.shape[1]
    frequencies = np.fft.fftfreq(size)
    # Lines are taken from the most negative frequency to the most positive one.
    position = frequencies.argsort().argsort() * POSITIONS // size
    moved = []
    for sequence in image:
        places = rng.standard_normal((POSITIONS, 3)) * voxels
        places -= places[POSITIONS // 2]
        along = places[position]  # [lines, 3]
        phase = (
            frequencies[:, None, None] * along[None, :, None, 0]
            + (frequencies * along[:, 1])[None, :, None]
            + frequencies[None, None, :] * along[None, :, None, 2]
        )
        dark = sequence[brain].min() if brain.any() else 0
        spectrum = np.fft.fftn(np.where(brain, sequence - dark, 0)) * np.exp(-2j * np.pi * phase)
        moved.append(np.abs(np.fft.ifftn(spectrum)) + dark)
    return np.stack(moved).astype(np.float32)


def blur_along(axis: int) -> Change:
    """Return what slices across an axis do, 0 for axial, 1 for coronal, 2 for sagittal: average their thickness."""

    def blur(image: Image, brain: Brain, voxels: float, rng: np.random.Generator) -> Image:
        deviation = voxels / np.sqrt(12)  # of a slice that is so many voxels thick
        inside = ndimage.gaussian_filter1d(brain.astype(np.float32), deviation, axis=axis)
        seen = ndimage.gaussian_filter1d(image, deviation, axis=axis + 1)
        blurred: Image = np.divide(seen, inside, out=np.zeros_like(image), where=np.broadcast_to(brain, image.shape))
        return blurred

    return blur


def add_shading(image: Image, brain: Brain, bias: float, rng: np.random.Generator) -> Image:
    """Brighten and darken smoothly, at most by exp(bias), each sequence in its own way."""
    shaded = []
    for sequence in image:
        generator = np.random.default_rng(rng.integers(2**63))
        dark = sequence[brain].min() if brain.any() else 0
        shaded.append((sequence - dark) * shading(sequence.shape, bias, generator).numpy())
    return np.stack(shaded).astype(np.float32)


def less_contrast(image: Image, brain: Brain, missing: float, rng: np.random.Generator) -> Image:
    """Leave out a share of the contrast agent: at 1 the sequence with contrast is the one without."""
    changed = image.copy()
    changed[T1WCE] += np.float32(missing) * (image[T1W] - image[T1WCE])
    return changed


def no_sequence(image: Image, brain: Brain, missing: float, rng: np.random.Generator) -> Image:
    """Leave out the sequence with contrast, as where it was never taken: zeros, or at less than 1 a faint one."""
    changed = image.copy()
    changed[T1WCE] *= np.float32(1 - missing)
    return changed


def turn(image: Image, brain: Brain, degrees: float, rng: np.random.Generator) -> Image:
    """Turn the head about a random axis, brain and all."""
    direction = rng.standard_normal(3)
    about = (degrees * direction / np.linalg.norm(direction)).tolist()
    turned = Augmentation(rotation=(about[0], about[1], about[2]))
    fields = torch.from_numpy(np.concatenate([image, brain[None].astype(np.float32)]))
    *seen, kept = move([turned], fields[None])[0].numpy()
    # At the rim half of a voxel comes from outside, where nothing is.
    whole: Image = np.divide(seen, kept, out=np.zeros_like(image), where=np.broadcast_to(kept > 0.5, image.shape))
    return whole


def _prepared(values: Image, brain: Brain) -> Image:
    """Return a sequence with mean 0 and standard deviation 1 in the brain, 0 outside; all 0 if it has one value."""
    inside = values[brain]
    if not inside.size or inside.std() == 0:
        return np.zeros_like(values)
    scaled: Image = np.where(brain, (values - inside.mean()) / inside.std(), 0).astype(np.float32)
    return scaled


CORRUPTIONS = (
    Corruption("noise", "standard deviations", (0.25, 0.5, 1.0), add_noise),
    Corruption("motion", "voxels", (0.25, 0.5, 1.0), add_motion),
    Corruption("thick axial slices", "voxels", (2, 3, 4), blur_along(0)),
    Corruption("thick coronal slices", "voxels", (2, 3, 4), blur_along(1)),
    Corruption("thick sagittal slices", "voxels", (2, 3, 4), blur_along(2)),
    Corruption("shading", "log brightness", (0.25, 0.5, 1.0), add_shading),
    Corruption("less contrast agent", "share missing", (0.25, 0.5, 1.0), less_contrast),
    Corruption("no T1wCE", "share missing", (1.0,), no_sequence, scaled=False),
    Corruption("turned head", "degrees", (5, 10, 20), turn, moves=True),
)
