"""Four volumes of one patient -> one case on the model's grid; the same code for training and for the clinic.

The steps, in order: co-register, resample to isotropic, strip the skull, normalize inside the brain, crop to the brain,
resize to the model's grid, stack. Resampling, cropping and resizing are one interpolation, from the original voxels
to the final grid through one composed transform; everything before it looks at coarse copies and moves no voxel.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from core.errors import DataError, NotACaseError
from core.imaging.case import PreparedCase
from core.imaging.model_grid import GRID_AXES, described, model_grid, scan_grid, stretch
from core.imaging.normalization import CLIP, normalize
from core.imaging.quality import Findings, judge
from core.imaging.registration import Alignment, affine_to_atlas, one_thread, recorded, rigid, shrunk, working_copy
from core.imaging.skull_stripping import brain_mask, brain_probability, gate_by_atlas, is_stripped
from core.imaging.tumor_mask import is_empty, tumor_on_grid
from core.imaging.version import PREPROCESSING_VERSION
from core.imaging.volume import SEQUENCES, Volume, check_extent, finite_image
from core.study import PreprocessingSettings

REFERENCE = "T1wCE"
# mm between the voxels of the copies in which transforms and the brain are looked for.
COPY_SPACING = 3.0
# The record of an alignment that was not looked for.
IDENTITY = {"identity": True}


@dataclass(frozen=True)
class Brain:
    """Where the brain is, in the T1wCE frame.

    Attributes:
        probability: float32, of any coarse grid.
        mask: uint8 on that grid.
        from_atlas: from the atlas's points to the patient's; None where no brain was found.
        stripped: whether the scan came without its skull.
    """

    probability: sitk.Image
    mask: sitk.Image
    from_atlas: sitk.AffineTransform | None
    stripped: bool


def prepare_case(
    volumes: Mapping[str, Volume], settings: PreprocessingSettings, tumor_mask: sitk.Image | Volume | None = None
) -> PreparedCase:
    """Bring a patient's four sequences to the model's grid.

    Args:
        volumes: the four sequences by name, each with its own grid in the patient's frame (mm, LPS).
        settings: the study's grid, margin and normalization.
        tumor_mask: labels 0, 1, 2, 4 (BraTS) on any grid in the T1wCE frame.
    Returns: the case, its verdict and the record of every step. Poor scans are not refused but marked: an unreliable
        case has its reasons, and zeros where nothing could be prepared. Equal input gives equal bits.
    Raises:
        NotACaseError: a sequence is missing.
        DataError: a volume is larger than any head scan.
    """
    missing = [name for name in SEQUENCES if name not in volumes]
    if missing:
        raise NotACaseError(f"The case has no {' and no '.join(missing)}", fix="add the missing sequences")
    for name in SEQUENCES:
        try:
            check_extent(volumes[name].voxels.shape[::-1], volumes[name].spacing)
        except DataError as error:
            raise DataError(f"{name}: {error.problem}", fix=error.fix) from None
    with one_thread(), one_torch_thread():
        copies = {name: working_copy(finite_image(volumes[name]), COPY_SPACING) for name in SEQUENCES}
        alignments = _co_register(copies)
        brain = _find_brain(finite_image(volumes[REFERENCE]), copies, alignments)
        if brain.from_atlas is None:
            grid = scan_grid(copies[REFERENCE], settings)
        else:
            grid = model_grid(brain.mask, brain.from_atlas, settings)
        return _on_grid(volumes, settings, tumor_mask, alignments, brain, grid)


def alignments_of(record: Mapping[str, Any]) -> dict[str, sitk.Transform]:
    """Return, for each sequence, the way from T1wCE's points to its own (mm, LPS) that a case's record tells.

    Raises: KeyError: it tells none.
    """
    steps = {step["step"]: step for step in record["steps"]}
    sequences = {REFERENCE: IDENTITY, **steps["co-register"]["sequences"]}
    return {name: recorded(sequences[name]) for name in SEQUENCES}


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch add up in one order too, and leave the other cores to the other cases."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _co_register(copies: Mapping[str, sitk.Image]) -> dict[str, Alignment]:
    """Find, for each sequence, the way from T1wCE's points to its own; a blank one stays where the scanner put it."""
    blank = _blank(copies)
    return {
        name: rigid(copies[REFERENCE], copy)
        if name != REFERENCE and not {name, REFERENCE} & blank
        else Alignment(recorded(IDENTITY), 0.0, IDENTITY)
        for name, copy in copies.items()
    }


def _blank(copies: Mapping[str, sitk.Image]) -> frozenset[str]:
    return frozenset(name for name, copy in copies.items() if np.ptp(sitk.GetArrayViewFromImage(copy)) == 0)


