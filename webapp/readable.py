"""Whether everything that is kept can still be read: each sealed value, each encrypted file."""

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from core.errors import DataError, RecordsError
from core.progress import Report, silent
from core.records.db import reading
from core.records.web_tables import Prediction
from webapp.config import WebConfig
from webapp.sealed_columns import SEALED
from webapp.sealed_files import pieces_of
from webapp.vault import Vault


@dataclass(frozen=True)
class Readable:
    """How much was read.

    Attributes:
        values: sealed values of the database.
        files: encrypted files.
    """

    values: int
    files: int


def read_everything(engine: Engine, config: WebConfig, vault: Vault, report: Report = silent) -> Readable:
    """Open every sealed value, and read every file to its end.

    Raises: RecordsError: naming the first that cannot be read.
    """
    values = 0
    for sealed in SEALED:
        for page in sealed.pages(engine):
            for key, value in page:
                vault.open(value, sealed.place_of(key))
            values += len(page)
            report("sealed values", values, values)
    with reading(engine) as session:
        has_key = Prediction.file_key_sealed.is_not(None)
        total = session.scalar(select(func.count()).where(has_key)) or 0
        rows = session.execute(select(Prediction.id, Prediction.state, Prediction.file_key_sealed).where(has_key)).all()
    files = 0
    for done, (identifier, state, sealed_key) in enumerate(rows, 1):
        key = vault.open(sealed_key or b"", f"predictions.file_key/{identifier}")
        files += _read_files(config, identifier, key, is_done=state == "done")
        report("files", done, total)
    return Readable(values, files)


def _read_files(config: WebConfig, identifier: str, key: bytes, *, is_done: bool) -> int:
    read = 0
    for path in sorted((config.files / identifier).glob("*")):
        if path.name.startswith("r") and not is_done:  # written by a worker at that moment; it begins anew
            continue
        try:
            for _ in pieces_of(path, key):
                pass
        except DataError:
            raise RecordsError(
                f"The file {path.name} of the prediction {identifier} was changed or cut off", fix="use another backup"
            ) from None
        read += 1
    return read
