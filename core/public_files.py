"""Files that a study names by their SHA-256: frozen weights and public cases, the same bytes on every side.

FOLDER/<sha256>.safetensors
"""

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open

from core.errors import ConfigError, DataError
from core.files import write_atomically


def keep_public(folder: Path, content: bytes) -> str:
    """Keep a file and return its SHA-256, by which studies name it."""
    sha256 = hashlib.sha256(content).hexdigest()
    if not path_of(folder, sha256).exists():
        write_atomically(path_of(folder, sha256), content)
    return sha256


def add_public(folder: Path, file: Path) -> str:
    """Keep a file that somebody named, and return its SHA-256.

    Raises: DataError: it is no file of tensors, and so neither frozen weights nor public cases.
    """
    try:
        with safe_open(file, framework="numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{file} is no safetensors file ({type(error).__name__})",
            fix="name what `fl-simulate pretrain` or `fl-simulate public-cases` has made",
        ) from None
    return keep_public(folder, file.read_bytes())


def public_file(folder: Path, sha256: str, what: str) -> Path:
    """Return where a file lies, once its bytes are found to be those that the study names.

    Args:
        folder: of this side.
        sha256: 64 hexadecimal digits.
        what: what to call it in an error.
    Raises:
        ConfigError: it is not here.
        DataError: it was damaged.
    """
    path = path_of(folder, sha256)
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        raise ConfigError(
            f"The study's {what} {sha256[:12]}... are not in {folder}",
            fix="add the file there: `fl-server add FILE`; a site fetches it when it approves the study",
        ) from None
    if found != sha256:
        raise DataError(f"{path} does not hold what its name says", fix="delete it, then bring it here again")
    return path


def path_of(folder: Path, sha256: str) -> Path:
    """Return where a file of this SHA-256 lies, or would."""
    return folder / f"{sha256}.safetensors"