def _find_brain(original: sitk.Image, copies: Mapping[str, sitk.Image], alignments: Mapping[str, Alignment]) -> Brain:
    """Strip the skull: the network's probability held in check by the atlas, or what a stripped scan left."""
    reference = copies[REFERENCE]
    useful = [name for name in SEQUENCES if name not in _blank(copies)]
    # A copy would not tell: averaging spreads the brain's border into the zeros around it.
    stripped = REFERENCE in useful and is_stripped(original)
    if stripped:
        probability = working_copy(original != 0, COPY_SPACING)
    else:
        images, transforms = [copies[name] for name in useful], [alignments[name].transform for name in useful]
        probability = brain_probability(images or [reference], transforms or [sitk.Transform()], reference)
    mask = brain_mask(probability, reference)
    if REFERENCE not in useful or not sitk.GetArrayViewFromImage(mask).any():
        return Brain(probability, brain_mask(probability, probability), None, stripped)
    from_atlas = affine_to_atlas(reference, mask)
    if not stripped:
        # On its own grid, which reaches beyond a T1wCE that shows only part of the head.
        probability = gate_by_atlas(probability, probability, from_atlas)
    return Brain(probability, brain_mask(probability, probability), from_atlas, stripped)


def _on_grid(
    volumes: Mapping[str, Volume],
    settings: PreprocessingSettings,
    tumor_mask: sitk.Image | Volume | None,
    alignments: Mapping[str, Alignment],
    brain: Brain,
    grid: sitk.Image,
) -> PreparedCase:
    """Interpolate every sequence once, normalize and stack them, and judge the outcome."""
    mask = sitk.GetArrayFromImage(brain_mask(brain.probability, grid)).astype(bool)
    if brain.from_atlas is None:
        mask[:] = False
    image = np.zeros((len(SEQUENCES), *mask.shape), np.float32)
    shown = np.zeros(image.shape, bool)
    normalization = {}
    for channel, name in enumerate(SEQUENCES):
        values = _resampled(finite_image(volumes[name]), alignments[name].transform, grid)
        shown[channel] = np.isfinite(values) & (values != 0)
        image[channel], normalization[name] = normalize(values, mask, settings.normalization)
    tumor = None if tumor_mask is None else tumor_on_grid(tumor_mask, grid)
    voxels = max(int(mask.sum()), 1)
    findings = Findings(
        coarsest_mm={name: max(volumes[name].spacing) for name in SEQUENCES},
        blank=frozenset(name for name in SEQUENCES if "blank" in normalization[name] and mask.any())
        | frozenset(name for name in SEQUENCES if np.ptp(volumes[name].voxels) == 0),
        shared_nats={name: -alignments[name].metric for name in SEQUENCES if name != REFERENCE},
        brain_ml=float(mask.sum() * grid.GetSpacing()[0] ** 3 / 1000),
        stretch=stretch(brain.from_atlas) if brain.from_atlas else (1.0, 1.0),
        coverage={name: float((shown[i] & mask).sum() / voxels) for i, name in enumerate(SEQUENCES)},
        joint_coverage=float((shown.all(0) & mask).sum() / voxels),
        tumor_inside=tumor is None or bool((mask & (tumor > 0)).any()) or is_empty(tumor_mask),
    )
    record = {
        "version": PREPROCESSING_VERSION,
        "settings": settings.model_dump(mode="json"),
        "steps": _steps(settings, alignments, brain, grid, normalization, findings),
        "grid": described(grid),
    }
    return PreparedCase(image, mask, tumor, judge(findings), record)


def _resampled(image: sitk.Image, transform: sitk.Transform, grid: sitk.Image) -> NDArray[np.float32]:
    """Interpolate a sequence once, averaged first where the grid is coarser; NaN outside of its field of view."""
    coarse = shrunk(image, grid.GetSpacing()[0])
    result = sitk.Resample(coarse, grid, transform, sitk.sitkLinear, float("nan"), sitk.sitkFloat32)
    values: NDArray[np.float32] = sitk.GetArrayFromImage(result)
    return values


def _steps(
    settings: PreprocessingSettings,
    alignments: Mapping[str, Alignment],
    brain: Brain,
    grid: sitk.Image,
    normalization: Mapping[str, dict[str, Any]],
    found: Findings,
) -> list[dict[str, Any]]:
    """Return what each step did, in the order of the chain."""
    affine = brain.from_atlas
    return [
        {
            "step": "co-register",
            "to": REFERENCE,
            "copy_mm": COPY_SPACING,
            "sequences": {name: alignment.record for name, alignment in alignments.items() if name != REFERENCE},
        },
        {"step": "resample to isotropic", "spacing_mm": grid.GetSpacing()[0], "interpolation": "linear, once"},
        {
            "step": "strip the skull",
            "method": "as it came" if brain.stripped else "network, gated by the atlas",
            "from_atlas": None if affine is None else [*affine.GetParameters(), *affine.GetFixedParameters()],
            "brain_ml": found.brain_ml,
            "stretch": list(found.stretch),
        },
        {
            "step": "normalize",
            "method": settings.normalization,
            "clip_percent": list(CLIP),
            "sequences": dict(normalization),
        },
        {"step": "crop to the brain", "margin_mm": settings.margin_mm, "side_mm": settings.grid * grid.GetSpacing()[0]},
        {"step": "resize", "grid": settings.grid, "axes": GRID_AXES},
        {
            "step": "stack",
            "order": list(SEQUENCES),
            "coverage": dict(found.coverage),
            "joint_coverage": found.joint_coverage,
        },
    ]
