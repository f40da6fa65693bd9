"""A whole head built around the MNI152 templates: the anatomy behind every synthetic patient.

The templates give the brain; `head_anatomy` draws what surrounds it (skull with marrow, scalp, muscle, eyes, air,
vessels, neck) from the distance to it.
"""

import gzip
import hashlib
import tempfile
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from core.files import atomic, write_atomically
from core.imaging.atlas import DATA
from core.records.home import home
from simulations import head_anatomy
from simulations.head_anatomy import FLUID, Field, Mask, Point, distance_to, space_of, tissues
from simulations.head_anatomy import Tissue as Tissue  # what Head.tissue holds

# mm added around the templates on the low and the high side of z, y and x: room for the neck, the face and the scalp.
MARGINS = ((70, 21), (28, 25), (20, 21))


@dataclass(frozen=True)
class Head:
    """A head on a regular grid; axes z, y, x run to superior, posterior, left.

    Attributes:
        gray, white, csf: uint8 [z, y, x], the share of each in a voxel, 0 to 255.
        tissue: uint8 [z, y, x], a `Tissue` where there is no brain and no fluid around it.
        brain: uint8 [z, y, x], 1 in the brain with its ventricles.
        intracranial: uint8 [z, y, x], 1 in the brain and the fluid around it.
        spacing: mm between voxel centers along each axis.
        origin: mm, LPS position (x, y, z) of voxel [0, 0, 0]'s center.
    """

    gray: NDArray[np.uint8]
    white: NDArray[np.uint8]
    csf: NDArray[np.uint8]
    tissue: NDArray[np.uint8]
    brain: NDArray[np.uint8]
    intracranial: NDArray[np.uint8]
    spacing: float
    origin: Point


@lru_cache(maxsize=2)
def load_head(spacing: Literal[1, 2]) -> Head:
    """Return the head at 1 or 2 mm, built once and kept under `$FL_HOME`/cache."""
    path = home() / "cache" / f"head-{spacing}mm-{_fingerprint()}.npz"
    if not path.exists():
        head = build_head() if spacing == 1 else halve(load_head(1))
        with atomic(path) as temporary:
            np.savez_compressed(temporary, **{f.name: getattr(head, f.name) for f in fields(Head)})
        return head
    with np.load(path, allow_pickle=False) as stored:
        arrays: dict[str, Any] = {f.name: stored[f.name] for f in fields(Head)}
    return Head(**arrays | {"spacing": float(arrays["spacing"]), "origin": tuple(arrays["origin"].tolist())})


def _fingerprint() -> str:
    # Any change of these files may change the head, so that an old one is never taken for it.
    sources = b"".join(Path(source).read_bytes() for source in (__file__, head_anatomy.__file__))
    return hashlib.sha256(sources + version("nilearn").encode()).hexdigest()[:12]


def templates() -> tuple[dict[str, Field], Point]:
    """Return the templates that nilearn ships, unpadded.

    Returns: float32 [z, y, x] in [0, 1] under "t1", "gray" and "white", at 1 mm; LPS position of the first voxel, mm.
    """
    # Here, not above: it takes two seconds, and only building needs it.
    from nilearn import datasets

    loaders = {
        "t1": datasets.load_mni152_template,
        "gray": datasets.load_mni152_gm_template,
        "white": datasets.load_mni152_wm_template,
    }
    images = {name: load(resolution=1) for name, load in loaders.items()}
    # nilearn's axes run right to left, back to front (RAS): turn the first two round.
    arrays = {
        name: np.ascontiguousarray(image.get_fdata(dtype=np.float32)[::-1, ::-1].transpose(2, 1, 0))
        for name, image in images.items()
    }
    _, rows, columns = arrays["t1"].shape
    x, y, z = images["t1"].affine[:3, 3]
    return arrays, (-x - (columns - 1), -y - (rows - 1), z)


