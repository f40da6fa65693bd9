"""A prediction as JSON: what a page or a machine sees of it."""

from typing import Any

from sqlalchemy.orm import Session

from core.records.web_tables import Patient, Prediction
from webapp import drafts, predictions, queue
from webapp.drafts import Draft
from webapp.patients import identity_of
from webapp.vault import Vault


def brief(row: Prediction) -> dict[str, Any]:
    """Return a line of a list; without the result, whose showing is an event."""
    return {
        "id": row.id,
        "owner": row.owner,
        "patient": row.patient,
        "state": row.state,
        "created_at": row.created_at,
        "queued_at": row.queued_at,
        "finished_at": row.finished_at,
        "version": row.version,
        "files": row.files_deleted_at is None,
    }


def listed(session: Session, vault: Vault, row: Prediction) -> dict[str, Any]:
    """Return a line of a user's own list: it says whose scans they are."""
    patient = session.get(Patient, row.patient) if row.patient else None
    return {**brief(row), "identity": identity_of(vault, patient) if patient else None}


def whole(session: Session, vault: Vault, row: Prediction) -> dict[str, Any]:
    """Return everything of a prediction: whose it is, the draft, how far it is, the result or why there is none."""
    return {
        **listed(session, vault, row),
        "draft": _draft(drafts.opened(vault, row), row.id) if row.draft_sealed else None,
        "progress": _progress(session, row),
        "failure": queue.failure_of(vault, row) if row.state == "failed" else None,
        "result": predictions.result_of(vault, row),
    }


def _progress(session: Session, row: Prediction) -> dict[str, Any] | None:
    if row.state == queue.WAITING:
        return {"step": "waiting", "done": 0, "of": 0, "before": queue.place_in_queue(session, row)}
    if row.state == "running":
        return {"step": row.step, "done": row.steps_done, "of": row.steps, "before": 0}
    return None


def _draft(draft: Draft, identifier: str) -> dict[str, Any]:
    series = [
        {**one, "thumbnail": f"/predict/{identifier}/thumbnails/{one['key']}" if one["thumbnail"] else None}
        for one in draft.series
    ]
    return {
        "studies": [{"key": one["key"], "date": one["date"]} for one in draft.studies],
        "series": series,
        "study": draft.study,
        "chosen": draft.chosen,
        "missing": draft.missing,
        "ready": draft.study is not None and not draft.missing,
    }
