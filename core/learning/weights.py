"""A model as one flat array, and the array's parts by name: what travels, is averaged and is stored."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from core.errors import UpdateRejected
from core.messages import Flat, Manifest, Part


def manifest_of(model: nn.Module) -> Manifest:
    """Return the names and shapes of a model's parameters, in the order in which `flatten` lays them out."""
    return Manifest(tuple(Part(name, tuple(values.shape)) for name, values in model.named_parameters()))


def flatten(model: nn.Module) -> Flat:
    """Return a copy of a model's parameters as one array: float32 [manifest.size]."""
    parts = [values.detach().float().cpu().reshape(-1) for values in model.parameters()]
    return np.array(torch.cat(parts).numpy())


def restore(model: nn.Module, flat: Flat) -> None:
    """Write an array's values into a model's parameters, in place.

    Raises: UpdateRejected: the array has not as many values as the model has parameters.
    """
    _same_size(manifest_of(model), flat)
    start = 0
    with torch.no_grad():
        for values in model.parameters():
            end = start + values.numel()
            values.copy_(torch.from_numpy(np.array(flat[start:end], np.float32)).reshape(values.shape))
            start = end


def named(manifest: Manifest, flat: Flat) -> dict[str, NDArray[np.float32]]:
    """Return an array's parts by name, each in its shape; they share the array's memory.

    Raises: UpdateRejected: the array has another size than the manifest.
    """
    _same_size(manifest, flat)
    ends = np.cumsum([part.size for part in manifest.parts])[:-1]
    return {
        part.name: values.reshape(part.shape) for part, values in zip(manifest.parts, np.split(flat, ends), strict=True)
    }


def unnamed(manifest: Manifest, parts: dict[str, NDArray[np.float32]]) -> Flat:
    """Return named parts as one array: the inverse of `named`.

    Raises: UpdateRejected: names or shapes differ from the manifest's.
    """
    given = {name: values.shape for name, values in parts.items()}
    if given != {part.name: part.shape for part in manifest.parts}:
        raise UpdateRejected(
            "The weights have other names or shapes than the model",
            fix="use the model settings that the weights were trained with",
        )
    return np.concatenate([parts[part.name].reshape(-1) for part in manifest.parts]).astype(np.float32, copy=False)


def _same_size(manifest: Manifest, flat: Flat) -> None:
    if flat.shape != (manifest.size,):
        raise UpdateRejected(
            f"The weights are an array of shape {list(flat.shape)}, the model has {manifest.size} parameters",
            fix="use the model settings that the weights were trained with",
        )
