"""What training minimizes: one loss a case and task, left out where a case has no label or mask."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from core.learning.model import Output

# A rare class counts at most this many times as much as it would unweighted, so that one case cannot rule a site.
LARGEST_CLASS_WEIGHT = 4.0
# Voxels of the map that keep Dice defined without a region; a small necrosis fills less than one, and must not drown.
SMOOTHING = 0.1


class Targets(NamedTuple):
    """What is known of a batch.

    Attributes:
        tumor_map: float [B, 3, n, n, n], each region's share of each voxel of the map; NaN for a case without a mask.
        tumor: float [B], 1 with a tumor, 0 without; NaN where unknown.
        mgmt: float [B], 1 methylated, 0 not; NaN where unknown.
    """

    tumor_map: Tensor
    tumor: Tensor
    mgmt: Tensor


@dataclass(frozen=True)
class ClassWeights:
    """How much a case of either class counts: (negative, positive)."""

    tumor: tuple[float, float] = (1.0, 1.0)
    mgmt: tuple[float, float] = (1.0, 1.0)


class CaseLosses(NamedTuple):
    """Losses of each case and task: float [B], 0 where there is no label."""

    tumor_map: Tensor
    tumor: Tensor
    mgmt: Tensor

    def total(self, map_weight: float) -> Tensor:
        """Return each case's loss: float [B]."""
        return self.mgmt + self.tumor + map_weight * self.tumor_map


def balanced(negatives: int, positives: int) -> tuple[float, float]:
    """Return weights under which both classes count the same, within bounds; 1 and 1 where a class is missing."""
    if not negatives or not positives:
        return 1.0, 1.0
    half = (negatives + positives) / 2
    return min(half / negatives, LARGEST_CLASS_WEIGHT), min(half / positives, LARGEST_CLASS_WEIGHT)


def case_losses(output: Output, targets: Targets, weights: ClassWeights) -> CaseLosses:
    """Compare an output with what is known: binary cross-entropies, and for the map also the soft Dice."""
    return CaseLosses(
        map_loss(output.tumor_map, targets.tumor_map),
        _label_loss(output.tumor, targets.tumor, weights.tumor),
        _label_loss(output.mgmt, targets.mgmt, weights.mgmt),
    )


def map_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return cross-entropy plus one minus soft Dice, mean over regions: float [B], 0 without a mask.

    Source: Isensee 2021, doi:10.1038/s41592-020-01008-z (the pair of losses).
    """
    known = ~target.isnan().flatten(1).any(1)
    target = target.nan_to_num()
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).mean(1)
    predicted = torch.sigmoid(logits).flatten(2)
    reference = target.flatten(2)
    shared = (predicted * reference).sum(2)
    dice = (2 * shared + SMOOTHING) / (predicted.sum(2) + reference.sum(2) + SMOOTHING)
    return torch.where(known, entropy + 1 - dice.mean(1), 0.0)


def _label_loss(logits: Tensor, labels: Tensor, weights: tuple[float, float]) -> Tensor:
    known = ~labels.isnan()
    labels = labels.nan_to_num()
    negative, positive = weights
    weight = torch.where(labels > 0.5, positive, negative) * known
    return weight * functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
