"""`/predict`: a patient's scans in, a draft to look at, a prediction that says how sure it is, or why it is none."""

import re
import shutil
from typing import Any

from flask import Response, jsonify, request
from flask_restful import Resource
from flask_smorest import Blueprint
from marshmallow import RAISE
from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError

from core.imaging.volume import SEQUENCES
from core.records.web_tables import Prediction
from webapp import drafts, predictions, shown
from webapp.access import row_for, row_to_change
from webapp.credentials import Identity
from webapp.database import looking, writing
from webapp.described import BYTES
from webapp.errors import Refused
from webapp.guards import allow, check_still, settings, vault, waiting, who
from webapp.journal import note
from webapp.log import first_moment, last_moment
from webapp.patients import LONGEST_RECORD_NUMBER
from webapp.prediction_answers import PredictionAnswer, PredictionsAnswer
from webapp.schemas import CorrectionSchema, PredictionsSchema
from webapp.sealed_files import pieces_of, read_sealed
from webapp.uploads import receiving

blueprint = Blueprint("predict", __name__, description="A patient's scans in, a prediction out")

_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?:,|;|$)")
_UPLOAD = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["files"],
            "properties": {
                "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                "record_number": {"type": "string", "maxLength": LONGEST_RECORD_NUMBER},
                "study": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            },
        }
    },
    "application/zip": {"schema": {"type": "string", "format": "binary"}},
}
_FILE_TYPE = "application/gzip"


@blueprint.route("/predict")
class Predictions(Resource):
    """All of a user's predictions."""

    @allow("clinician")
    @blueprint.arguments(PredictionsSchema, location="query", unknown=RAISE)
    @blueprint.response(200, PredictionsAnswer)
    def get(self, wanted: dict[str, Any]) -> Response:
        """List one's own predictions, newest first."""
        query = select(Prediction).where(Prediction.owner == who().user)
        if "state" in wanted:
            query = query.where(Prediction.state == wanted["state"])
        if "since" in wanted:
            query = query.where(Prediction.created_at >= first_moment(wanted["since"]))
        if "until" in wanted:
            query = query.where(Prediction.created_at <= last_moment(wanted["until"]))
        if "cursor" in wanted:
            at, _, last = wanted["cursor"].partition("_")
            query = query.where(Prediction.created_at <= at, or_(Prediction.created_at < at, Prediction.id < last))
        ordered = query.order_by(Prediction.created_at.desc(), Prediction.id.desc()).limit(wanted["limit"] + 1)
        rows = looking().scalars(ordered).all()
        page = rows[: wanted["limit"]]
        more = f"{page[-1].created_at}_{page[-1].id}" if len(rows) > len(page) else None
        return jsonify({"predictions": [shown.listed(looking(), vault(), row) for row in page], "next": more})

    @allow("clinician")
    @blueprint.doc(requestBody={"required": True, "content": _UPLOAD})
    @blueprint.response(200, PredictionAnswer)
    @blueprint.response(202, PredictionAnswer)
    def post(self) -> Response:
        """Upload the scans of one patient: a zip, DICOM files, or four NIfTI files.

        A form with the files in `files`, whose names may hold folders, and perhaps `record_number` and `study`; or the
        bytes of a zip. The answer is a draft: what was found and what is missing. With `Prefer: wait=N` the prediction
        starts at once, and is waited for. The same `Idempotency-Key` again gives the same prediction.
        """
        config, identity = settings(), who()
        if not config.predicts:
            raise Refused(403, "No scans are taken here: they stay in their hospital", fix="use your hospital's server")
        wait = wait_asked()
        key = request.headers.get("Idempotency-Key", "")
        mac = vault().mac("request", f"{identity.user}\n{key}") if key else None
        before = predictions.of_request(looking(), identity.user, mac) if mac else None
        if before is not None:
            return _answer(before.id, wait)
        predictions.check_room(looking(), config, identity.user)
        looking().rollback()  # what follows takes a while
        identifier = _receive(identity, mac, start=wait is not None)
        return _answer(identifier, wait)


def _receive(identity: Identity, mac: str | None, *, start: bool) -> str:
    """Take an upload in, and return the id of its draft, or of the one that an equal request has made meanwhile."""
    config = settings()
    try:
        with receiving(request, config.files, config.limits) as (upload, fields):
            draft = drafts.draft_of(config, upload)
            if fields.get("study"):
                draft = drafts.corrected(draft, fields["study"], None)
            if start:
                drafts.check_ready(draft)
            with writing() as session:
                typed = fields.get("record_number")
                row = predictions.keep_draft(session, vault(), identity, upload, draft, typed, mac)
                if start:
                    predictions.start(session, config, vault(), row, by=identity.user)
            return upload.id
    except IntegrityError:
        before = predictions.of_request(looking(), identity.user, mac or "")
        if before is None:
            raise
        return before.id


