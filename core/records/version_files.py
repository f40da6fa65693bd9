"""How the registry's folders are read, written and numbered, whatever happens in the middle."""

import fcntl
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from core.errors import RegistryError
from core.files import sync_folder, write_atomically

# What a version's folder holds.
FILES = ("weights.safetensors", "calibration.json", "card.json")
NAME = re.compile(r"(?P<number>\d{4,})-(?P<study>[a-z0-9][a-z0-9-]*)-(?P<sha>[0-9a-f]{8})")


def names_in(registry: Path) -> list[str]:
    """Return the names of all versions' folders, by number."""
    folders = [path for path in registry.iterdir() if path.is_dir()] if registry.is_dir() else []
    found = [(int(match["number"]), path.name) for path in folders if (match := NAME.fullmatch(path.name))]
    return [name for _, name in sorted(found)]


def contents(registry: Path, name: str) -> dict[str, bytes]:
    """Return a version's files as they are on disk, by FILES.

    Raises: RegistryError: one is not there.
    """
    try:
        return {file: (registry / name / file).read_bytes() for file in FILES}
    except OSError as error:
        if (registry / name / "card.json").exists() and not (registry / name / "calibration.json").exists():
            raise RegistryError(
                f"{name} has no calibration.json: a release wrote it whose predictions were not calibrated",
                fix="train its study again with this release, or use a newer version",
            ) from None
        raise not_a_version(registry / name, error) from None


@contextmanager
def partial_version(registry: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """Yield a folder that holds a version's files, on disk, and is gone after the block unless it was renamed."""
    partial = registry / f".{secrets.token_hex(4)}.partial"
    partial.mkdir()
    try:
        for file in FILES:
            write_atomically(partial / file, files[file])
            (partial / file).chmod(0o444)
        sync_folder(partial)
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def locked(registry: Path) -> Iterator[TextIO]:
    """Yield REGISTRY/.last, which holds the last number given, while no other process changes the registry.

    Raises: RegistryError: there is no such folder, or it may not be written to.
    """
    try:
        file = (registry / ".last").open("a+")
    except OSError as error:
        raise RegistryError(
            f"{registry} cannot be used ({error.strerror})", fix="check FL_HOME and its rights"
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


@contextmanager
def next_number(registry: Path) -> Iterator[int]:
    """Yield a number that no version has had, and no other process gets while the block runs.

    A deleted version's number is not used again.
    """
    with locked(registry) as last:
        last.seek(0)
        given = [int(name.partition("-")[0]) for name in names_in(registry)]
        number = max([int(last.read() or 0), *given]) + 1
        last.truncate(0)
        last.write(str(number))
        last.flush()
        yield number


def not_a_version(what: Path | str, error: Exception) -> RegistryError:
    """Return the error that says what is no version, and why."""
    return RegistryError(
        f"{what} is not a model version ({type(error).__name__})",
        fix=f"name a folder that holds {', '.join(FILES)}",
    )
