"""Which code a result came from, in a checkout and where it is installed alike."""

from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from core.files import write_atomically

ROOMS = ("core", "fl_client", "fl_server", "simulations")
THEN = ", "


@cache
def code_version() -> str:
    """Return this release and a digest of every source that learning may depend on, such as `0.1.0+3f2a90bc11de`."""
    return f"{version('gliofed')}+{source_digest(Path(__file__).resolve().parent.parent)[:12]}"


def code_since(begun: str) -> str:
    """Return the code of work that goes on now, after each code by which earlier calls did part of it.

    Args:
        begun: what this said in the call before; "" if there was none.
    """
    return THEN.join(dict.fromkeys([*begun.split(THEN), code_version()] if begun else [code_version()]))


def noted_code(note: Path, *, goes_on: bool) -> str:
    """Note which code works on something from now on, and return it after each that has before.

    Args:
        note: a file beside the work, to be deleted when the work is done.
        goes_on: whether anything of an earlier call counts.
    """
    code = code_since(note.read_text("utf-8") if goes_on and note.exists() else "")
    write_atomically(note, code)
    return code


def codes_sentence(codes: Iterable[str], pieces: str) -> str:
    """Say which code results came from, and that they may not compare where it was more than one.

    Args:
        codes: of each piece of work, as `code_since` tells it.
        pieces: what they are called.
    """
    told = sorted({code for one in codes for code in one.split(THEN)})
    if len(told) == 1:
        return f"Code: {told[0]}."
    return f"The code was changed between {pieces} or within one, so their scores may not compare: {THEN.join(told)}."


def source_digest(root: Path) -> str:
    """Return the SHA-256, 64 hexadecimal digits, of every source under a root that learning may depend on."""
    found = sha256()
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        found.update(f"{path.relative_to(root)}\n{path.stat().st_size}\n".encode() + path.read_bytes())
    return found.hexdigest()
