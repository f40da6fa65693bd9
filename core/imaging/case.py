"""A prepared case: what the network sees of one patient, and the record of how it came about."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from core.errors import PreparationError
from core.files import write_private


@dataclass(frozen=True)
class Quality:
    """Whether a case may be trained on or predicted, and if not, why: `usable` or `unreliable`."""

    reasons: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """`usable` where nothing speaks against the case."""
        return "unreliable" if self.reasons else "usable"


@dataclass(frozen=True)
class PreparedCase:
    """One patient on the model's grid.

    Attributes:
        image: float32 [4, D, H, W], channels T1w, T1wCE, T2w, FLAIR; normalized inside the brain, 0 outside.
            Axes D, H, W run to superior, posterior, left.
        brain: bool [D, H, W].
        tumor: uint8 [D, H, W] with 0 none, 1 necrosis, 2 edema, 4 enhancing (BraTS's labels), or None without a mask.
        quality: the verdict and its reasons.
        record: what each step did, with its parameters; JSON only. Holds `settings` (PreprocessingSettings as a dict),
            `grid` ({size, spacing, origin, direction} of the model's grid in the T1wCE frame, mm, LPS) and `steps`.
    """

    image: NDArray[np.float32]
    brain: NDArray[np.bool_]
    tumor: NDArray[np.uint8] | None
    quality: Quality
    record: dict[str, Any] = field(default_factory=dict)


def save_case(case: PreparedCase, path: Path) -> None:
    """Write a case as one safetensors file, this account's alone and atomically; equal cases give equal bytes."""
    tensors: dict[str, NDArray[Any]] = {"image": case.image, "brain": case.brain.astype(np.uint8)}
    if case.tumor is not None:
        tensors["tumor"] = case.tumor
    record = json.dumps({"reasons": case.quality.reasons, "record": case.record}, sort_keys=True)
    write_private(
        path, save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, {"gliofed": record})
    )


def load_case(path: Path) -> PreparedCase:
    """Read a prepared case.

    Raises: PreparationError: the file is missing or not a prepared case.
    """
    try:
        with safe_open(path, framework="numpy") as stored:
            about = json.loads(stored.metadata()["gliofed"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
        return PreparedCase(
            image=tensors["image"],
            brain=tensors["brain"].astype(bool),
            tumor=tensors.get("tumor"),
            quality=Quality(tuple(about["reasons"])),
            record=about["record"],
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise PreparationError(
            f"A prepared case is missing or damaged ({type(error).__name__})",
            fix="run `fl-client prepare` again: it makes what is damaged anew",
        ) from None


def pixel_digest(case: PreparedCase) -> str:
    """Return the SHA-256 of a case's image, by which the same scan under two names is recognised."""
    return hashlib.sha256(np.ascontiguousarray(case.image).tobytes()).hexdigest()
