"""A patient's rights: everything that is stored of them, and the end of it.

What was erased is also kept in a list beside the keys, so that a database restored from an older backup erases it again
before anybody is served; see webapp.erased.
"""

import shutil
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.orm import Session

from core.clock import now
from core.records.db import reading, transaction
from core.records.web_tables import Feedback, LogEntry, Patient, Prediction
from webapp import drafts, predictions
from webapp.config import WebConfig
from webapp.erased import erased_in, remember
from webapp.errors import missing
from webapp.journal import SERVICE, note
from webapp.patients import find_patient, identity_of
from webapp.vault import Vault


def export(engine: Engine, vault: Vault, record_number: str, *, by: str) -> dict[str, Any]:
    """Return everything that is stored of a patient, as JSON; scans and viewer files are listed.

    Raises: Refused: there is no such patient.
    """
    with transaction(engine) as session:
        patient = find_patient(session, vault, record_number)
        if patient is None:
            raise missing("patient")
        rows = session.scalars(select(Prediction).where(Prediction.patient == patient.id)).all()
        told = {
            "identity": identity_of(vault, patient),
            "known_since": patient.created_at,
            "predictions": [_exported(session, vault, row) for row in rows],
        }
        note(session, by, "patient.exported", patient=patient.id)
    return told


def _exported(session: Session, vault: Vault, row: Prediction) -> dict[str, Any]:
    said = session.scalars(select(Feedback).where(Feedback.prediction == row.id).order_by(Feedback.seq)).all()
    seen = session.scalars(select(LogEntry).where(LogEntry.prediction == row.id).order_by(LogEntry.seq)).all()
    draft = drafts.opened(vault, row) if row.draft_sealed else None
    return {
        "id": row.id,
        "state": row.state,
        "asked_by": row.owner,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "version": row.version,
        "result": predictions.result_of(vault, row),
        "scans": draft.series if draft else [],
        "comments": [
            {
                "at": one.at,
                "user": one.user,
                "said": one.said,
                "comment": vault.open(one.comment_sealed, f"feedback.comment/{one.seq}").decode()
                if one.comment_sealed
                else None,
            }
            for one in said
        ],
        "who_did_what": [{"at": one.at, "user": one.user, "action": one.action} for one in seen],
    }


def erase(engine: Engine, config: WebConfig, vault: Vault, record_number: str, *, by: str) -> int:
    """Erase a patient, and return how many predictions there were.

    Raises: Refused: there is no such patient.
    """
    with reading(engine) as session:
        patient = find_patient(session, vault, record_number)
    if patient is None:
        raise missing("patient")
    remember(config.keys_path, [patient.id])  # first: from here on no restored backup keeps it
    return _erase(engine, config, patient.id, by=by)


def erase_again(engine: Engine, config: WebConfig, known: Collection[str] | None = None) -> int:
    """Erase whoever was erased before and is there again, as after a restore; return how many patients.

    Args:
        engine: the database.
        config: of the server.
        known: ids of the erased; else those in the list beside the keys.
    """
    known = erased_in(config.keys_path) if known is None else known
    with reading(engine) as session:
        back = [one for one in session.scalars(select(Patient.id)) if one in known]
    for patient in back:
        _erase(engine, config, patient, by=SERVICE)
    return len(back)


def _erase(engine: Engine, config: WebConfig, patient: str, *, by: str) -> int:
    with transaction(engine) as session:
        mine = list(session.scalars(select(Prediction.id).where(Prediction.patient == patient)))
        _empty(session, mine)
        session.execute(delete(Patient).where(Patient.id == patient))
        note(session, by, "patient.erased", patient=patient, predictions=len(mine))
    delete_files(config, mine)
    return len(mine)


def _empty(session: Session, identifiers: list[str]) -> None:
    """Take everything from predictions that could tell of a patient, the keys of their files first of all."""
    of_them = Prediction.id.in_(identifiers)
    ended = Prediction.state.in_(("done", "failed"))
    emptied = {
        "patient": None,
        "file_key_sealed": None,
        "draft_sealed": None,
        "result_sealed": None,
        "content": None,
        "lease_until": None,
        "files_deleted_at": now(),
    }
    session.execute(update(Prediction).where(of_them, ~ended).values(state="withdrawn", finished_at=now()))
    session.execute(update(Prediction).where(of_them).values(**emptied))
    session.execute(update(Feedback).where(Feedback.prediction.in_(identifiers)).values(comment_sealed=None))


def delete_files(config: WebConfig, identifiers: Iterable[str]) -> None:
    """Delete predictions' folders; without their keys, no copy of them can be read either."""
    for identifier in identifiers:
        shutil.rmtree(predictions.folder_of(config, identifier), ignore_errors=True)
