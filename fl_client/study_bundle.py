"""What lies in a study's app bundle: GlioFed's own stub with the study's settings, and whatever should not be there.

A hospital runs what a bundle brings. So each file is looked at by its content: a stub of another wording is no stub.
"""

import hashlib
import io
import lzma
import tomllib
import zipfile
import zlib
from dataclasses import dataclass

MODULE = "gliofed_study"
# Of a file inside a bundle, whatever its archive says; a real one has less than 2 kB.
MAX_BYTES = 100_000
_UNREADABLE = (
    zipfile.BadZipFile,
    ValueError,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
)

# What this release's coordinator puts into every bundle, by SHA-256; a test compares with `fl_server.bundle`.
_STUB = {
    f"{MODULE}/__init__.py": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    f"{MODULE}/client.py": "9974ac6eeff3002bb692d7f6c427e84bce91432e2c578a15209e7e4d83f52bfa",
    f"{MODULE}/server.py": "3e210aadf23afde93926dfcffaabadcb221eb15f92a67105d6f2fc63259544f9",
}
_TOLD = {
    f"{MODULE}/study.toml": "every setting",
    f"{MODULE}/__init__.py": "empty",
    f"{MODULE}/client.py": "stub: starts the GlioFed that is installed here",
    f"{MODULE}/server.py": "stub, for the coordinator",
    "pyproject.toml": "names the study; asks for no further packages",
    ".info/CONTENT": "Flower's list of these files",
}


@dataclass(frozen=True)
class BundleFile:
    """A file of an app bundle.

    Attributes:
        name: as the archive has it, unprintable characters replaced.
        bytes: its size.
        is_expected: whether every study has it, with this content.
        told: what it is, in a few words.
    """

    name: str
    bytes: int
    is_expected: bool
    told: str


def files_in(bundle: bytes, study: str, toml: str) -> tuple[BundleFile, ...]:
    """Return every file of a bundle, those that should not be there first.

    Args:
        bundle: a Flower app bundle, which is a zip archive.
        study: the study's name.
        toml: text of its study.toml.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            files = [
                _told(entry, names.count(entry.filename) == 1 and _is_expected(archive, entry, study, toml))
                for entry in entries
            ]
    except _UNREADABLE:
        return (BundleFile("the bundle", len(bundle), is_expected=False, told="UNEXPECTED: no archive to be read"),)
    return tuple(sorted(files, key=lambda file: (file.is_expected, file.name)))


def unexpected(files: tuple[BundleFile, ...]) -> int:
    """Return how many files should not be there."""
    return sum(not file.is_expected for file in files)


def printable(text: str) -> str:
    """Return text of the other side without what could move a terminal's cursor or turn its text around."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _told(entry: zipfile.ZipInfo, is_expected: bool) -> BundleFile:
    told = _TOLD[entry.filename] if is_expected else "UNEXPECTED: no study needs it, and it may run code here"
    return BundleFile(printable(entry.filename), entry.file_size, is_expected, told)


def _is_expected(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, study: str, toml: str) -> bool:
    if entry.filename not in _TOLD:
        return False
    try:
        with archive.open(entry) as file:
            content = file.read(MAX_BYTES)
        if entry.filename in _STUB:
            return hashlib.sha256(content).hexdigest() == _STUB[entry.filename]
        if entry.filename == "pyproject.toml":
            return tomllib.loads(content.decode("utf-8")) == _project(study)
    except _UNREADABLE:
        return False
    return entry.filename == ".info/CONTENT" or content == toml.encode()


def _project(study: str) -> dict[str, object]:
    """Return what pyproject.toml says: more of it could name other code, or packages to install."""
    return {
        "project": {
            "name": f"gliofed-{study}",
            "version": "1.0.0",
            "description": f"The GlioFed study {study}",
            "license": "Apache-2.0",
            "dependencies": [],
        },
        "tool": {
            "flwr": {
                "app": {
                    "publisher": "gliofed",
                    "components": {"serverapp": f"{MODULE}.server:app", "clientapp": f"{MODULE}.client:app"},
                    "config": {"run": ""},
                }
            }
        },
    }
