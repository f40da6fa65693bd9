"""The list of erased patients, beside the keys and never replaced by a restore: who was erased stays erased.

It holds random ids alone, which tell nothing without the database:

KEYS/erased.txt   one line a patient: the id
"""

import os
from collections.abc import Iterable
from pathlib import Path

from core.files import private_folder, sync_folder


def erased_in(keys: Path) -> frozenset[str]:
    """Return the ids in the list beside a file of keys."""
    path = _path(keys)
    return frozenset(path.read_text("ascii").split()) if path.exists() else frozenset()


def remember(keys: Path, patients: Iterable[str]) -> None:
    """Add to the list; it is on disk when this returns."""
    new = sorted(set(patients) - erased_in(keys))
    if not new:
        return
    private_folder(keys.parent)
    descriptor = os.open(_path(keys), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{one}\n" for one in new))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(keys.parent)


def _path(keys: Path) -> Path:
    return keys.with_name("erased.txt")
