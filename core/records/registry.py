"""The registry of model versions: one folder a version, immutable once written.

REGISTRY/<version>/weights.safetensors   named float32 tensors
REGISTRY/<version>/calibration.json      how its scores become probabilities, intervals and decisions
REGISTRY/<version>/card.json             what the model is, what it was trained on, how good it is, the SHA-256 of both
REGISTRY/<version>.approval.json         what the coordinator signed of it; see core.records.approvals

A version's name is `<number>-<study>-<first 8 digits of the weights' SHA-256>`; numbers only grow. Who uses a model
takes the current version, the one that was approved last, and checks the approval.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from core.clock import now
from core.errors import RegistryError
from core.files import sync_folder, write_atomically
from core.records.approvals import (
    approval_file,
    coordinator_of,
    demand_in_use,
    demand_same,
    digests_of,
    read_approval,
    signed_statement,
    write_approval,
)
from core.records.version_files import (
    FILES,
    NAME,
    contents,
    locked,
    names_in,
    next_number,
    not_a_version,
    partial_version,
)


@dataclass(frozen=True)
class ModelVersion:
    """One version as read back and checked against its card's SHA-256s.

    Attributes:
        name: the version's name, which is its folder's.
        tensors: float32, by the model's parameter names.
        card: JSON; see `add_version`.
        calibration: JSON; see core.learning.calibration.
    """

    name: str
    tensors: dict[str, NDArray[np.float32]]
    card: dict[str, Any]
    calibration: dict[str, Any]


def add_version(
    registry: Path,
    study: str,
    tensors: dict[str, NDArray[np.float32]],
    card: dict[str, Any],
    calibration: dict[str, Any],
) -> str:
    """Write a new version, whole or not at all.

    Args:
        registry: the registry's folder; made if missing.
        study: the study's name.
        tensors: float32 weights by parameter name.
        card: JSON; holds at least `study` (the whole Study), `cohort` (cases a site and kind), `rounds`, `metrics` and
            `libraries`. `version`, `weights_sha256` and `calibration_sha256` are added here.
        calibration: JSON, fitted to these weights.
    Returns: the version's name.
    Raises: RegistryError: weights that are not finite.
    """
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise RegistryError("The weights hold NaN or infinity", fix="train again; this model must not be registered")
    registry.mkdir(parents=True, exist_ok=True)
    weights, fitted = _serialized(tensors), json.dumps(calibration, indent=2, sort_keys=True).encode()
    sha = hashlib.sha256(weights).hexdigest()
    digests = {"weights_sha256": sha, "calibration_sha256": hashlib.sha256(fitted).hexdigest()}
    with next_number(registry) as number:
        name = f"{number:04d}-{study}-{sha[:8]}"
        text = json.dumps({**card, "version": name, **digests}, indent=2, sort_keys=True).encode()
        files = {"weights.safetensors": weights, "calibration.json": fitted, "card.json": text}
        with partial_version(registry, files) as partial:
            partial.rename(registry / name)
            sync_folder(registry)
    return name


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
    return names_in(registry)


def approve_version(registry: Path, name: str, key: Ed25519PrivateKey) -> None:
    """Sign that a version may be used, if its files are those that were registered; it is then the current one.

    Args:
        registry: the registry's folder.
        name: the version's.
        key: the coordinator's.
    Raises: RegistryError: there is no such version, it is damaged, or it was approved or retired before.
    """
    files = contents(registry, name)
    match = NAME.fullmatch(name)
    statement = {
        "version": _checked(name, files).name,
        "study": match["study"] if match else "",
        **digests_of(files),
        "coordinator": coordinator_of(key.public_key()),
    }
    with locked(registry):
        if approval_file(registry, name).exists():
            demand_in_use(read_approval(registry, name, key.public_key()))
            raise RegistryError(f"{name} is approved already", fix="nothing is left to do")
        write_approval(registry, {**statement, "approved_at": now()}, key)


def retire_version(registry: Path, name: str, key: Ed25519PrivateKey) -> None:
    """Sign that an approved version is to be used no more.

    Raises: RegistryError: it is not approved, or was retired before.
    """
    with locked(registry):
        statement = read_approval(registry, name, key.public_key())
        demand_in_use(statement)
        write_approval(registry, {**statement, "retired_at": now()}, key)


def approved_versions(registry: Path, trusted: Ed25519PublicKey) -> list[str]:
    """Return the names of the versions whose approval holds and that were not retired, oldest first.

    Their files are checked when they are loaded.
    """
    names = []
    for name in list_versions(registry):
        with suppress(RegistryError):
            demand_in_use(read_approval(registry, name, trusted))
            names.append(name)
    return names


def retired_versions(registry: Path, trusted: Ed25519PublicKey) -> list[str]:
    """Return the names of the versions whose signed retirement holds, oldest first."""
    names = []
    for name in list_versions(registry):
        with suppress(RegistryError):
            if "retired_at" in read_approval(registry, name, trusted):
                names.append(name)
    return names


def install_retirement(registry: Path, name: str, approval: bytes, trusted: Ed25519PublicKey) -> None:
    """Take over the coordinator's signed retirement of a version that is here, so that nobody loads it any more.

    Args:
        registry: this site's registry.
        name: the version's.
        approval: contents of the coordinator's approval.json.
        trusted: the coordinator's key.
    Raises: RegistryError: it is not this version's retirement, or does not hold.
    """
    statement = signed_statement(approval, name, trusted)
    if "retired_at" not in statement:
        raise RegistryError(f"The coordinator has not signed that {name} is retired", fix="pull again")
    with locked(registry):
        demand_same(statement, contents(registry, name))
        write_atomically(approval_file(registry, name), approval)


def current_version(registry: Path, trusted: Ed25519PublicKey) -> Path:
    """Return the current version's folder: of those that are approved and not retired, the one approved last.

    When it was approved is part of what the coordinator signed; of two in one moment the higher number counts.

    Raises: RegistryError: no version is approved.
    """
    approved = approved_versions(registry, trusted)
    if not approved:
        raise RegistryError(
            f"The registry {registry} has no approved model version",
            fix="bring one here with fl-client models pull, or let the coordinator approve one",
        )
    moments = {name: read_approval(registry, name, trusted)["approved_at"] for name in approved}
    return registry / max(reversed(approved), key=moments.__getitem__)


def load_version(folder: Path, trusted: Ed25519PublicKey | None = None) -> ModelVersion:
    """Read a version and check its weights and calibration against its card, and all three against its approval.

    Args:
        folder: the version's.
        trusted: the coordinator's key; None for the coordinator's own work on what nobody has approved yet.
    Raises: RegistryError: not a version, or its files are not those that were registered, or with a key: it is not
        approved, its approval does not hold, or it was retired.
    """
    folder = folder.resolve()
    files = contents(folder.parent, folder.name)
    if trusted:
        statement = read_approval(folder.parent, folder.name, trusted)
        demand_in_use(statement)
        demand_same(statement, files)
    return _checked(folder.name, files)


def install_version(registry: Path, name: str, files: dict[str, bytes], trusted: Ed25519PublicKey) -> None:
    """Write a version that came from the coordinator under its own name, if it holds; once more changes nothing.

    Args:
        registry: this site's registry; made if missing.
        name: the version's.
        files: contents of FILES and approval.json.
        trusted: the coordinator's key.
    Raises: RegistryError: the files do not hold together, the version was retired, or another of this name is here.
    """
    if not NAME.fullmatch(name) or files.keys() != {*FILES, "approval.json"}:
        raise RegistryError("What came from the coordinator is not a model version", fix="pull it again")
    statement = signed_statement(files["approval.json"], name, trusted)
    demand_in_use(statement)
    demand_same(statement, files)
    _checked(name, files)
    registry.mkdir(parents=True, exist_ok=True)
    with locked(registry):
        if not (registry / name).exists():
            with partial_version(registry, files) as partial:
                partial.rename(registry / name)
                sync_folder(registry)
        elif contents(registry, name) != {file: files[file] for file in FILES}:
            raise RegistryError(f"Another {name} is here", fix=f"move {registry / name} away, then pull again")
        if approval_file(registry, name).exists():  # an approval from before its retirement must not revive it
            demand_in_use(read_approval(registry, name, trusted))
        write_atomically(approval_file(registry, name), files["approval.json"])


def _checked(name: str, files: Mapping[str, bytes]) -> ModelVersion:
    """Return a version whose weights and calibration are those of its card."""
    weights, fitted = files["weights.safetensors"], files["calibration.json"]
    try:
        card = json.loads(files["card.json"])
        expected, named = (card["weights_sha256"], card["calibration_sha256"]), card["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise not_a_version(name, error) from None
    if named != name:
        raise RegistryError(f"{name} is a copy of {named} under another name", fix="give the folder its own name back")
    for told, content, sha in zip(
        ("weights of {} are not those that were", "calibration of {} is not the one that was"),
        (weights, fitted),
        expected,
        strict=True,
    ):
        if hashlib.sha256(content).hexdigest() != sha:
            raise RegistryError(f"The {told.format(name)} registered", fix="restore the version's folder from a backup")
    try:
        return ModelVersion(name, load(weights), card, json.loads(fitted))
    except SafetensorError:
        raise RegistryError(f"The weights of {name} are not a safetensors file", fix="restore the version") from None
    except ValueError:
        raise RegistryError(f"The calibration of {name} is not JSON", fix="restore the version") from None


def _serialized(tensors: dict[str, NDArray[np.float32]]) -> bytes:
    return save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
