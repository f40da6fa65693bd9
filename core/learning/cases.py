"""Cases as the network is trained and judged on them, and files of such cases that are no hospital's: public ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

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


def on_device(case: TrainingCase, device: torch.device) -> TrainingCase:
    """Return a case on a device; a GPU is not waited for."""
    tumor_map = None if case.tumor_map is None else case.tumor_map.to(device, non_blocking=True)
    return replace(case, image=case.image.to(device, non_blocking=True), tumor_map=tumor_map)


def augmented(case: TrainingCase, augmentation: Augmentation) -> TrainingCase:
    """Return a varied case: image and tumor map moved together, labels as they were."""
    image, tumor_map = apply(augmentation, case.image, case.tumor_map)
    return replace(case, image=image, tumor_map=tumor_map)


def collate(cases: Sequence[TrainingCase], device: torch.device) -> tuple[Tensor, Targets]:
    """Stack cases into a batch on a device, not waiting for it; what is unknown of a case is NaN in the targets."""
    cases = [on_device(case, device) for case in cases]
    labels = torch.tensor(
        [
            [nan if case.tumor is None else float(case.tumor) for case in cases],
            [nan if case.mgmt is None else float(case.mgmt) for case in cases],
        ]
    ).to(device, non_blocking=True)
    images = torch.stack([case.image for case in cases]).to(memory_format=torch.channels_last_3d)
    return images, Targets(_maps(cases), labels[0], labels[1])


def _maps(cases: Sequence[TrainingCase]) -> Tensor:
    """Stack the cases' tumor maps, NaN where there is none: float32 [B, 3, n, n, n]."""
    size = cases[0].image.shape[-1] // MAP_STRIDE
    unknown = torch.full((len(REGIONS), size, size, size), nan, device=cases[0].image.device)
    return torch.stack([unknown if case.tumor_map is None else case.tumor_map for case in cases])


def save_cases(path: Path, cases: Sequence[TrainingCase]) -> None:
    """Write cases into one safetensors file; images in half precision, equal cases as equal bytes.

    Args:
        path: where to.
        cases: at least one, all on one grid.
    """
    stored = {
        "image": torch.stack([case.image for case in cases]).half(),
        "tumor_map": _maps(cases),
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
