"""Where GlioFed keeps its state on this machine."""

import os
from pathlib import Path


def home() -> Path:
    """Return `$FL_HOME`; where it is unset or empty, ~/.local/share/gliofed."""
    # A shell expands `~`, but a service's settings and a .env file do not.
    return Path(os.environ.get("FL_HOME") or "~/.local/share/gliofed").expanduser().absolute()


def registry_folder() -> Path:
    """Return the folder of model versions."""
    return home() / "registry"
