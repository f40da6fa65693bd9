"""`/log`: users say what they did with a result; auditors read, export and verify what everybody did."""

from typing import Any

from flask import Response, jsonify
from flask_restful import Resource
from flask_smorest import Blueprint
from marshmallow import RAISE

from core.clock import now
from core.errors import AuditError
from core.records.web_tables import Feedback
from webapp import log, predictions
from webapp.access import row_for
from webapp.answers import LogAnswer, SaidAnswer, VerifiedAnswer
from webapp.database import looking, writing, writing_engine
from webapp.described import BYTES
from webapp.errors import Refused
from webapp.guards import allow, settings, vault, who
from webapp.journal import note
from webapp.schemas import ExportSchema, LogSchema, SaidSchema
from webapp.verification import verify_whole

blueprint = Blueprint("log", __name__, description="Who did what, when, and what was predicted")


@blueprint.route("/log")
class Log(Resource):
    """The audit log."""

    @allow("clinician")
    @blueprint.arguments(SaidSchema)
    @blueprint.response(201, SaidAnswer)
    def post(self, said: dict[str, Any]) -> Response:
        """Record what you did with a result: viewed, downloaded, agreed or disagreed, with a comment if you like."""
        row = row_for(said["prediction"])
        if row.state != "done":
            raise Refused(409, "This prediction has no result", fix="wait until it is done")
        comment = said.get("comment")
        with writing() as session:
            mac = vault().mac("comment", comment) if comment else None
            about = predictions.about(row)
            seq = note(session, who().user, f"result.{said['action']}", about, **({"comment_mac": mac} if mac else {}))
            session.add(
                Feedback(
                    seq=seq,
                    prediction=row.id,
                    user=who().user,
                    at=now(),
                    said=said["action"],
                    comment_sealed=vault().seal(comment.encode(), f"feedback.comment/{seq}") if comment else None,
                    comment_mac=mac,
                )
            )
        answer = jsonify({"seq": seq})
        answer.status_code = 201
        return answer

    @allow("auditor")
    @blueprint.arguments(LogSchema, location="query", unknown=RAISE)
    @blueprint.response(200, LogAnswer)
    def get(self, wanted: dict[str, Any]) -> Response:
        """Read the log, newest first: by user, action, case, time and model. Reading it is an event too."""
        _note_reading(wanted, "log.read")
        events, more = log.page(looking(), vault(), wanted, wanted["limit"])
        return jsonify({"events": events, "next": more})


@blueprint.route("/log/export")
class LogExport(Resource):
    """The audit log as a file."""

    @allow("auditor")
    @blueprint.arguments(ExportSchema, location="query", unknown=RAISE)
    @blueprint.response(200, BYTES, content_type="text/csv")
    @blueprint.response(200, BYTES, content_type="application/x-ndjson")
    def get(self, wanted: dict[str, Any]) -> Response:
        """Export the log as CSV or JSON lines, by the same filters."""
        form = wanted.pop("form")
        _note_reading(wanted, "log.exported")
        wanted.pop("limit")
        lines = log.export(writing_engine(), vault(), wanted, form)
        answer = Response(lines, mimetype="text/csv" if form == "csv" else "application/x-ndjson")
        answer.headers["Content-Disposition"] = f'attachment; filename="log.{form}"'
        return answer


@blueprint.route("/log/verify")
class LogVerify(Resource):
    """Whether the log is what was written."""

    @allow("auditor")
    @blueprint.response(200, VerifiedAnswer)
    def post(self) -> Response:
        """Check every event against the chain and the signed heads; the answer names the first bad one."""
        try:
            verified = verify_whole(writing_engine(), settings())
            told: dict[str, Any] = {"intact": True, "events": verified.events, "signed_heads": verified.checkpoints}
        except AuditError as error:
            told = {"intact": False, "problem": error.problem, "fix": error.fix}
        with writing() as session:
            note(session, who().user, "log.verified", intact=told["intact"])
        return jsonify(told)


def _note_reading(wanted: dict[str, Any], action: str) -> None:
    told = {name: value for name, value in wanted.items() if name not in ("limit", "cursor")}
    with writing() as session:
        note(session, who().user, action, filters=told)