def build_head() -> Head:
    """Build the head at 1 mm; takes some 20 s."""
    arrays, corner = templates()
    t1, gray, white = (np.pad(arrays[name], MARGINS) for name in ("t1", "gray", "white"))
    x, y, z = (float(c - low) for c, (low, _) in zip(corner, reversed(MARGINS), strict=True))
    origin = (x, y, z)
    space = space_of(t1.shape, origin)
    rng = np.random.default_rng(7)

    brain = ndimage.binary_fill_holes(ndimage.binary_closing(t1 > 0.2, iterations=2))
    distance = distance_to(_braincase(brain))
    intracranial = distance < FLUID
    gray, white = _sharpened(gray, white, brain)
    tissue = tissues(space, distance, rng)
    tissue[intracranial & (tissue != Tissue.CORD) & (tissue != Tissue.VESSEL)] = Tissue.NONE
    gray8, white8 = (255 * gray).astype(np.uint8), (255 * white).astype(np.uint8)
    return Head(
        gray=gray8,
        white=white8,
        csf=np.where(intracranial & (tissue == Tissue.NONE), 255 - gray8 - white8, 0).astype(np.uint8),
        tissue=tissue,
        brain=brain.astype(np.uint8),
        intracranial=intracranial.astype(np.uint8),
        spacing=1.0,
        origin=origin,
    )


def _braincase(brain: Mask) -> Mask:
    """Return the brain with its fissures closed: a ball of 14 mm radius rolled over its outside."""
    reach = 14.0
    near = distance_to(brain) < reach
    return brain | (distance_to(~near) > reach)


def _sharpened(gray: Field, white: Field, brain: Mask) -> tuple[Field, Field]:
    """Return the shares of gray and white matter, nearer to one person's than an average's are."""
    sharpness = 2.2
    shares = np.stack([gray, white, np.clip(1 - gray - white, 0, 1)]) ** sharpness
    shares *= brain / (shares.sum(0) + 1e-6)
    return shares[0], shares[1]


def halve(head: Head) -> Head:
    """Return a head at twice the spacing: shares are averaged, labels go by majority."""
    x, y, z = (o + head.spacing / 2 for o in head.origin)
    return Head(
        gray=_block_mean(head.gray).astype(np.uint8),
        white=_block_mean(head.white).astype(np.uint8),
        csf=_block_mean(head.csf).astype(np.uint8),
        tissue=np.stack([_block_mean(head.tissue == label) for label in Tissue]).argmax(0).astype(np.uint8),
        brain=(_block_mean(head.brain) >= 0.5).astype(np.uint8),
        intracranial=(_block_mean(head.intracranial) >= 0.5).astype(np.uint8),
        spacing=2 * head.spacing,
        origin=(x, y, z),
    )


def _block_mean(array: NDArray[Any]) -> Field:
    z, y, x = (n // 2 for n in array.shape)
    blocks = array[: 2 * z, : 2 * y, : 2 * x].reshape(z, 2, y, 2, x, 2)
    mean: Field = blocks.mean((1, 3, 5), dtype=np.float32)
    return mean


def write_core_atlas(folder: Path = DATA) -> None:
    """Write the atlas that the node ships (core/imaging/data); equal templates give equal bytes."""
    arrays, (x, y, z) = templates()
    t1 = np.pad(arrays["t1"], 1)
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(t1 > 0.2, iterations=2))
    shipped = {"atlas_2mm": np.round(255 * _block_mean(t1)), "atlas_2mm_brain": _block_mean(brain) >= 0.5}
    for name, array in shipped.items():
        image = sitk.GetImageFromArray(array.astype(np.uint8))
        image.SetSpacing((2.0, 2.0, 2.0))
        image.SetOrigin((x - 0.5, y - 0.5, z - 0.5))
        with tempfile.TemporaryDirectory() as scratch:
            plain = Path(scratch) / "atlas.nii"
            sitk.WriteImage(image, str(plain))
            write_atomically(folder / f"{name}.nii.gz", gzip.compress(plain.read_bytes(), mtime=0))
