"""Where in a scan a head's answer comes from: Grad-CAM, at the layer whose places the head sums up.

Both heads look through the tumor map: methylation at features weighed by each region, presence at the map itself. At
earlier layers, which do not know the regions yet, Grad-CAM of methylation hardly pointed at the tumor at all;
`bench/grad_cam.py` measures what each layer reaches.

Source: Selvaraju 2017, doi:10.1109/ICCV.2017.74.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from core.learning.metrics import REGIONS
from core.learning.model import GliomaNet, description, smooth_maximum

Head = Literal["mgmt", "tumor"]


def grad_cam(
    model: GliomaNet, image: NDArray[np.float32], head: Head = "mgmt", *, answer: bool = True
) -> NDArray[np.float32]:
    """Show which places of a scan speak for an answer.

    On one thread, so that equal input gives equal bits; the model is left as it was, frozen weights or not.

    Args:
        model: on the CPU.
        image: float32 [4, N, N, N], as prepared.
        head: whose answer.
        answer: what to look for evidence of: methylated, or a tumor (True), or their opposite. What speaks against a
            tumor is everywhere but in it.
    Returns: float32 [N, N, N] from 0 to 1, 1 at the strongest place; 0 everywhere where nothing speaks for the answer.
    """
    was_training, threads = model.training, torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        model.eval()
        with torch.no_grad():
            tumor_map, features = model.look_inside(torch.from_numpy(image)[None])
            layer = tumor_map if head == "tumor" else within_regions(tumor_map, features)
        with torch.inference_mode(mode=False), torch.enable_grad():
            # A leaf: what comes before it needs no gradient, and no parameter gets any.
            layer = layer.clone().requires_grad_()
            logit = model.presence(smooth_maximum(layer)) if head == "tumor" else methylation_from(model, layer)
            (slope,) = torch.autograd.grad(logit.sum() if answer else -logit.sum(), layer)
        seen = functional.relu(torch.einsum("bc,bcxyz->bxyz", slope.mean((2, 3, 4)), layer.detach()))
        fine = functional.interpolate(seen[None], image.shape[1:], mode="trilinear")[0, 0]
        strongest = fine.max()
        return np.asarray((fine / strongest if strongest > 0 else fine).numpy(), np.float32)
    finally:
        model.train(was_training)
        torch.set_num_threads(threads)


def within_regions(tumor_map: Tensor, features: Tensor) -> Tensor:
    """Return how much each voxel is of each region, then its features weighed by that.

    Args:
        tumor_map: float [B, R, n, n, n], logits.
        features: float [B, C, n, n, n].
    Returns: float [B, R * (1 + C), n, n, n], whose means over all voxels are all that the methylation head is told.
    """
    inside = torch.sigmoid(tumor_map)
    return torch.cat([inside, (inside[:, :, None] * features[:, None]).flatten(1, 2)], 1)


def methylation_from(model: GliomaNet, layer: Tensor) -> Tensor:
    """Return the methylation logit, float [B, 1], that a model gives on what `within_regions` returned."""
    means, regions = layer.mean((2, 3, 4)), len(REGIONS)
    sums = means[:, regions:].reshape(len(means), regions, -1)
    logit: Tensor = model.methylation(description(means[:, :regions], sums))
    return logit
