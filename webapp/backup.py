"""A backup: the whole state of a server at one moment, but for its keys, in one encrypted file.

    about               JSON: when, of which release and revision, the log's end, which keys open what is sealed
    web.toml, tls/*, checkpoints.jsonl, erased.txt
    table/<name>        rows as JSON, some in each piece; bytes as {"": base64}
    files/<prediction>/<name>   as they lie on disk, encrypted
    end                 JSON: how much of everything there was

The database is read in one transaction that sees one state of it, while others write. Files are taken afterwards, those
of the predictions in that state: they were there before their rows, and what is deleted meanwhile is left out.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.clock import now
from core.errors import ConfigError, RecordsError
from core.files import atomic
from core.progress import Report, silent
from core.records.copying import Page, pages_out
from core.records.db import open_database, reading, transaction
from core.records.migrate import HEAD
from core.records.tables import AuditEvent, AuditHead
from core.records.web_tables import Prediction
from webapp.backup_file import BackupWriter, Part, parts_of
from webapp.checkpoints import head_signer
from webapp.config import WebConfig
from webapp.erased import erased_in
from webapp.journal import CONSOLE, note
from webapp.key_export import backup_key, names_of
from webapp.rotation import keys_held
from webapp.sealed_files import FRAME
from webapp.vault import Vault, number_of, read_keys


@dataclass(frozen=True)
class About:
    """What a backup says of itself.

    Attributes:
        release, revision: of the program and of the tables.
        made_at: when.
        serves: `hospital` or `coordinator`.
        events: the number of the log's last event.
        last_event_at: its time, "" where there is none.
        keys: short names of the keys that were in use, by number, and of `hashing`.
    """

    release: str
    revision: str
    made_at: str
    serves: str
    events: int
    last_event_at: str
    keys: dict[str, str]


@dataclass(frozen=True)
class Counts:
    """How much a backup holds.

    Attributes:
        rows: of each table.
        files: encrypted files of predictions.
        bytes: of them.
    """

    rows: dict[str, int]
    files: int
    bytes: int


@dataclass(frozen=True)
class Contents:
    """What is in a backup that is whole.

    Attributes:
        about, counts: what it says of itself.
        web_toml: the server's settings, None where it had no file of them.
        erased: ids of patients who had been erased.
        sealed_with: numbers of the keys that its values need.
    """

    about: About
    counts: Counts
    web_toml: bytes | None
    erased: frozenset[str]
    sealed_with: frozenset[int]


def make_backup(config: WebConfig, to: Path, report: Report = silent) -> tuple[About, Counts]:
    """Write a backup, read it again, and only then give it its name.

    Args:
        config: of the server, which may be running.
        to: the new file.
        report: told of the rows and files that were taken, then of the same as they are read again.
    Returns: what it says of itself, and how much it holds.
    Raises:
        ConfigError: there is such a file, or the keys cannot be read.
        RecordsError: the database cannot be used, the keys are being rotated, or what was written cannot be read again.
    """
    if to.exists():
        raise ConfigError(f"There is a file {to} already", fix="name another; a backup never replaces one")
    if not to.absolute().parent.is_dir():  # and is not made: a disk that is not mounted must not fill the one below it
        raise ConfigError(f"There is no folder {to.absolute().parent}", fix="make it, or mount the disk for backups")
    read_keys(config.keys_path)  # a server has them: nothing is made anew here
    engine = open_database(config.database_url)
    with keys_held(config.keys_path):
        _clear_partial(to)
        key, vault = backup_key(config.keys_path), Vault(config.keys_path)
        with atomic(to) as partial:
            about, counts = _write(engine, config, vault, BackupWriter(partial, key), report)
            written = look_through(partial, key, report)
            if (written.about, written.counts) != (about, counts):
                raise RecordsError("What was written is not what is read again", fix="write the backup to another disk")
        with transaction(engine) as session:
            size = to.stat().st_size
            note(session, CONSOLE, "backup.made", events=about.events, files=counts.files, size=size)
    engine.dispose()
    return about, counts


def look_through(path: Path, key: bytes, report: Report = silent) -> Contents:
    """Read a whole backup, and return what is in it.

    Raises: RecordsError: it is no backup, of another key, of a newer release, damaged or not whole.
    """
    parts = parts_of(path, key)
    about = _about_in(next(parts))
    rows, files, size, kept = dict[str, int](), 0, 0, dict[str, bytes]()
    sealed_with = set[int]()
    for part in parts:
        if part.name.startswith("table/"):
            rows[part.name.partition("/")[2]] = 0
            for page in pages_in(part):
                rows[page.table] += len(page.rows)
                sealed_with |= _numbers_in(page)
        elif part.name.startswith("files/"):
            files, size = files + 1, size + sum(len(piece) for piece in part.pieces)
        else:
            kept[part.name] = part.content()
        report("reading the backup", sum(rows.values()) + files, sum(rows.values()) + files + ("end" not in kept))
    counts = Counts(rows, files, size)
    if json.loads(kept.get("end", b"0")) != asdict(counts):
        raise RecordsError(f"{path} does not hold what it should", fix="take another backup")
    erased = frozenset(kept.get("erased.txt", b"").decode("ascii").split())
    return Contents(about, counts, kept.get("web.toml"), erased, frozenset(sealed_with))


def _about_in(part: Part) -> About:
    told = json.loads(part.content())
    if part.name != "about" or told["revision"] > HEAD:
        raise RecordsError(
            f"The backup is of the newer release {told['release']}", fix="install that release, or a later one"
        )
    return About(**told)


def _numbers_in(page: Page) -> set[int]:
    sealed = [place for place, name in enumerate(page.columns) if name.endswith("_sealed")]
    values = (row[place] for row in page.rows for place in sealed)
    return {number_of(value) for value in values if isinstance(value, bytes)}


def pages_in(part: Part) -> Iterator[Page]:
    """Yield the rows of a table's part."""
    columns = tuple(part.told["columns"])
    for piece in part.pieces:
        yield Page(part.name.partition("/")[2], columns, json.loads(piece, object_hook=_bytes))


