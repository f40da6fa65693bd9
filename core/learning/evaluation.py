"""How good a model is on cases that it was not trained on, as counts that add."""

from collections.abc import Sequence

import torch
from torch import nn

from core.learning.cases import TrainingCase, collate
from core.learning.likeness import likeness_counts
from core.learning.losses import ClassWeights, case_losses
from core.learning.metrics import add, counts_of, overlap_of
from core.learning.prediction import look
from core.messages import Counts
from core.progress import Report, silent

BATCH = 8
# A voxel of the map belongs to a region that fills more than this share of it.
INSIDE = 0.5
# The step that a report names.
EVALUATING = "evaluating"
CPU = torch.device("cpu")


def evaluate(
    model: nn.Module, cases: Sequence[TrainingCase], device: torch.device = CPU, report: Report = silent
) -> Counts:
    """Count how good a model is on cases that it is not trained on; the model is moved to `device`.

    Args:
        model: any whose answer is an `Output`.
        cases: to judge it by.
        device: where to look.
        report: told after each batch, in cases; an error that it raises ends the evaluation.
    """
    counts: Counts = {}
    for start in range(0, len(cases), BATCH):
        image, targets = collate(cases[start : start + BATCH], device)
        output = look(model, image)
        masked = ~targets.tumor_map.isnan().flatten(1).any(1)
        losses = case_losses(output, targets, ClassWeights())
        counted = counts_of(
            {"mgmt": torch.sigmoid(output.mgmt).cpu().numpy(), "tumor": torch.sigmoid(output.tumor).cpu().numpy()},
            {"mgmt": targets.mgmt.cpu().numpy(), "tumor": targets.tumor.cpu().numpy()},
            overlap_of(
                (output.tumor_map[masked] > 0).cpu().numpy(), (targets.tumor_map[masked] > INSIDE).cpu().numpy()
            ),
            losses.total(1.0).cpu().numpy(),
        )
        alike = likeness_counts(case.image.numpy() for case in cases[start : start + BATCH])
        counts = add(counts, counted | alike)
        report(EVALUATING, min(start + BATCH, len(cases)), len(cases))
    return counts