@blueprint.route("/predict/<string:identifier>")
class OnePrediction(Resource):
    """One prediction."""

    @allow("clinician")
    @blueprint.response(200, PredictionAnswer)
    def get(self, identifier: str) -> Response:
        """Say how far a prediction is, and what it came to; seeing a result is an event of the log."""
        return _answer(identifier, wait_asked())

    @allow("clinician")
    @blueprint.arguments(CorrectionSchema)
    @blueprint.response(200, PredictionAnswer)
    def patch(self, said: dict[str, Any], identifier: str) -> Response:
        """Correct a draft: which study is meant, which series is which sequence, whose scans they are."""
        with writing() as session:
            row = row_to_change(session, identifier)
            typed = said.get("record_number")
            predictions.correct(session, vault(), row, said.get("study"), said.get("chosen"), typed, by=who().user)
        return _answer(identifier, None)

    @allow("clinician")
    @blueprint.response(204)
    def delete(self, identifier: str) -> Response:
        """Take back a draft, or a prediction that was not answered yet, and delete its scans."""
        with writing() as session:
            predictions.withdraw(session, row_to_change(session, identifier), by=who().user)
        shutil.rmtree(predictions.folder_of(settings(), identifier), ignore_errors=True)
        return Response(status=204)


@blueprint.route("/predict/<string:identifier>/start")
class Start(Resource):
    """The beginning of a prediction."""

    @allow("clinician")
    @blueprint.response(200, PredictionAnswer)
    @blueprint.response(202, PredictionAnswer)
    def post(self, identifier: str) -> Response:
        """Start a draft; with `Prefer: wait=N` its answer is waited for. Once more changes nothing."""
        wait = wait_asked()
        with writing() as session:
            row = row_to_change(session, identifier)
            predictions.start(session, settings(), vault(), row, by=who().user)
        return _answer(identifier, wait or 0)


@blueprint.route("/predict/<string:identifier>/thumbnails/<string:series>")
class Thumbnail(Resource):
    """A small picture of a series."""

    @allow("clinician")
    @blueprint.response(200, BYTES, content_type="image/png")
    def get(self, identifier: str, series: str) -> Response:
        """Return a series' middle slice as PNG."""
        row = row_for(identifier)
        if not re.fullmatch(r"[0-9a-f]{32}", series):
            raise Refused(404, "There is no such series", fix="take the keys of the draft's series")
        path = predictions.folder_of(settings(), row.id) / f"t{series}"
        key = predictions.file_key(vault(), row)
        if not path.exists():
            raise Refused(404, "There is no picture of this series", fix="take the keys of the draft's series")
        return Response(read_sealed(path, key), mimetype="image/png")


@blueprint.route("/predict/<string:identifier>/files/<string:name>")
class ResultFile(Resource):
    """A file for the viewer."""

    @allow("clinician")
    @blueprint.response(200, BYTES, content_type=_FILE_TYPE)
    def get(self, identifier: str, name: str) -> Response:
        """Return a sequence, the tumor map or Grad-CAM as .nii.gz, in the patient's space; an event of the log."""
        row = row_for(identifier)
        name = name.removesuffix(".nii.gz")
        if name not in predictions.RESULT_FILES or row.state != "done":
            names = ", ".join((*SEQUENCES, "tumor", "gradcam"))
            raise Refused(404, "There is no such file", fix=f"ask for {names} of a prediction that is done")
        source = looking().get(Prediction, row.same_as) if row.same_as else row
        key = predictions.file_key(vault(), source or row)
        path = predictions.folder_of(settings(), (source or row).id) / f"r{name}"
        if not path.exists():
            raise Refused(404, "This prediction has no such file", fix="see the result for what it has and why")
        with writing() as session:
            note(session, who().user, "file.shown", predictions.about(row), file=name)
        answer = Response(pieces_of(path, key), mimetype=_FILE_TYPE)
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}.nii.gz"'
        return answer


def wait_asked() -> int | None:
    """Return how long a request wants to wait (RFC 7240), or None where it does not say."""
    found = _WAIT.search(request.headers.get("Prefer", ""))
    return min(int(found[1]), settings().limits.wait_s) if found else None


def _answer(identifier: str, wait: int | None) -> Response:
    """Answer with a prediction as it is once it has ended or the wait is over; showing a result is an event."""
    looking().rollback()
    row = row_for(identifier)
    if wait and row.state in ("queued", "running"):
        looking().rollback()  # nothing is held while waiting
        waiting().until_ended(identifier, wait)
        check_still()
        row = row_for(identifier)
    body = shown.whole(looking(), vault(), row)
    if body["result"] is not None:
        with writing() as session:
            note(session, who().user, "result.shown", predictions.about(row))
    answer = jsonify(body)
    answer.status_code = 202 if request.method == "POST" and row.state not in ("done", "failed") else 200
    answer.headers["Location"] = f"/predict/{identifier}"
    if wait is not None:
        answer.headers["Preference-Applied"] = f"wait={wait}"
    return answer
