"""How much of Grad-CAM lies inside the tumor, by head and layer, beside chance.

    nice python -m bench.grad_cam CACHE [--unseen 32] [--seed 1]

A network is trained on three synthetic hospitals' pooled patients (as `bench.federated_vs_pooled` does) and asked about
patients whom it has not seen, of those three scanners and a fourth. CACHE keeps cases and weights. One thread.

share    of the map's sum, how much lies in the tumor: mean over patients
chance   the tumor's share of the brain: what a map that knows nothing gets
peak     in how many patients the map's strongest voxel is at least half tumor
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bench.federated_vs_pooled import CONTROLS, HOSPITALS, PATIENTS, cached_cases
from core.learning.cases import TrainingCase
from core.learning.explain import grad_cam
from core.learning.model import MAP_STRIDE, GliomaNet, build_model
from core.learning.prediction import look
from core.learning.weights import restore
from core.study import Study
from fl_client.dataset import Cohort, Drawn, split
from simulations.baselines import epochs_of, pooled

Cam = Callable[[GliomaNet, TrainingCase, str, bool], np.ndarray]
SEPARABILITY, GRID = 0.99, 48


def trained(cache: Path, seed: int) -> GliomaNet:
    study = Study(name="bench", seed=seed)
    model = build_model(study.model, seed)
    kept = cache / f"grad-cam-{seed}.npy"
    if not kept.exists():
        cohorts = {}
        for hospital in range(HOSPITALS):
            cases = cached_cases(cache, seed, hospital, PATIENTS, CONTROLS, SEPARABILITY, GRID)
            patients = [(Drawn(*[f"{number:03d}"] * 3, case),) for number, case in enumerate(cases)]
            cohorts[f"site-{hospital + 1}"] = Cohort(*split(patients, study.validation_fraction), ())
        np.save(kept, pooled(cohorts, study, epochs_of(study)).weights)
    restore(model, np.load(kept))
    return model.eval()


def at(layer: Callable[[GliomaNet], nn.Module]) -> Cam:
    """Grad-CAM as the paper has it, at any module's output."""

    def cam(model: GliomaNet, case: TrainingCase, head: str, answer: bool) -> np.ndarray:
        held = []
        hook = layer(model).register_forward_hook(
            lambda _m, _i, out: held.append(out.detach().requires_grad_()) or held[0]
        )
        logit = getattr(model(case.image[None]), head)[0]
        hook.remove()
        (slope,) = torch.autograd.grad(logit if answer else -logit, held)
        seen = torch.relu(torch.einsum("bc,bcxyz->bxyz", slope.mean((2, 3, 4)), held[0].detach()))
        return functional.interpolate(seen[None], case.image.shape[1:], mode="trilinear")[0, 0].numpy()

    return cam


WAYS: dict[str, Cam] = {
    "encoder, 1/4": at(lambda model: model.encoder.second),
    "encoder, 1/8": at(lambda model: model.encoder.third),
    "encoder, 1/16": at(lambda model: model.encoder.fourth),
    "decoder, 1/4": at(lambda model: model.decoder),
    "what the head sums up, 1/4": lambda model, case, head, answer: grad_cam(
        model, case.image.numpy(), head, answer=answer
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--unseen", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = trained(options.cache, options.seed)
    count = options.unseen // (HOSPITALS + 1)
    unseen = [
        case
        for hospital in range(HOSPITALS + 1)
        for case in cached_cases(options.cache, 1_000_003, hospital, count, 0, SEPARABILITY, GRID)
    ]
    print(f"{'head':8}{'layer':30}{'share':>8}{'chance':>8}{'peak':>8}")
    for head in ("mgmt", "tumor"):
        for name, way in WAYS.items():
            rows = [score(model, case, head, way) for case in unseen]
            print(f"{head:8}{name:30}" + "".join(f"{value:8.3f}" for value in np.mean(rows, axis=0)), flush=True)


def score(model: GliomaNet, case: TrainingCase, head: str, way: Cam) -> tuple[float, float, float]:
    """Return one patient's share, chance and peak, for the answer that the model gives."""
    cam = way(model, case, head, bool(getattr(look(model, case.image[None]), head)[0] > 0))
    assert case.tumor_map is not None
    tumor = np.kron(case.tumor_map.sum(0).numpy().clip(0, 1), np.ones([MAP_STRIDE] * 3))
    brain = (case.image.numpy() != 0).any(0)
    share = float((cam * tumor).sum() / cam.sum()) if cam.any() else 0.0
    return share, float((tumor * brain).sum() / brain.sum()), float(tumor.flat[cam.argmax()] > 0.5)


if __name__ == "__main__":
    main()
