"""Deleting what is kept no longer: uploads that were not started, scans of answered predictions, old results."""

import shutil
import time
from pathlib import Path

from sqlalchemy import ColumnElement, Engine, delete, select
from sqlalchemy.orm import Session

from core.clock import after, now
from core.records.db import reading, transaction
from core.records.web_tables import Credential, Prediction
from webapp.config import WebConfig
from webapp.drafts import FOUND
from webapp.journal import SERVICE, About, note

_HOUR_S, _DAY_S = 3600, 86_400
# An upload becomes a row when it is complete; a folder without one is left over from a process that was killed.
ORPHAN_S = 6 * _HOUR_S
_AT_ONCE = 200
_CREDENTIAL_DAYS = 30


def clear_away(engine: Engine, config: WebConfig) -> None:
    """Delete what the settings say is kept no longer, each with its event, files after the database says so.

    Raises: RecordsError: the database cannot be used; what is left is deleted the next time.
    """
    kept = config.retention
    drafts = (Prediction.state == "draft", Prediction.created_at < after(-kept.draft_hours * _HOUR_S))
    for identifier in _those(engine, *drafts):
        _delete(engine, config, identifier, drafts, "draft.expired", whole=True)
    ended = Prediction.state.in_(("done", "failed"))
    scans = (ended, Prediction.draft_sealed.is_not(None), Prediction.finished_at < after(-kept.upload_hours * _HOUR_S))
    for identifier in _those(engine, *scans):
        _delete(engine, config, identifier, scans, "scans.expired", whole=False)
    results = (ended, Prediction.files_deleted_at.is_(None), Prediction.finished_at < after(-kept.result_days * _DAY_S))
    for identifier in _those(engine, *results):
        _delete(engine, config, identifier, results, "result.expired", whole=True)
    with transaction(engine) as session:
        session.execute(delete(Credential).where(Credential.expires_at < after(-_CREDENTIAL_DAYS * _DAY_S)))
    clear_orphans(engine, config, ORPHAN_S)


def _those(engine: Engine, *conditions: ColumnElement[bool]) -> list[str]:
    with reading(engine) as session:
        return list(session.scalars(select(Prediction.id).where(*conditions).limit(_AT_ONCE)))


def _delete(
    engine: Engine,
    config: WebConfig,
    identifier: str,
    conditions: tuple[ColumnElement[bool], ...],
    action: str,
    *,
    whole: bool,
) -> None:
    folder = config.files / identifier
    with transaction(engine) as session:
        row = session.scalar(select(Prediction).where(Prediction.id == identifier, *conditions).with_for_update())
        if row is None:  # started or taken back meanwhile, or another worker was first
            return
        _forget(session, row, whole=whole)
        note(session, SERVICE, action, About(identifier), owner=row.owner)
    if whole:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in [*folder.glob("u*"), *folder.glob("t*"), folder / FOUND]:
        path.unlink(missing_ok=True)


def _forget(session: Session, row: Prediction, *, whole: bool) -> None:
    row.draft_sealed = None
    if whole:
        row.file_key_sealed, row.result_sealed, row.files_deleted_at = None, None, now()
        if row.state == "draft":
            row.state, row.finished_at = "withdrawn", now()
    session.flush()


def clear_orphans(engine: Engine, config: WebConfig, age_s: float) -> None:
    """Delete folders of files that are no prediction's, or no more, since a process was killed before it had done so.

    Args:
        engine: the database.
        config: of the server.
        age_s: of the youngest that may be deleted; 0 where nothing is being uploaded, as when the server starts.
    Raises: RecordsError: the database cannot be used; nothing was deleted.
    """
    old = [path for path in config.files.iterdir() if path.is_dir() and _age_s(path) >= age_s]
    kept = Prediction.id.in_([path.name for path in old]), Prediction.files_deleted_at.is_(None)
    with transaction(engine) as session:  # one that writes: what a killed process was committing has come to its end
        known = set(session.scalars(select(Prediction.id).where(*kept)))
    for path in old:
        if path.name not in known:
            shutil.rmtree(path, ignore_errors=True)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:  # deleted meanwhile
        return 0.0
