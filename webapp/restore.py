"""A backup back into an empty database and folder: checked before anything is written, and before anybody is served.

While it runs, the folder and the database say that they are being restored, and no process takes either for whole.
After an error nothing is left of it; after a kill the next restore clears that away and begins anew.

DATA/.restoring   what lay in the folder before, a name a line; `.restored` once the folder is complete
"""

import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, select

from core.config import overlay, validate
from core.errors import AuditError, ConfigError, RecordsError
from core.files import private_folder, sync_folder, write_private
from core.progress import Report, silent
from core.records.checkpoints import read_checkpoints
from core.records.copying import Refilled, is_restoring, refilling
from core.records.db import reading, transaction
from core.records.tables import AuditEvent
from core.records.web_tables import Patient, Prediction
from webapp import log
from webapp.backup import About, Contents, look_through, pages_in
from webapp.backup_file import Part, parts_of
from webapp.checkpoints import HeadSigner, head_signer
from webapp.config import SiteSettings, WebConfig
from webapp.erased import erased_in, remember
from webapp.erasure import erase_again
from webapp.journal import CONSOLE, NOTHING, note
from webapp.key_export import known_backup_key, names_of
from webapp.readable import Readable, read_everything
from webapp.rotation import keys_held
from webapp.serving import RESTORING, settings_in
from webapp.vault import Vault, read_keys

