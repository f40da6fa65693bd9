"""Where GlioFed keeps its state on this machine."""

import os
from pathlib import Path


def home() -> Path:
    """Return `$FL_HOME`, by default ~/.local/share/gliofed."""
    return Path(os.environ.get("FL_HOME") or Path.home() / ".local" / "share" / "gliofed").absolute()


def registry_folder() -> Path:
    """Return the folder of model versions."""
    return home() / "registry"
