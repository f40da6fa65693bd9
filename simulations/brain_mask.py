"""Training the brain-mask network that the node ships, on synthetic heads alone.

A step's head depends on the seed and the step's number only, so a training that was interrupted goes on as if it had
not been.

Source: Hoopes et al., SynthStrip, NeuroImage 260, 2022; Smith and Topin, Super-convergence, 2018 (one cycle of the
learning rate).
"""

import math
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from core.files import atomic
from core.imaging.skull_stripping import WEIGHTS, BrainMaskNetwork
from core.progress import Report, silent
from simulations.random_heads import load_anatomy, random_head

# How long the shipped weights were trained: 25 CPU minutes. 900 gave a Dice of 0.957 on fresh heads, 2,000 gives 0.967.
ITERATIONS = 2000
PEAK_RATE = 2e-3
# Two heads side by side, channels last: torch's fast 3D convolutions, which one head alone does not get.
HEADS = 2
CHECKPOINT_EVERY = 50


def train(iterations: int = ITERATIONS, seed: int = 0, out: Path = WEIGHTS, report: Report = silent) -> None:
    """Train the network and write its weights.

    A checkpoint beside `out` lets the same command go on after an interruption; it is removed at the end.

    Args:
        iterations: steps, each on two heads; the learning rate's cycle spans them.
        seed: decides the first weights and every head.
        out: where the weights go.
        report: told of each step.
    """
    torch.manual_seed(seed)
    anatomy = load_anatomy()
    network = BrainMaskNetwork()
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=1e-4)
    checkpoint = out.with_name(f"{out.stem}-{iterations}-{seed}.checkpoint")
    start = resume(network, optimizer, checkpoint) if checkpoint.exists() else 0
    for step in range(start, iterations):
        heads = [random_head(anatomy, np.random.default_rng([seed, step, head])) for head in range(HEADS)]
        scans, brains = (torch.stack(volumes)[:, None] for volumes in zip(*heads, strict=True))
        optimizer.param_groups[0]["lr"] = learning_rate(step, iterations)
        optimizer.zero_grad()
        loss(network(scans), brains).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % CHECKPOINT_EVERY == 0:
            save_checkpoint(network, optimizer, step + 1, checkpoint)
        report("Training the brain mask", step + 1, iterations)
    with atomic(out) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, temporary)
    checkpoint.unlink(missing_ok=True)


def learning_rate(step: int, steps: int) -> float:
    """Return the rate of a step: a cosine up to the peak over the first tenth, then one down to nothing."""
    warm = max(1, steps // 10)
    if step < warm:
        return PEAK_RATE * (0.04 + 0.96 * (1 - math.cos(math.pi * (step + 1) / warm)) / 2)
    return PEAK_RATE * (1 + math.cos(math.pi * (step + 1 - warm) / (steps - warm))) / 2


def loss(logits: Tensor, brain: Tensor) -> Tensor:
    """Return cross-entropy plus one minus the heads' mean soft Dice; both [head, 1, z, y, x], brain in [0, 1]."""
    probability, space = logits.sigmoid(), (1, 2, 3, 4)
    overlap = (2 * (probability * brain).sum(space) + 1) / (probability.sum(space) + brain.sum(space) + 1)
    return functional.binary_cross_entropy_with_logits(logits, brain) + 1 - overlap.mean()


def dice_on_fresh_heads(network: nn.Module, heads: int, seed: int) -> list[float]:
    """Return the Dice between the network's mask and the true brain on each of some heads never trained on."""
    anatomy = load_anatomy()
    scores = []
    with torch.inference_mode():
        for head in range(heads):
            scan, brain = random_head(anatomy, np.random.default_rng([seed, head]))
            found, truth = network(scan[None, None])[0, 0] > 0, brain > 0.5
            scores.append(float(2 * (found & truth).sum() / (found.sum() + truth.sum())))
    return scores


def save_checkpoint(network: nn.Module, optimizer: torch.optim.AdamW, step: int, path: Path) -> None:
    """Write weights and the optimizer's moments after `step` steps."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        state = optimizer.state[parameter]
        tensors[f"weight.{name}"] = parameter.detach().contiguous()
        tensors[f"mean.{name}"] = state["exp_avg"].contiguous()
        tensors[f"square.{name}"] = state["exp_avg_sq"].contiguous()
    with atomic(path) as temporary:
        save_file(tensors, temporary, {"step": str(step)})


def resume(network: nn.Module, optimizer: torch.optim.AdamW, path: Path) -> int:
    """Read a checkpoint into the network and its optimizer; return the number of steps behind it."""
    with safe_open(path, framework="pt") as stored, torch.no_grad():
        step = int(stored.metadata()["step"])
        for name, parameter in network.named_parameters():
            parameter.copy_(stored.get_tensor(f"weight.{name}"))
            moments = {key: torch.empty_like(parameter) for key in ("exp_avg", "exp_avg_sq")}
            moments["exp_avg"].copy_(stored.get_tensor(f"mean.{name}"))
            moments["exp_avg_sq"].copy_(stored.get_tensor(f"square.{name}"))
            optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moments}
    return step
