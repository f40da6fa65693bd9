"""How far a round's training is, kept after each of its epochs: a trainer that was killed goes on where it was.

SPOOL/<study>.checkpoint   safetensors: the arrays; metadata `about` (JSON), and `sha256` of it and of the arrays

What is drawn in an epoch follows from study, site, round and epoch, and the rate of a step from its place in the study,
so that neither a random state nor a schedule is kept.

Source: Loshchilov 2019 (AdamW), for what its state is.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor, nn

from core.files import write_private
from core.learning.weights import flatten, restore, trained
from core.messages import Counts, Flat

logger = logging.getLogger(__name__)

ARRAYS = ("weights", "means", "squares", "steps")


@dataclass(frozen=True, eq=False)
class EpochCheckpoint:
    """A round's training between two of its epochs.

    Attributes:
        epochs: how many are done: 1, 2, ...
        weights: float32 [manifest.size], the model's.
        means, squares: float32 [manifest.size], the optimizer's averages of each gradient and of its square.
        steps: float32 [parts of the manifest], the optimizer's steps, 0 where it has made none.
        scaler: state of the gradients' scaler; empty where there is none.
        training: counts of the epochs that are done.
        validation: counts of the model that came in.
    """

    epochs: int
    weights: Flat
    means: Flat
    squares: Flat
    steps: Flat
    scaler: dict[str, float]
    training: Counts
    validation: Counts = field(default_factory=dict)


def checkpoint_of(
    model: nn.Module, optimizer: torch.optim.AdamW, scaler: torch.amp.GradScaler, epochs: int, training: Counts
) -> EpochCheckpoint:
    """Return a copy of where a training stands; the arguments are as in `EpochCheckpoint`."""
    states = [(values, optimizer.state.get(values, {})) for values in trained(model).values()]
    return EpochCheckpoint(
        epochs,
        flatten(model),
        _flat(state["exp_avg"] if state else torch.zeros_like(values) for values, state in states),
        _flat(state["exp_avg_sq"] if state else torch.zeros_like(values) for values, state in states),
        np.array([float(state["step"]) if state else 0 for _, state in states], np.float32),
        scaler.state_dict(),
        training,
    )


def go_on_from(
    checkpoint: EpochCheckpoint, model: nn.Module, optimizer: torch.optim.AdamW, scaler: torch.amp.GradScaler
) -> None:
    """Bring a model with a fresh optimizer and scaler to where a training stood, in place."""
    restore(model, checkpoint.weights)
    start = 0
    for values, step in zip(trained(model).values(), checkpoint.steps, strict=True):
        end = start + values.numel()
        moments = {"exp_avg": torch.empty_like(values), "exp_avg_sq": torch.empty_like(values)}
        for moment, flat in zip(moments.values(), (checkpoint.means, checkpoint.squares), strict=True):
            moment.copy_(torch.from_numpy(flat[start:end].copy()).reshape(values.shape))
        optimizer.state[values] = {"step": torch.tensor(float(step), device=values.device), **moments}
        start = end
    scaler.load_state_dict(checkpoint.scaler)


class CheckpointFile:
    """Where the training of one task keeps its checkpoint; whatever is wrong with the file ends no training.

    Args:
        path: from `Spool.checkpoint`.
        key: of the task and of all else that the bits depend on; another's checkpoint counts as none.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key
        self._has_warned = False

    def keep(self, checkpoint: EpochCheckpoint) -> None:
        """Write a checkpoint in the place of the last one; where it cannot be written, the last one stays."""
        arrays = {name: getattr(checkpoint, name) for name in ARRAYS}
        others = {name: value for name, value in vars(checkpoint).items() if name not in ARRAYS}
        about = json.dumps({"key": self.key, "checkpoint": others})
        try:
            write_private(self.path, save(arrays, {"about": about, "sha256": _sha256(about, arrays)}))
        except OSError as error:
            # Once a task: a disk that is full stays so for many epochs.
            if not self._has_warned:
                logger.warning("A checkpoint cannot be written, and the training goes on without: %s", error.strerror)
            self._has_warned = True

    def kept(self, model: nn.Module) -> EpochCheckpoint | None:
        """Return the task's checkpoint, or None where there is none that can be used.

        Args:
            model: the task's; only its parameters' shapes matter.
        """
        try:
            key, checkpoint = _read(self.path)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            logger.warning("The checkpoint is damaged, and the round starts anew (%s)", type(error).__name__)
            return None
        if key != self.key:
            return None
        if not _fits(checkpoint, model):
            logger.warning("The checkpoint is of another model, and the round starts anew")
            return None
        logger.info("The round goes on after epoch %d", checkpoint.epochs)
        return checkpoint


def _read(path: Path) -> tuple[str, EpochCheckpoint]:
    """Return a checkpoint and its key; what it raises says that the file is not as it was written."""
    with safe_open(path, framework="numpy") as stored:
        about, sha256 = (stored.metadata()[name] for name in ("about", "sha256"))
        arrays = {name: stored.get_tensor(name) for name in ARRAYS}
    if sha256 != _sha256(about, arrays):
        raise ValueError("other bytes than were written")
    said = json.loads(about)
    return said["key"], EpochCheckpoint(**arrays, **said["checkpoint"])


def _sha256(about: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(about.encode())
    for name in ARRAYS:
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _fits(checkpoint: EpochCheckpoint, model: nn.Module) -> bool:
    sizes = [values.numel() for values in trained(model).values()]
    shapes = [(sum(sizes),)] * 3 + [(len(sizes),)]
    arrays = [getattr(checkpoint, name) for name in ARRAYS]
    return [(array.dtype, array.shape) for array in arrays] == [(np.float32, shape) for shape in shapes]


def _flat(tensors: Iterable[Tensor]) -> Flat:
    flat: Flat = torch.cat([values.float().cpu().reshape(-1) for values in tensors]).numpy()
    return flat
