"""Differential privacy of a patient: each one's gradient is bounded, and their sum noised before anything uses it.

A patient's scans and augmented views go through the model as one batch, whose mean loss gives one gradient: one
backward pass a patient. It bounds patients and not images, works with every layer, needs the memory of one patient
however many a step draws, and from two views a patient on is faster on a 3D CNN than any of Opacus's ways to a gradient
for each sample (bench/private_step.py; a single view is slow on a CPU, whose convolutions want a batch).

Sources: Abadi 2016 (DP-SGD), De 2022 (augmented views in one gradient), Holohan and Braghin 2021 (secure Gaussians),
RFC 8439 (ChaCha20).
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray
from opacus.validators import ModuleValidator
from torch import Tensor, nn

from core.errors import ConfigError

KEY_BYTES = 32
# Gaussians that are summed into one: what floating point shows of a single one can then no more be undone.
SUMMANDS = 4
# Numbers that are drawn at once: what a processor's cache holds.
PIECE = 2**16
# A gradient is scaled to a hair below the clipping norm, so that no rounding brings it above.
BELOW = 1 - 1e-6

# A patient's mean loss over scans and views, a scalar that leads back to the model's parameters.
Loss = Callable[[], Tensor]


@dataclass(frozen=True)
class Mechanism:
    """The Poisson-subsampled Gaussian mechanism of one step.

    Attributes:
        clip: largest Euclidean norm of one patient's gradient.
        noise: standard deviation of the noise on their sum, over `clip`.
        sampling_rate: with which a step draws each patient, by itself.
        patients: what the noised sum is divided by, times the sampling rate; agreed, never the site's own number.
    """

    clip: float
    noise: float
    sampling_rate: float
    patients: int


class SecureRandom:
    """Random numbers that nobody can foresee: ChaCha20 under a key from the operating system.

    Args:
        key: 32 bytes, for tests alone, which must repeat.
    """

    def __init__(self, key: bytes | None = None) -> None:
        cipher = Cipher(algorithms.ChaCha20(key or os.urandom(KEY_BYTES), bytes(16)), mode=None)
        self._stream = cipher.encryptor()

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Return numbers inside (0, 1), each one of 2^53 that are equally likely: float64 [count]."""
        drawn = np.frombuffer(self._stream.update(bytes(8 * count)), "<u8")
        return ((drawn >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53

    def normal(self, count: int) -> NDArray[np.float64]:
        """Return standard Gaussians, each the sum of several by Box and Muller's way: float64 [count]."""
        found = np.empty(count)
        for start in range(0, count, PIECE):
            piece = found[start : start + PIECE]
            half = -(-piece.size // 2)
            radius, angle = self.uniform(2 * half * SUMMANDS).reshape(2, SUMMANDS, half)
            radius, angle = np.sqrt(-2 * np.log(radius)), 2 * pi * angle
            both = np.concatenate([(radius * np.cos(angle)).sum(0), (radius * np.sin(angle)).sum(0)])
            piece[:] = both[: piece.size] / sqrt(SUMMANDS)
        return found

    def chosen(self, count: int, rate: float) -> list[int]:
        """Return which of so many are drawn, each with this chance and by itself; often a few, at times none."""
        return [int(place) for place in np.flatnonzero(self.uniform(count) < rate)]


class PrivateGradient:
    """Turns patients' losses into one noised gradient.

    Args:
        parameters: those that are trained.
        mechanism: how far a patient can move them, and how much noise hides it.
        random: where the noise comes from.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], mechanism: Mechanism, random: SecureRandom) -> None:
        self.parameters = parameters
        self.mechanism = mechanism
        self.random = random

    def __call__(self, losses: Iterable[Loss]) -> list[Tensor]:
        """Return the mean gradient over an agreed number of patients, noised; of no patients, noise alone."""
        share = self.mechanism.sampling_rate * self.mechanism.patients
        return [total / share for total in self.noised(self.summed(losses))]

    def summed(self, losses: Iterable[Loss]) -> list[Tensor]:
        """Return the sum of the patients' clipped gradients, float32 in the parameters' shapes."""
        total = [torch.zeros_like(values, dtype=torch.float32) for values in self.parameters]
        for loss in losses:
            # A head that a patient's loss leaves out, as where no label is known, has a gradient of zeros.
            gradient = torch.autograd.grad(loss(), self.parameters, materialize_grads=True)
            scale = self.scale_of(gradient)
            if scale:
                for sum_, part in zip(total, gradient, strict=True):
                    sum_.add_(part, alpha=scale)
        return total

    def scale_of(self, gradient: Sequence[Tensor]) -> float:
        """Return what brings a gradient down to the clipping norm; 0 for one with a value that is not finite."""
        norm = float(torch.stack([torch.linalg.vector_norm(part, dtype=torch.float64) for part in gradient]).norm())
        if not np.isfinite(norm):
            return 0.0
        return 1.0 if norm <= self.mechanism.clip * BELOW else self.mechanism.clip * BELOW / norm

    def noised(self, total: list[Tensor]) -> list[Tensor]:
        """Add the noise to a sum of clipped gradients, in place."""
        deviation = self.mechanism.noise * self.mechanism.clip
        for sum_ in total:
            noise = torch.from_numpy(self.random.normal(sum_.numel()) * deviation).to(sum_.device)
            sum_.copy_(sum_.double() + noise.view_as(sum_))  # rounded once, after the noise is in
        return total


def take_steps(gradient: PrivateGradient, losses: Sequence[Loss], steps: int, rate: Callable[[int], float]) -> None:
    """Take a fixed number of steps, each with its own draw of patients and its own noise.

    Args:
        gradient: of the parameters that are changed, in place.
        losses: one a patient, all of the site's.
        steps: how many, also where a draw is empty.
        rate: returns a step's learning rate; called before each, so that it can also tell somebody.
    """
    optimizer = torch.optim.SGD(gradient.parameters)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate(step)
        chosen = gradient.random.chosen(len(losses), gradient.mechanism.sampling_rate)
        for values, noised in zip(gradient.parameters, gradient(losses[place] for place in chosen), strict=True):
            values.grad = noised.to(values.dtype)
        optimizer.step()
    optimizer.zero_grad()


def check_private(model: nn.Module) -> None:
    """Refuse a model in which something can learn of patients past the clipping and the noise.

    That is any layer that keeps running statistics, trained or frozen: Opacus looks at trained ones only, and a frozen
    BatchNorm goes on averaging patients. And what Opacus itself refuses.

    Raises: ConfigError: naming every such layer, each with what to use instead.
    """
    problems = []
    for name, module in model.named_modules():
        keeps = [buffer for buffer, _ in module.named_buffers(recurse=False)]
        told = [str(error) for error in _opacus_refuses(module)]
        if keeps or told or isinstance(module, nn.modules.batchnorm._BatchNorm):
            why = f"keeps {', '.join(keeps)}" if keeps else "mixes patients" if not told else "is refused by Opacus"
            problems.append(f"{name or 'the model'} ({type(module).__name__}) {why}: {_instead_of(module)}")
    if problems:
        raise ConfigError(
            f"{len(problems)} layer(s) cannot be trained with differential privacy: " + "; ".join(problems),
            fix="replace each layer named above",
        )


def _opacus_refuses(module: nn.Module) -> list[Exception]:
    validator = ModuleValidator.VALIDATORS.get(type(module))
    return list(validator(module)) if validator else []


def _instead_of(module: nn.Module) -> str:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return f"use GroupNorm({min(8, module.num_features)}, {module.num_features})"
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return "use it with track_running_stats=False"
    if isinstance(module, nn.LSTM | nn.GRU | nn.RNN | nn.MultiheadAttention):
        return f"use Opacus's DP{type(module).__name__}"
    return "use a layer without buffers"
