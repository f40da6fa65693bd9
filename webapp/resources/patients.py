"""`/patients`: by a record number that somebody types, a patient's predictions, and the rights that the law gives."""

from typing import Any

from flask import Response, jsonify
from flask_restful import Resource
from flask_smorest import Blueprint
from sqlalchemy import select

from core.records.web_tables import Prediction
from webapp import erasure, shown
from webapp.access import access_to
from webapp.answers import ErasedAnswer, ExportAnswer, PatientAnswer
from webapp.database import looking, writing, writing_engine
from webapp.errors import Denied
from webapp.guards import allow, settings, vault, who
from webapp.journal import note
from webapp.patients import find_patient
from webapp.schemas import RecordNumberSchema

blueprint = Blueprint("patients", __name__, description="A patient, by the record number")


@blueprint.route("/patients/find")
class FindPatient(Resource):
    """A patient's predictions."""

    @allow("clinician")
    @blueprint.arguments(RecordNumberSchema)
    @blueprint.response(200, PatientAnswer)
    def post(self, given: dict[str, Any]) -> Response:
        """List a patient's predictions, whoever asked for them; `access`, sent as `X-Patient-Access`, opens them."""
        patient = find_patient(looking(), vault(), given["record_number"])
        if patient is None:
            raise Denied(404, "There is no patient of this record number", fix="check the number")
        query = select(Prediction).where(Prediction.patient == patient.id).order_by(Prediction.created_at.desc())
        rows = [shown.brief(row) for row in looking().scalars(query.limit(500))]
        identifier = patient.id
        with writing() as session:
            note(session, who().user, "patient.opened", patient=identifier)
        return jsonify({"patient": identifier, "predictions": rows, "access": access_to(who(), identifier)})


@blueprint.route("/patients/export")
class ExportPatient(Resource):
    """What is stored of a patient (GDPR article 15)."""

    @allow("administrator", machines=False)
    @blueprint.arguments(RecordNumberSchema)
    @blueprint.response(200, ExportAnswer)
    def post(self, given: dict[str, Any]) -> Response:
        """Return everything that is stored of a patient, but for the scans and viewer files, which it lists."""
        return jsonify(erasure.export(writing_engine(), vault(), given["record_number"], by=who().user))


@blueprint.route("/patients/erase")
class ErasePatient(Resource):
    """The end of what is stored of a patient (GDPR article 17)."""

    @allow("administrator", machines=False)
    @blueprint.arguments(RecordNumberSchema)
    @blueprint.response(200, ErasedAnswer)
    def post(self, given: dict[str, Any]) -> Response:
        """Erase a patient: name, scans, results and comments; the log's chain stays whole, and names nobody."""
        count = erasure.erase(writing_engine(), settings(), vault(), given["record_number"], by=who().user)
        return jsonify({"predictions": count})
