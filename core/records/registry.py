"""The registry of model versions: one folder a version, immutable once written.

REGISTRY/<version>/weights.safetensors   named float32 tensors
REGISTRY/<version>/card.json             what the model is, what it was trained on, how good it is, the weights' SHA-256

A version's name is `<number>-<study>-<first 8 digits of the weights' SHA-256>`; numbers only grow, so the newest
version is the one with the highest number.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from core.errors import RegistryError
from core.files import sync_folder

_NAME = re.compile(r"(?P<number>\d{4,})-(?P<study>[a-z0-9][a-z0-9-]*)-(?P<sha>[0-9a-f]{8})")


@dataclass(frozen=True)
class ModelVersion:
    """One version as read back and checked against its card's SHA-256.

    Attributes:
        name: the version's name, which is its folder's.
        tensors: float32, by the model's parameter names.
        card: JSON; see `add_version`.
    """

    name: str
    tensors: dict[str, NDArray[np.float32]]
    card: dict[str, Any]


def add_version(registry: Path, study: str, tensors: dict[str, NDArray[np.float32]], card: dict[str, Any]) -> str:
    """Write a new version, whole or not at all.

    Args:
        registry: the registry's folder; made if missing.
        study: the study's name.
        tensors: float32 weights by parameter name.
        card: JSON; holds at least `study` (the whole Study), `cohort` (cases a site and kind), `rounds`, `metrics` and
            `libraries`. `version` and `weights_sha256` are added here.
    Returns: the version's name.
    Raises: RegistryError: weights that are not finite.
    """
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise RegistryError("The weights hold NaN or infinity", fix="train again; this model must not be registered")
    registry.mkdir(parents=True, exist_ok=True)
    weights = _serialized(tensors)
    sha = hashlib.sha256(weights).hexdigest()
    partial = registry / f".{secrets.token_hex(4)}.partial"
    partial.mkdir()
    try:
        with _next_number(registry) as number:
            name = f"{number:04d}-{study}-{sha[:8]}"
            text = json.dumps({**card, "version": name, "weights_sha256": sha}, indent=2, sort_keys=True)
            for file, content in (("weights.safetensors", weights), ("card.json", text.encode())):
                _write_read_only(partial / file, content)
            sync_folder(partial)
            partial.rename(registry / name)
            sync_folder(registry)
            return name
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def find_version(registry: Path, study: str, tensors: dict[str, NDArray[np.float32]]) -> str | None:
    """Return the newest undamaged version of a study that has exactly these weights, or None where there is none."""
    sha = hashlib.sha256(_serialized(tensors)).hexdigest()
    for name in reversed(list_versions(registry)):
        if name.partition("-")[2] != f"{study}-{sha[:8]}":
            continue
        with suppress(RegistryError):
            if load_version(registry / name).card["weights_sha256"] == sha:
                return name
    return None


def list_versions(registry: Path) -> list[str]:
    """Return the names of all versions, oldest first."""
    found = [(int(match["number"]), path.name) for path in _folders(registry) if (match := _NAME.fullmatch(path.name))]
    return [name for _, name in sorted(found)]


def newest_version(registry: Path) -> Path:
    """Return the newest version's folder.

    Raises: RegistryError: the registry is empty.
    """
    versions = list_versions(registry)
    if not versions:
        raise RegistryError(
            f"The registry {registry} has no model version", fix="name a version's folder, or run a study first"
        )
    return registry / versions[-1]


def load_version(folder: Path) -> ModelVersion:
    """Read a version and check its weights against its card.

    Raises: RegistryError: not a version, or its weights are not those that were registered.
    """
    try:
        card = json.loads((folder / "card.json").read_text("utf-8"))
        weights = (folder / "weights.safetensors").read_bytes()
        expected, name = card["weights_sha256"], card["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"{folder} is not a model version ({type(error).__name__})",
            fix="name a folder that holds card.json and weights.safetensors",
        ) from None
    if hashlib.sha256(weights).hexdigest() != expected:
        raise RegistryError(
            f"The weights of {name} are not those that were registered",
            fix="restore the version's folder from a backup",
        )
    try:
        return ModelVersion(name, load(weights), card)
    except SafetensorError:
        raise RegistryError(f"The weights of {name} are not a safetensors file", fix="restore the version") from None


def _serialized(tensors: dict[str, NDArray[np.float32]]) -> bytes:
    return save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})


def _folders(registry: Path) -> list[Path]:
    return [path for path in registry.iterdir() if path.is_dir()] if registry.is_dir() else []


@contextmanager
def _next_number(registry: Path) -> Iterator[int]:
    """Yield a number that no version has had, and no other process gets while the block runs.

    The last number given lies in REGISTRY/.last, which is also the lock: a deleted version's number is not used again.
    """
    with (registry / ".last").open("a+") as last:
        fcntl.flock(last, fcntl.LOCK_EX)
        last.seek(0)
        given = [int(name.partition("-")[0]) for name in list_versions(registry)]
        number = max([int(last.read() or 0), *given]) + 1
        last.truncate(0)
        last.write(str(number))
        last.flush()
        yield number


def _write_read_only(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o444)
