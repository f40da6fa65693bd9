"""Which code a result came from, in a checkout and where it is installed alike."""

from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

ROOMS = ("core", "fl_client", "fl_server", "simulations")


@cache
def code_version() -> str:
    """Return this release and a digest of every source that learning may depend on, such as `0.1.0+3f2a90bc11de`."""
    root = Path(__file__).resolve().parent.parent
    found = sha256()
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        found.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return f"{version('gliofed')}+{found.hexdigest()[:12]}"
