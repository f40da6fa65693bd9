"""Where an upload is decrypted while it is read: a folder in memory where there is one, gone when the reading ends."""

import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from core.errors import NotACaseError
from core.imaging.archives import unpack
from webapp.config import WebConfig
from webapp.errors import Refused
from webapp.sealed_files import SealedReader, pieces_of
from webapp.uploads import place_of

_PREFIX = "gliofed-web-"
_ZIP = b"PK\x03\x04"
# Zipped scans unpack to about twice their size.
_ROOM = 4


@contextmanager
def decrypted(config: WebConfig, prediction: str, key: bytes, names: Mapping[str, str]) -> Iterator[Path]:
    """Yield a folder with an upload's files as they were sent, an archive unpacked.

    Args:
        config: says where there is room.
        prediction: whose upload.
        key: its file key.
        names: what each file was called, by the name that it is stored under.
    Raises:
        NotACaseError: an unsafe archive, or names that lead out of their folder.
        DataError: a file is gone or was changed.
    """
    stored = config.files / prediction
    with _room(config, sum((stored / name).stat().st_size for name in names)) as folder:
        for name, called in names.items():
            with SealedReader(stored / name, key) as file:
                is_zip = file.read(len(_ZIP)) == _ZIP
                if is_zip and len(names) > 1:
                    raise NotACaseError("The upload holds a zip beside other files", fix="send one zip, or files")
                if is_zip:
                    file.seek(0)
                    unpack(io.BufferedReader(file), folder)
                    continue
            target = folder / place_of(called or name)
            _write(target if target.name else folder / name, stored / name, key)
        yield folder


def clear_scratch(config: WebConfig) -> None:
    """Delete what killed processes have left behind."""
    for place in _places(config):
        for folder in place.glob(f"{_PREFIX}*"):
            pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
            if pid.isdigit() and not Path(f"/proc/{pid}").exists():
                shutil.rmtree(folder, ignore_errors=True)


def _places(config: WebConfig) -> list[Path]:
    return [place for place in (config.site.scratch, config.data / "scratch") if place.is_dir()]


@contextmanager
def _room(config: WebConfig, size: int) -> Iterator[Path]:
    (config.data / "scratch").mkdir(mode=0o700, exist_ok=True)
    for place in _places(config):
        if shutil.disk_usage(place).free > _ROOM * size:
            with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=place) as folder:
                yield Path(folder)
            return
    raise Refused(503, "There is no room to read the upload", fix="wait until others are done", retry_after=60)


def _write(target: Path, stored: Path, key: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for piece in pieces_of(stored, key):
                file.write(piece)
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise NotACaseError("Two files of the upload have one name", fix="send the patient's folder as it is") from None
    except OSError as error:
        raise NotACaseError(
            f"A file of the upload cannot be kept ({error.strerror})", fix="give files and folders short names"
        ) from None
