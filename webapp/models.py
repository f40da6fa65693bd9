"""Which model version is served here: the one that the coordinator has approved last, and no other."""

from pathlib import Path

from core.errors import ConfigError
from core.records.registry import current_version
from core.signing import load_public
from webapp.config import WebConfig

Key = "Ed25519PublicKey"


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


def trusted_key(config: WebConfig):  # noqa: ANN201
    """Return the key of the coordinator whose approvals count: it lies in `keys` beside the registry."""
    keys = config.site.registry.parent / "keys"
    for file in (keys / "coordinator.pub", keys / "signing.pub"):
        if file.exists():
            return load_public(file)
    raise ConfigError(
        f"There is no coordinator's key in {keys}",
        fix="join a federation (`fl-client join`) and pull a model, or name its registry in web.toml",
    )
