"""The registry of model versions: one folder a version, immutable once written.

REGISTRY/<version>/weights.safetensors   named float32 tensors
REGISTRY/<version>/card.json             what the model is, what it was trained on, how good it is, the weights' SHA-256
REGISTRY/<version>.approval.json         what the coordinator signed of it; see core.records.approvals

A version's name is `<number>-<study>-<first 8 digits of the weights' SHA-256>`; numbers only grow, so the newest
version is the one with the highest number. Who uses a model takes an approved version, and checks the approval.
"""

import hashlib
import json
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
    read_approval,
    signed_statement,
    write_approval,
)
from core.records.version_files import NAME, contents, locked, names_in, next_number, not_a_version, partial_version


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
    with next_number(registry) as number:
        name = f"{number:04d}-{study}-{sha[:8]}"
        text = json.dumps({**card, "version": name, "weights_sha256": sha}, indent=2, sort_keys=True)
        with partial_version(registry, weights, text.encode()) as partial:
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
    """Sign that a version may be used, if its weights are those that were registered.

    Args:
        registry: the registry's folder.
        name: the version's.
        key: the coordinator's.
    Raises: RegistryError: there is no such version, it is damaged, or it was approved or retired before.
    """
    weights, card = contents(registry, name)
    match = NAME.fullmatch(name)
    statement = {
        "version": _checked(name, weights, card).name,
        "study": match["study"] if match else "",
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "card_sha256": hashlib.sha256(card).hexdigest(),
        "approved_at": now(),
        "coordinator": coordinator_of(key.public_key()),
    }
    with locked(registry):
        if approval_file(registry, name).exists():
            demand_in_use(read_approval(registry, name, key.public_key()))
            raise RegistryError(f"{name} is approved already", fix="nothing is left to do")
        write_approval(registry, statement, key)


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
        demand_same(statement, *contents(registry, name))
        write_atomically(approval_file(registry, name), approval)


def newest_approved(registry: Path, trusted: Ed25519PublicKey) -> Path:
    """Return the newest approved version's folder.

    Raises: RegistryError: no version is approved.
    """
    approved = approved_versions(registry, trusted)
    if not approved:
        raise RegistryError(
            f"The registry {registry} has no approved model version",
            fix="bring one here with fl-client models pull, or let the coordinator approve one",
        )
    return registry / approved[-1]


def load_version(folder: Path, trusted: Ed25519PublicKey | None = None) -> ModelVersion:
    """Read a version and check its weights against its card, and both against its approval.

    Args:
        folder: the version's.
        trusted: the coordinator's key; None for the coordinator's own work on what nobody has approved yet.
    Raises: RegistryError: not a version, or its weights are not those that were registered, or with a key: it is not
        approved, its approval does not hold, or it was retired.
    """
    folder = folder.resolve()
    weights, card = contents(folder.parent, folder.name)
    if trusted:
        statement = read_approval(folder.parent, folder.name, trusted)
        demand_in_use(statement)
        demand_same(statement, weights, card)
    return _checked(folder.name, weights, card)


def install_version(registry: Path, name: str, files: dict[str, bytes], trusted: Ed25519PublicKey) -> None:
    """Write a version that came from the coordinator under its own name, if it holds; once more changes nothing.

    Args:
        registry: this site's registry; made if missing.
        name: the version's.
        files: contents of card.json, weights.safetensors and approval.json.
        trusted: the coordinator's key.
    Raises: RegistryError: the files do not hold together, the version was retired, or another of this name is here.
    """
    if not NAME.fullmatch(name) or files.keys() != {"card.json", "weights.safetensors", "approval.json"}:
        raise RegistryError("What came from the coordinator is not a model version", fix="pull it again")
    weights, card = files["weights.safetensors"], files["card.json"]
    statement = signed_statement(files["approval.json"], name, trusted)
    demand_in_use(statement)
    demand_same(statement, weights, card)
    _checked(name, weights, card)
    registry.mkdir(parents=True, exist_ok=True)
    with locked(registry):
        if not (registry / name).exists():
            with partial_version(registry, weights, card) as partial:
                partial.rename(registry / name)
                sync_folder(registry)
        elif contents(registry, name) != (weights, card):
            raise RegistryError(f"Another {name} is here", fix=f"move {registry / name} away, then pull again")
        if approval_file(registry, name).exists():  # an approval from before its retirement must not revive it
            demand_in_use(read_approval(registry, name, trusted))
        write_atomically(approval_file(registry, name), files["approval.json"])


def _checked(name: str, weights: bytes, content: bytes) -> ModelVersion:
    """Return a version whose weights are those of its card."""
    try:
        card = json.loads(content)
        expected, named = card["weights_sha256"], card["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise not_a_version(name, error) from None
    if named != name:
        raise RegistryError(f"{name} is a copy of {named} under another name", fix="give the folder its own name back")
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