def _write(
    engine: Engine, config: WebConfig, vault: Vault, writer: BackupWriter, report: Report
) -> tuple[About, Counts]:
    rows: dict[str, int] = {}
    with reading(engine) as session:
        about = _about(session, config, vault)
        with writer.part("about") as part:
            part.add(json.dumps(asdict(about)).encode())
        _write_settings(session, config, writer)
        for name, pages in _by_table(pages_out(session)):
            first = next(pages)
            with writer.part(f"table/{name}", columns=first.columns) as part:
                rows[name] = 0
                for page in pages:
                    part.add(json.dumps(page.rows, default=_text).encode())
                    rows[name] += len(page.rows)
                    report("rows", sum(rows.values()), sum(rows.values()))
        query = select(Prediction.id).where(Prediction.files_deleted_at.is_(None)).order_by(Prediction.id)
        kept = list(session.scalars(query))
    files, size = 0, 0
    for done, identifier in enumerate(kept, 1):
        for path in sorted((config.files / identifier).glob("*")):
            with suppress(FileNotFoundError):  # deleted meanwhile, by its owner or by the retention
                size += _write_file(writer, f"files/{identifier}/{path.name}", path)
                files += 1
        report("predictions' files", done, len(kept))
    counts = Counts(rows, files, size)
    with writer.part("end") as part:
        part.add(json.dumps(asdict(counts)).encode())
    writer.close()
    return about, counts


def _about(session: Session, config: WebConfig, vault: Vault) -> About:
    seq = session.scalar(select(AuditHead.seq)) or 0
    at = session.scalar(select(AuditEvent.at).where(AuditEvent.seq == seq)) or ""
    return About(version("gliofed"), HEAD, now(), config.site.serves, seq, at, names_of(vault.keys))


def _write_settings(session: Session, config: WebConfig, writer: BackupWriter) -> None:
    for path in [config.data / "web.toml", *sorted((config.data / "tls").glob("*"))]:
        if path.is_file():
            _write_file(writer, path.relative_to(config.data).as_posix(), path)
    with writer.part("erased.txt") as part:
        part.add("\n".join(sorted(erased_in(config.keys_path))).encode())
    seq = session.scalar(select(AuditHead.seq)) or 0  # a head signed meanwhile is of events that are not in the backup
    checkpoints = head_signer(config).checkpoints
    lines = checkpoints.read_bytes().splitlines(keepends=True) if checkpoints.exists() else []
    whole = [line for line in lines if line.endswith(b"\n") and json.loads(line)["seq"] <= seq]
    with writer.part("checkpoints.jsonl") as part:
        part.add(b"".join(whole))


def _write_file(writer: BackupWriter, name: str, path: Path) -> int:
    size = 0
    with path.open("rb") as file, writer.part(name) as part:
        while piece := file.read(FRAME):
            part.add(piece)
            size += len(piece)
    return size


def _by_table(pages: Iterable[Page]) -> Iterator[tuple[str, Iterator[Page]]]:
    return groupby(pages, key=lambda page: page.table)


def _clear_partial(to: Path) -> None:
    """Delete what backups of this name have left behind that were killed."""
    for path in to.parent.glob(f".*.partial-{to.name}"):
        path.unlink(missing_ok=True)


def _text(value: object) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(type(value).__name__)
    return {"": base64.b64encode(value).decode("ascii")}


def _bytes(value: dict[str, str]) -> bytes:
    return base64.b64decode(value[""])
