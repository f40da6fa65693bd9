"""What somebody uploads, on its way to disk: encrypted as it arrives, within limits, and gone at once if it is refused.

DATA/files/<prediction>/u<number>   the uploaded files, in the order they came; their names lie in the sealed draft
"""

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from flask import Request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.formparser import FormDataParser

from core.errors import NotACaseError, RecordsError
from webapp.config import LimitSettings
from webapp.errors import Refused
from webapp.sealed_files import SealedWriter
from webapp.vault import KEY_BYTES

if TYPE_CHECKING:
    from werkzeug.formparser import TStreamFactory

_PATIENCE_S = 30.0
_SOME = 64 * 1024
# Of a form, beside its files.
_FIELDS = 20


@dataclass
class Upload:
    """Files of one request.

    Attributes:
        id: of the prediction that they become.
        folder: where they lie.
        key: that they are encrypted under.
        names: what each was called, folders included, by the name that it is stored under.
        bytes: of all together.
    """

    id: str
    folder: Path
    key: bytes
    limits: LimitSettings
    names: dict[str, str] = field(default_factory=dict)
    bytes: int = 0

    def open(self, name: str) -> SealedWriter:
        """Return a stream into the next file.

        Raises: Refused: there are more files than one patient has.
        """
        if len(self.names) >= self.limits.files:
            raise Refused(
                413, f"The upload holds more than {self.limits.files} files", fix="send one patient's four sequences"
            )
        stored = f"u{len(self.names):05d}"
        self.names[stored] = name
        return SealedWriter(self.folder / stored, self.key)


class WatchedStream:
    """A request's body, cut off where it is too large or too slow."""

    def __init__(self, stream: IO[bytes], upload: Upload) -> None:
        self._stream = stream
        self._most = upload.limits.upload_mb * 1_000_000
        self._slowest = upload.limits.slowest_bytes_s
        self._upload = upload
        self._began = time.monotonic()

    def read(self, size: int = -1) -> bytes:
        """Read on.

        Raises: Refused: enough has come, or too little in its time.
        """
        piece = self._stream.read(_SOME if size < 0 else size)
        self._upload.bytes += len(piece)
        if self._upload.bytes > self._most:
            raise Refused(
                413,
                f"The upload is larger than {self._most // 1_000_000} MB",
                fix="send only the four sequences of one patient",
            )
        taken = time.monotonic() - self._began
        if taken > _PATIENCE_S and self._upload.bytes < self._slowest * taken:
            raise Refused(408, "The upload came too slowly and was cut off", fix="send it again over a faster line")
        return piece


@contextmanager
def receiving(request: Request, files: Path, limits: LimitSettings) -> Iterator[tuple[Upload, dict[str, str]]]:
    """Yield a request's files, on disk and encrypted, and its fields; where the block fails, the files are deleted.

    Unless it is the database that fails: it may know of them.

    Args:
        request: a form with files, or the bytes of one zip.
        files: the folder of encrypted files.
        limits: what one upload may hold.
    Raises: Refused: too large, too many, too slow, or no files.
    """
    identifier = secrets.token_hex(16)
    upload = Upload(identifier, files / identifier, secrets.token_bytes(KEY_BYTES), limits)
    is_kept = False
    try:
        fields = _receive(request, upload)
        _demand_files(upload)
        yield upload, fields
        is_kept = True
    except RecordsError:  # the database may have kept the upload and died before it said so; orphans are cleared later
        is_kept = True
        raise
    finally:
        if not is_kept:
            shutil.rmtree(upload.folder, ignore_errors=True)


def _demand_files(upload: Upload) -> None:
    if not upload.names or not upload.bytes:
        raise Refused(
            422, "The request holds no files", fix="send a zip, or DICOM or NIfTI files, in the form field `files`"
        )


def _receive(request: Request, upload: Upload) -> dict[str, str]:
    client = request.environ.get("gunicorn.socket")
    if client is not None:  # else a silent client would hold this thread for ever
        client.settimeout(_PATIENCE_S)
    stream = WatchedStream(request.stream, upload)
    try:
        if request.mimetype == "multipart/form-data":
            return _parse(request, stream, upload)
        if request.mimetype in ("application/zip", "application/x-zip-compressed", "application/octet-stream"):
            with upload.open("upload.zip") as target:
                while piece := stream.read(2**20):
                    target.write(piece)
            return {}
    except ClientDisconnected as error:
        if isinstance(error.__context__, TimeoutError):
            raise Refused(408, "The upload stopped and was cut off", fix="send it again over a steadier line") from None
        raise Refused(400, "The upload ended before its announced length", fix="send it again") from None
    except ValueError:
        raise Refused(400, "The form is cut short or no form", fix="send multipart/form-data") from None
    raise Refused(
        415, "Scans come as a form with files, or as a zip", fix="send multipart/form-data or application/zip"
    )


def _parse(request: Request, stream: WatchedStream, upload: Upload) -> dict[str, str]:
    """Read a form; its files go to disk as they come.

    Raises: ValueError: it is no form.
    """

    def into(*, filename: str | None, **_others: object) -> SealedWriter:
        return upload.open(filename or "")

    parser = FormDataParser(
        stream_factory=cast("TStreamFactory", into),
        max_form_memory_size=request.max_form_memory_size,
        max_form_parts=upload.limits.files + _FIELDS,
        silent=False,
    )
    _, form, files = parser.parse(
        cast("IO[bytes]", stream), request.mimetype, request.content_length, request.mimetype_params
    )
    for _, file in files.items(multi=True):  # noqa: PERF102 (each of several under one name)
        file.stream.close()
    return {name: form[name] for name in form}


def place_of(name: str) -> PurePosixPath:
    """Return where a file is put within a folder of scans, by the name that its sender gave it.

    Raises: NotACaseError: the name leads out of the folder.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":" or "\0" in name or len(name) > 1000:
        raise NotACaseError(
            "The upload holds names that lead out of its own folder", fix="send the patient's folder as it is"
        )
    return path
