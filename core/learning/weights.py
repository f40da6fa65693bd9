"""A model's trained weights as one flat array, and by name: what travels, is averaged and is stored.

Frozen weights are no part of the array: they lie in a file that both sides know by its hash.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from core.errors import UpdateRejected
from core.messages import Flat, Manifest, Part


def manifest_of(model: nn.Module) -> Manifest:
    """Return the names and shapes of a model's trained parameters, in the order in which `flatten` lays them out."""
    return Manifest(tuple(Part(name, tuple(values.shape)) for name, values in trained(model).items()))


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that are not frozen, by name."""
    return {name: values for name, values in model.named_parameters() if values.requires_grad}


def frozen(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the others, by name."""
    return {name: values for name, values in model.named_parameters() if not values.requires_grad}


def flatten(model: nn.Module) -> Flat:
    """Return a copy of a model's trained parameters as one array: float32 [manifest.size]."""
    parts = [values.detach().float().cpu().reshape(-1) for values in trained(model).values()]
    return np.array(torch.cat(parts).numpy())


def restore(model: nn.Module, flat: Flat) -> None:
    """Write an array's values into a model's trained parameters, in place.

    Raises: UpdateRejected: the array has not as many values as the model has parameters.
    """
    _same_size(manifest_of(model), flat)
    start = 0
    with torch.no_grad():
        for values in trained(model).values():
            end = start + values.numel()
            values.copy_(torch.from_numpy(np.array(flat[start:end], np.float32)).reshape(values.shape))
            start = end


def tensors_of(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Return copies of all of a model's parameters by name, frozen ones too: what a model version holds."""
    return {name: np.array(values.detach().float().cpu().numpy()) for name, values in model.named_parameters()}


def fill(parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Write tensors into the parameters of the same names, in place.

    Raises: UpdateRejected: names or shapes differ.
    """
    if {name: values.shape for name, values in tensors.items()} != {
        name: tuple(values.shape) for name, values in parameters.items()
    }:
        raise _other_parts()
    with torch.no_grad():
        for name, values in parameters.items():
            values.copy_(torch.from_numpy(np.array(tensors[name], np.float32)))


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
        raise _other_parts()
    return np.concatenate([parts[part.name].reshape(-1) for part in manifest.parts]).astype(np.float32, copy=False)


def _same_size(manifest: Manifest, flat: Flat) -> None:
    if flat.shape != (manifest.size,):
        raise UpdateRejected(
            f"The weights are an array of shape {list(flat.shape)}, the model has {manifest.size} parameters",
            fix="use the model settings that the weights were trained with",
        )


def _other_parts() -> UpdateRejected:
    return UpdateRejected(
        "The weights have other names or shapes than the model",
        fix="use the model settings that the weights were trained with",
    )
