"""Where GlioFed keeps its state on this machine."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def home() -> Path:
    """Return `$FL_HOME`; where it is unset or empty, ~/.local/share/gliofed."""
    # A shell expands `~`, but a service's settings and a .env file do not.
    return Path(os.environ.get("FL_HOME") or "~/.local/share/gliofed").expanduser().absolute()


def registry_folder() -> Path:
    """Return the folder of model versions."""
    return home() / "registry"


def public_folder() -> Path:
    """Return the folder of files that are nobody's secret and known by their hash: frozen weights, public cases."""
    return home() / "public"


def trusted_key() -> "Ed25519PublicKey":
    """Return the key that a model version's approval must be signed with: at a site the coordinator's, else our own.

    Raises: ConfigError: there is none, or it is not a key.
    """
    from core.signing import load_public  # loads cryptography: not for `--help`

    keys = home() / "keys"
    for file in (keys / "coordinator.pub", keys / "signing.pub"):
        if file.exists():
            return load_public(file)
    raise ConfigError(
        f"There is no key in {keys} to check a model's approval with",
        fix="join a federation (fl-client join), or set FL_HOME to the home of a site or coordinator",
    )
