"""Which model version is served here: the one that the coordinator has approved last, and no other."""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from core.errors import ConfigError
from core.records.approvals import approval_file
from core.records.registry import current_version, load_version
from core.signing import load_public
from webapp.config import WebConfig


def current_folder(config: WebConfig) -> Path:
    """Return the folder of the version that is current.

    Raises:
        ConfigError: there is no coordinator's key to check an approval with.
        RegistryError: no version is approved.
    """
    return current_version(config.site.registry, trusted_key(config))


def current(config: WebConfig) -> str:
    """Return the name of the version that is current.

    Raises: as `current_folder`.
    """
    return current_folder(config).name


def about_version(config: WebConfig, folder: Path) -> dict[str, Any]:
    """Return what a result tells of the version that made it: what was signed of it, and what stands behind it.

    Raises: RegistryError: the version is damaged, not approved or retired.
    """
    stored = load_version(folder, trusted_key(config))
    return {
        "version": stored.name,
        "approval": json.loads(approval_file(folder.parent, folder.name).read_bytes()),
        "card": f"/versions/{stored.name}",
        "heads": stored.card.get("heads", {}),
        "privacy": stored.card.get("privacy", {}),
    }


def trusted_key(config: WebConfig) -> Ed25519PublicKey:
    """Return the key of the coordinator whose approvals count: it lies in `keys` beside the registry."""
    keys = config.home / "keys"
    for file in (keys / "coordinator.pub", keys / "signing.pub"):
        if file.exists():
            return load_public(file)
    raise ConfigError(
        f"There is no coordinator's key in {keys}",
        fix="join a federation (`fl-client join`) and pull a model, or name its registry in web.toml",
    )