_RESTORED = ".restored"
# May lie in the folder before: whoever runs the new machine has put it there, and it goes before the backup's.
_OWN = {"keys", "web.toml", "tls"}
_FILE = re.compile(r"files/[0-9a-f]{32}/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
_SETTING = re.compile(r"web\.toml|tls/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Restored:
    """What is there again.

    Attributes:
        about: what the backup says of itself.
        checkpoints: signed heads that the log agrees with.
        predictions, patients: after erasing again.
        erased: patients who were in the backup and had been erased.
        lost: events after the backup that the lost server had signed; None where its signed heads are not at hand.
        readable: what was opened with the keys that are here.
    """

    about: About
    checkpoints: int
    predictions: int
    patients: int
    erased: int
    lost: int | None
    readable: Readable


def restore(backup: Path, data: Path, heads: Path | None = None, report: Report = silent) -> Restored:
    """Restore a backup into a folder that holds the keys, and into the empty database that its settings name.

    Args:
        backup: the file.
        data: the server's folder; a web.toml or tls in it goes before the backup's.
        heads: the lost server's own file of signed heads, where there still is one.
        report: told of the progress.
    Raises:
        ConfigError: the folder is not empty, or the keys are missing.
        RecordsError: the backup cannot be relied on, the keys are not its own, or the database is not empty.
        AuditError: the log in it is not what was written and signed.
    """
    data = private_folder(data.expanduser().absolute())
    before = settings_in(data)
    key = known_backup_key(before.keys_path)
    with keys_held(before.keys_path):
        contents = look_through(backup, key, report)
        config = _settings(contents, data)
        if config.keys_path != before.keys_path:
            raise ConfigError(
                f"The keys are at {before.keys_path}, and the backup's web.toml looks for them at {config.keys_path}",
                fix="put a web.toml for this machine into the folder, or set FL_SITE__KEYS to where they are",
            )
        _demand_keys(config, contents)
        known = erased_in(config.keys_path) | contents.erased
        with (
            _refilled_folder(config),
            refilling(config.database_url, contents.about.revision) as refilled,
        ):
            restored = _fill(backup, key, config, contents, known, refilled, heads, report)
            remember(config.keys_path, known)
            (data / RESTORING).rename(data / _RESTORED)
            sync_folder(data)
            refilled.release()
    return restored


def drill(backup: Path, data: Path, database: str = "", report: Report = silent) -> Restored:
    """Do all that a restore does, in a folder of its own and in a SQLite file or an empty database, and throw it away.

    Args:
        backup: the file.
        data: the folder of a server, or of its keys alone; it stays as it is.
        database: URL of an empty database; else a file in the drill's folder.
        report: told of the progress.
    Raises: as `restore`.
    """
    mine = settings_in(data.expanduser().absolute())
    key = known_backup_key(mine.keys_path)
    contents = look_through(backup, key, report)
    folder = private_folder(mine.data / "scratch") / f"gliofed-web-{os.getpid()}-drill"  # cleared away after a kill
    site = {"serves": contents.about.serves, "database": database, "keys": mine.keys_path}
    config = WebConfig(data=private_folder(folder), site=SiteSettings.model_validate(site))
    try:
        _demand_keys(config, contents)
        known = erased_in(mine.keys_path) | contents.erased
        with refilling(config.database_url, contents.about.revision) as refilled:
            return _fill(backup, key, config, contents, known, refilled, None, report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # others' scans are being read in it
            folder.parent.rmdir()


def _fill(
    backup: Path,
    key: bytes,
    config: WebConfig,
    contents: Contents,
    known: frozenset[str],
    refilled: Refilled,
    heads: Path | None,
    report: Report,
) -> Restored:
    about = contents.about
    total, done = sum(contents.counts.rows.values()) + contents.counts.files, 0
    for part in parts_of(backup, key):
        if part.name.startswith("table/"):
            for page in pages_in(part):
                refilled.load(page)
                done += len(page.rows)
                report("restoring", done, total)
        elif _place(part.name, config) is not None:
            _write(part, config)
            done += part.name.startswith("files/")
            report("restoring", done, total)
    refilled.bring_up()
    engine = refilled.engine
    signer = head_signer(config)
    verified = log.verify(engine, signer.checkpoints, signer.public, report)
    if verified.events != about.events:
        raise RecordsError("The backup's log ends elsewhere than it says", fix="use another backup")
    readable = read_everything(engine, config, Vault(config.keys_path), report)
    erased = erase_again(engine, config, known)
    lost = _lost(engine, heads, signer, about.events) if heads else None
    with transaction(engine) as session:
        told = {"made_at": about.made_at, "events": about.events, "erased": erased, "lost": lost}
        note(session, CONSOLE, "backup.restored", NOTHING, **told)
    with reading(engine) as session:
        predictions = session.scalar(select(func.count()).select_from(Prediction)) or 0
        patients = session.scalar(select(func.count()).select_from(Patient)) or 0
    return Restored(about, verified.checkpoints, predictions, patients, erased, lost, readable)


def _lost(engine: Engine, heads: Path, signer: HeadSigner, events: int) -> int:
    """Return how many events at least were signed on the lost server and are not in the backup.

    Raises: AuditError: its signed heads are not of this log.
    """
    lines = read_checkpoints(heads, signer.public)
    common = [line for line in lines if line.seq <= events]
    if common:
        with reading(engine) as session:
            found = session.scalar(select(AuditEvent.hash).where(AuditEvent.seq == common[-1].seq))
        if found != common[-1].hash:
            raise AuditError(
                f"Event {common[-1].seq} of the backup is not what the lost server signed",
                fix="use another backup, and find out who could write to this one or to the server",
            )
    return max(0, lines[-1].seq - events) if lines else 0


def _demand_keys(config: WebConfig, contents: Contents) -> None:
    """Check that all that is sealed can be opened here, before anything is written.

    Raises: RecordsError: a key is not here, or another is in its place.
    """
    here, then = names_of(read_keys(config.keys_path)), contents.about.keys
    lacking = [one for one in ("hashing", *map(str, sorted(contents.sealed_with))) if here.get(one) != then.get(one)]
    if lacking:
        raise RecordsError(
            f"The backup needs keys that are not here: {', '.join(lacking)}",
            fix=f"import those exported before {contents.about.made_at[:10]} as well: fl-web import-keys adds to these",
        )
    if contents.about.serves == "hospital" and not config.keys_path.with_name("audit.key").exists():
        raise RecordsError("The key that signed the log's heads is not here", fix="fl-web import-keys brings it")


def _settings(contents: Contents, data: Path) -> WebConfig:
    """Return the settings of the server as it will be: the folder's own, else the backup's."""
    if (data / "web.toml").exists() or contents.web_toml is None:
        return settings_in(data)
    settings = {**tomllib.loads(contents.web_toml.decode()), "data": str(data)}
    overlay(settings, os.environ, WebConfig)
    return validate(WebConfig, settings, "the backup's web.toml")


@contextmanager
def _refilled_folder(config: WebConfig) -> Iterator[None]:
    """Let the block fill a folder that holds nothing but what its owner has put there; empty it if that fails.

    Raises: ConfigError: it holds more.
    """
    data = config.data
    marker = data / RESTORING
    if (data / _RESTORED).exists() and is_restoring(config.database_url):
        (data / _RESTORED).rename(marker)
    if marker.exists():
        _empty(data, set(marker.read_text("utf-8").splitlines()))
    there = {path.name for path in data.iterdir()} - {RESTORING}
    if there - _OWN:
        raise ConfigError(
            f"{data} is not empty: it has {', '.join(sorted(there - _OWN)[:3])}",
            fix="name a folder that holds the keys, and a web.toml and tls of this machine if need be",
        )
    write_private(marker, "".join(f"{name}\n" for name in sorted(there)))
    is_filled = False
    try:
        yield
        is_filled = True
    finally:
        if not is_filled:
            _empty(data, there)
            marker.unlink(missing_ok=True)
        (data / _RESTORED).unlink(missing_ok=True)


def _empty(data: Path, own: set[str]) -> None:
    """Delete what a restore has written, and nothing that lay there before it."""
    for name in {"files", "audit", "tls", "web.toml", "records.db", "records.db-wal", "records.db-shm"} - own:
        path = data / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _place(name: str, config: WebConfig) -> Path | None:
    """Return where a part of a backup is written, or None where it is not a file, or this machine has its own."""
    if name == "checkpoints.jsonl":
        return head_signer(config).checkpoints
    if _FILE.fullmatch(name):
        return config.files.parent / name
    own = config.data / RESTORING
    kept = own.read_text("utf-8").splitlines() if own.exists() else ["tls", "web.toml"]  # a drill needs neither
    return config.data / name if _SETTING.fullmatch(name) and name.partition("/")[0] not in kept else None


def _write(part: Part, config: WebConfig) -> None:
    path = _place(part.name, config)
    if path is None:
        return
    private_folder(config.files)
    private_folder(path.parent)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        for piece in part.pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
