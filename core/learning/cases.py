"""Cases as the network is trained and judged on them, and files of such cases that are no hospital's: public ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from torch.profiler import record_function

from core.errors import DataError
from core.files import atomic
from core.learning.augmentation import Augmentation, apply
from core.learning.losses import Targets
from core.learning.metrics import REGIONS
from core.learning.model import MAP_STRIDE

_UNKNOWN = -1


@dataclass(frozen=True)
class TrainingCase:
    """One patient as the network is trained on it.

    Attributes:
        image: float32 [4, N, N, N], as prepared.
        tumor_map: float32 [3, N/4, N/4, N/4], each region's share of each voxel of the map; None without a mask.
        mgmt: whether the promoter is methylated, None where unknown.
        tumor: whether there is a tumor, None without a mask.
    """

    image: Tensor
    tumor_map: Tensor | None
    mgmt: int | None
    tumor: int | None


def training_case(image: NDArray[np.float32], mask: NDArray[np.uint8] | None, mgmt: int | None) -> TrainingCase:
    """Return arrays as the network is trained on them.

    Args:
        image: float32 [4, N, N, N].
        mask: uint8 [N, N, N] in BraTS's labels, empty for a healthy control, or None where nobody drew one.
        mgmt: 0, 1 or None.
    """
    if mask is None:
        return TrainingCase(torch.from_numpy(image), None, mgmt, None)
    regions = np.stack([mask == label for label in REGIONS.values()]).astype(np.float32)
    shares = functional.avg_pool3d(torch.from_numpy(regions), MAP_STRIDE)
    return TrainingCase(torch.from_numpy(image), shares, mgmt, int(mask.any()))


def collate(cases: Sequence[TrainingCase], device: torch.device) -> tuple[Tensor, Targets]:
    """Stack cases into a batch on a device, not waiting for it; what is unknown of a case is NaN in the targets."""
    return _laid_out(_images(cases, device)), _targets(cases, device)


def augmented(
    cases: Sequence[TrainingCase], augmentations: Sequence[Augmentation], device: torch.device
) -> tuple[Tensor, Targets]:
    """Stack cases as `collate` does, and vary each there: image and tumor map move together, labels stay."""
    with record_function("load"):
        images, targets = _images(cases, device), _targets(cases, device)
    with record_function("augment"):
        images, tumor_maps = apply(augmentations, images, targets.tumor_map)
        if any(case.tumor_map is None for case in cases):  # what turned in from beyond the border is unknown too
            tumor_maps = torch.where(targets.tumor_map.isnan(), nan, tumor_maps)
        return _laid_out(images), targets._replace(tumor_map=tumor_maps)


def _laid_out(images: Tensor) -> Tensor:
    return images.to(memory_format=torch.channels_last_3d)


def _images(cases: Sequence[TrainingCase], device: torch.device) -> Tensor:
    return _sent([case.image for case in cases], device)


def _targets(cases: Sequence[TrainingCase], device: torch.device) -> Targets:
    known = ([case.tumor for case in cases], [case.mgmt for case in cases])
    labels = [torch.tensor([nan if label is None else float(label) for label in row]) for row in known]
    tumor, mgmt = _sent(labels, device)
    return Targets(_sent(_maps(cases), device), tumor, mgmt)


def _sent(rows: Sequence[Tensor], device: torch.device) -> Tensor:
    """Stack tensors of the machine's memory, and send them at once; a GPU reads pinned memory by itself."""
    stacked = torch.empty((len(rows), *rows[0].shape), pin_memory=device.type == "cuda")
    return torch.stack(list(rows), out=stacked).to(device, non_blocking=True)


def _maps(cases: Sequence[TrainingCase]) -> list[Tensor]:
    """Return the cases' tumor maps, NaN where there is none: float32 [3, n, n, n]."""
    size = cases[0].image.shape[-1] // MAP_STRIDE
    unknown = torch.full((len(REGIONS), size, size, size), nan)
    return [unknown if case.tumor_map is None else case.tumor_map for case in cases]


def save_cases(path: Path, cases: Sequence[TrainingCase]) -> None:
    """Write cases into one safetensors file; images in half precision, equal cases as equal bytes.

    Args:
        path: where to.
        cases: at least one, all on one grid.
    """
    stored = {
        "image": torch.stack([case.image for case in cases]).half(),
        "tumor_map": torch.stack(_maps(cases)),
        "mgmt": torch.tensor([_UNKNOWN if case.mgmt is None else case.mgmt for case in cases], dtype=torch.int8),
        "tumor": torch.tensor([_UNKNOWN if case.tumor is None else case.tumor for case in cases], dtype=torch.int8),
    }
    with atomic(path) as temporary:
        save_file(stored, temporary)


def load_cases(path: Path) -> tuple[TrainingCase, ...]:
    """Read the cases of a file that `save_cases` wrote.

    Raises: DataError: it is missing or holds something else.
    """
    try:
        stored = load_file(path)
        return tuple(
            TrainingCase(
                image.float(), None if tumor < 0 else tumor_map, *(None if one < 0 else one for one in (mgmt, tumor))
            )
            for image, tumor_map, mgmt, tumor in zip(
                stored["image"], stored["tumor_map"], stored["mgmt"].tolist(), stored["tumor"].tolist(), strict=True
            )
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"{path.name} is no file of cases ({type(error).__name__})", fix="make it again") from None
