"""A baseline that sees slices: a small 2D residual network on axial slices, a patient's logit being the mean of theirs.

It is trained as the 3D network is, with the same loss, schedule, augmentation and early stopping, but shown nothing of
the tumor's place: slices are chosen by how much brain is on them, which no mask is needed for, in training as in use.

Source: He 2016 (residual networks); Ilse 2018, arXiv:1802.04712 (mean pooling over the instances of a bag).
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from monai.networks.nets.resnet import ResNetBlock
from torch import Tensor, nn

from core.errors import DataError
from core.learning.cases import TrainingCase
from core.learning.metrics import REGIONS
from core.learning.model import MAP_STRIDE, SEQUENCE_COUNT, Output
from core.progress import Report, silent
from core.study import Study
from fl_client.dataset import Cohort
from fl_client.training import CPU, Trained, train_alone
from simulations.baselines import epochs_of

# Slices of a patient, evenly spaced.
SLICES = 16
# A slice is looked at if it holds at least this share of the brain on the largest one: neither skull base nor vertex.
LEAST_BRAIN = 0.5
CHANNELS = (16, 32, 64, 128)
GROUPS = 8
# The name of this training, part of its seed.
NAME = "slices"
# MONAI's whole ResNet keeps BatchNorm in its blocks whatever norm it is given (1.6.1): here they are put together.
NORM = ("group", {"num_groups": GROUPS})


class SliceNet(nn.Module):
    """A 2D network that answers as the 3D one does, but says nothing of a tumor's place or presence."""

    def __init__(self) -> None:
        super().__init__()
        first, last = CHANNELS[0], CHANNELS[-1]
        self.slices = nn.Sequential(
            nn.Conv2d(SEQUENCE_COUNT, first, 3, 2, 1, bias=False),
            nn.GroupNorm(GROUPS, first),
            nn.ReLU(),
            ResNetBlock(first, first, spatial_dims=2, norm=NORM),
            *(_halving(before, after) for before, after in pairwise(CHANNELS)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(last, 1),
        )

    def forward(self, image: Tensor) -> Output:
        """Look at float [B, 4, N, N, N], N a multiple of 4; the map's and the tumor's logits are all 0."""
        chosen = central_slices(image)
        logits = self.slices(chosen.flatten(0, 1)).reshape(chosen.shape[:2])
        size = image.shape[-1] // MAP_STRIDE
        nothing = image.new_zeros(len(image), len(REGIONS), size, size, size)
        return Output(nothing, image.new_zeros(len(image)), logits.mean(1))


def _halving(before: int, after: int) -> nn.Module:
    """Return a residual block that halves the grid."""
    shortcut = nn.Sequential(nn.Conv2d(before, after, 1, 2, bias=False), nn.GroupNorm(GROUPS, after))
    block: nn.Module = ResNetBlock(before, after, spatial_dims=2, stride=2, downsample=shortcut, norm=NORM)
    return block


def central_slices(image: Tensor) -> Tensor:
    """Return evenly spaced axial slices between the first and the last one that hold enough brain.

    Args:
        image: float [B, 4, N, N, N], 0 outside of the brain.
    Returns: float [B, SLICES, 4, N, N]; a slice comes twice where there are fewer.
    """
    area = (image != 0).any(1).sum((2, 3))
    enough = (area >= LEAST_BRAIN * area.amax(1, keepdim=True)).int()
    first, last = enough.argmax(1), area.shape[1] - 1 - enough.flip(1).argmax(1)
    places = first[:, None] + (last - first)[:, None] * torch.linspace(0, 1, SLICES, device=image.device)
    return torch.stack([one[:, place].transpose(0, 1) for one, place in zip(image, places.round().long(), strict=True)])


def build_slice_net(seed: int) -> SliceNet:
    """Build the network with seeded initial weights, leaving the caller's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SliceNet()


def train_slices(
    cohort: Cohort, study: Study, patience: int, device: torch.device = CPU, report: Report = silent
) -> Trained:
    """Train on a cohort's labeled patients, for at most as many epochs as any other baseline.

    Args:
        cohort: its two sides; masks are not looked at.
        study: every setting but those of the 3D network.
        patience: epochs without a new best after which it stops, as `simulations.baselines.alone`.
        device: where to train.
        report: told after each epoch.
    Raises: DataError: a side has no labeled patient.
    """
    training, validation = _labeled(cohort.training), _labeled(cohort.validation)
    if not training or not validation:
        raise DataError(
            f"{len(training)} training and {len(validation)} validation cases have a methylation label",
            fix="a slice network needs some on either side",
        )
    model = build_slice_net(study.seed)
    return train_alone(model, training, validation, study, NAME, epochs_of(study), patience, device, report)


def _labeled(cases: Sequence[TrainingCase]) -> list[TrainingCase]:
    """Return the cases with a label, without their masks, which would only weigh in the loss."""
    return [replace(case, tumor_map=None, tumor=None) for case in cases if case.mgmt is not None]
