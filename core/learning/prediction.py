"""Looking at prepared images with a trained network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.learning.model import Output

BATCH = 8


@dataclass(frozen=True)
class Predicted:
    """Probabilities of cases.

    Attributes:
        mgmt, tumor: float64 [cases].
        tumor_map: float32 [cases, 3, n, n, n].
    """

    mgmt: NDArray[np.float64]
    tumor: NDArray[np.float64]
    tumor_map: NDArray[np.float32]


def predict_scores(model: nn.Module, images: Tensor) -> Predicted:
    """Return a model's probabilities for prepared images: float32 [cases, 4, N, N, N], on the model's device."""
    outputs = [look(model, images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    tumor_map, tumor, mgmt = (torch.sigmoid(torch.cat(parts)).cpu().numpy() for parts in zip(*outputs, strict=True))
    return Predicted(mgmt.astype(np.float64), tumor.astype(np.float64), tumor_map)


def methylation_of(model: nn.Module, images: Sequence[NDArray[np.float32]]) -> list[float]:
    """Return a model's methylation probability of each prepared image, float32 [4, N, N, N]."""
    if not images:
        return []
    return [float(value) for value in predict_scores(model, torch.from_numpy(np.stack(images))).mgmt]


def look(model: nn.Module, image: Tensor) -> Output:
    """Run a model without learning, dropout or half precision, and leave it in the mode it was in."""
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        output: Output = model(image)
    model.train(was_training)
    return output
