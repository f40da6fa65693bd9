"""Which code a result came from, in a checkout and where it is installed alike."""

from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

ROOMS = ("core", "fl_client", "fl_server", "simulations")


@cache
def code_version() -> str:
    """Return this release and a digest of every source that learning may depend on, such as `0.1.0+3f2a90bc11de`."""
    return f"{version('gliofed')}+{source_digest(Path(__file__).resolve().parent.parent)[:12]}"


def source_digest(root: Path) -> str:
    """Return the SHA-256, 64 hexadecimal digits, of every source under a root that learning may depend on."""
    found = sha256()
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        found.update(f"{path.relative_to(root)}\n{path.stat().st_size}\n".encode() + path.read_bytes())
    return found.hexdigest()
