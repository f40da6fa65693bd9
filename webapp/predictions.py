"""Predictions as their owner sees them: made of an upload, corrected, started, read, withdrawn; each with its event."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.clock import now
from core.records.web_tables import Prediction
from webapp import drafts, queue
from webapp.config import WebConfig
from webapp.credentials import Identity
from webapp.drafts import Draft
from webapp.errors import Refused
from webapp.journal import About, note
from webapp.patients import keep_patient
from webapp.uploads import Upload
from webapp.vault import Vault

RESULT_FILES = ("T1w", "T1wCE", "T2w", "FLAIR", "tumor", "gradcam")


def keep_draft(
    session: Session, vault: Vault, who: Identity, upload: Upload, draft: Draft, typed: str | None, request: str | None
) -> Prediction:
    """Write an upload down as a draft of whoever sent it."""
    identity = drafts.identity_in(draft, typed)
    row = Prediction(
        id=upload.id,
        owner=who.user,
        patient=keep_patient(session, vault, identity) if identity else None,
        request=request,
        state="draft",
        created_at=now(),
        upload_bytes=upload.bytes,
        file_key_sealed=vault.seal(upload.key, _key_place(upload.id)),
        draft_sealed=drafts.sealed(vault, draft, upload.id),
        attempts=0,
        step="",
        steps_done=0,
        steps=0,
    )
    session.add(row)
    session.flush()
    note(session, who.user, "scans.uploaded", About(row.id), bytes=upload.bytes, files=len(upload.names))
    return row


def of_request(session: Session, user: str, request: str) -> Prediction | None:
    """Return the prediction that a user's request has made before, when it was sent the first time."""
    return session.scalar(select(Prediction).where(Prediction.owner == user, Prediction.request == request))


def check_room(session: Session, config: WebConfig, user: str) -> None:
    """Check that a user may upload now.

    Raises: Refused: the user has too many drafts, or the queue is full.
    """
    mine = select(func.count()).where(Prediction.owner == user, Prediction.state == "draft")
    if (session.scalar(mine) or 0) >= config.limits.drafts:
        raise Refused(
            429,
            f"You have {config.limits.drafts} uploads that were not started",
            fix="start or delete some of them",
            retry_after=60,
        )
    check_queue(session, config)


def check_queue(session: Session, config: WebConfig) -> None:
    """Check that a prediction can be queued.

    Raises: Refused: the queue is full.
    """
    if queue.waiting(session) >= config.limits.queue:
        raise Refused(429, "The queue is full", fix="try again in a minute", retry_after=60)


def correct(
    session: Session,
    vault: Vault,
    row: Prediction,
    study: str | None,
    chosen: Mapping[str, str | None] | None,
    typed: str | None,
    *,
    by: str,
) -> None:
    """Correct a draft: which study, which series is which, whose scans."""
    _demand(row, "draft")
    draft = drafts.corrected(drafts.opened(vault, row), study, chosen)
    identity = drafts.identity_in(draft, typed) if typed is not None else None
    if identity:
        row.patient = keep_patient(session, vault, identity)
    row.draft_sealed = drafts.sealed(vault, draft, row.id)
    note(session, by, "draft.corrected", About(row.id), chosen=sorted(chosen or {}), typed=typed is not None)


def start(session: Session, config: WebConfig, vault: Vault, row: Prediction, *, by: str) -> None:
    """Queue a draft; one that was started already stays as it is.

    Raises: Refused: it is not ready, was withdrawn, or the queue is full.
    """
    if row.state in (queue.WAITING, "running", "done"):
        return
    _demand(row, "draft")
    draft = drafts.opened(vault, row)
    drafts.check_ready(draft)
    check_queue(session, config)
    row.state, row.queued_at, row.content = queue.WAITING, now(), drafts.content_of(vault, draft)
    note(session, by, "prediction.asked", About(row.id))


def withdraw(session: Session, row: Prediction, *, by: str) -> None:
    """Take back a prediction that was not answered yet; its files are deleted by whoever calls, once that is durable.

    Raises: Refused: it was answered, and is kept as long as the hospital says.
    """
    if row.state in ("done", "withdrawn"):
        raise Refused(409, f"The prediction is {row.state}", fix="an administrator can erase a patient's data")
    row.state, row.finished_at, row.files_deleted_at = "withdrawn", now(), now()
    row.file_key_sealed = row.draft_sealed = row.lease_until = None
    note(session, by, "prediction.withdrawn", About(row.id))


def result_of(vault: Vault, row: Prediction) -> dict[str, Any] | None:
    """Return what a prediction that is done shows, or None."""
    if row.state != "done" or row.result_sealed is None:
        return None
    result: dict[str, Any] = vault.open_json(row.result_sealed, f"predictions.result/{row.id}")
    return result


def about(row: Prediction) -> About:
    """Return what an event about a prediction tells of it."""
    if row.state != "done":
        return About(row.id)
    return About(row.id, row.version, row.tumor_probability, row.mgmt_probability)


def file_key(vault: Vault, row: Prediction) -> bytes:
    """Return the key of a prediction's files.

    Raises: Refused: they were deleted.
    """
    if row.file_key_sealed is None:
        raise Refused(410, "The files of this prediction were deleted", fix="upload the scans again")
    return vault.open(row.file_key_sealed, _key_place(row.id))


def folder_of(config: WebConfig, identifier: str) -> Path:
    """Return where a prediction's files lie."""
    return config.files / identifier


def _demand(row: Prediction, state: str) -> None:
    if row.state != state:
        raise Refused(409, f"The prediction is {row.state} and no {state} any more", fix="upload the scans anew")


def _key_place(identifier: str) -> str:
    return f"predictions.file_key/{identifier}"
