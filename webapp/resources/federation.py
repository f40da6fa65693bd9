"""`/federation`: what a coordinator sees of sites and runs, while they run."""

from typing import Any

from flask import Response, jsonify
from flask_restful import Resource
from flask_smorest import Blueprint

from core.errors import FederationError
from core.records.runs import wish
from webapp import federation
from webapp.database import writing_engine
from webapp.errors import Refused, missing
from webapp.federation_answers import FederationAnswer, RunAnswer, RunWishAnswer
from webapp.guards import allow, settings, who
from webapp.journal import append
from webapp.schemas import RunWishSchema

blueprint = Blueprint("federation", __name__, description="The sites and the runs")


@blueprint.route("/federation")
class Federation(Resource):
    """Everything at one moment."""

    @allow("coordinator")
    @blueprint.response(200, FederationAnswer)
    def get(self) -> Response:
        """Say what each site does and what is wrong with it, and how far each run is."""
        _check_here()
        return jsonify(federation.whole(writing_engine(), settings()))


@blueprint.route("/federation/runs/<string:name>")
class OneRun(Resource):
    """One run."""

    @allow("coordinator")
    @blueprint.response(200, RunAnswer)
    def get(self, name: str) -> Response:
        """Return a run's rounds, scores, bytes, hours and privacy."""
        _check_here()
        return jsonify(federation.one_run(writing_engine(), settings(), name))


@blueprint.route("/federation/runs/<string:name>/wish")
class RunWish(Resource):
    """What a coordinator wants of a run."""

    @allow("coordinator", machines=False)
    @blueprint.arguments(RunWishSchema)
    @blueprint.response(202, RunWishAnswer)
    def post(self, given: dict[str, Any], name: str) -> Response:
        """Ask that a run stop, or go on from its last round: `fl-server` does it within seconds."""
        _check_here()
        federation.find_run(writing_engine(), name)
        try:
            wish(writing_engine(), name, given["wish"], actor=f"user:{who().user}", append=append)
        except FederationError as error:
            raise Refused(409, error.problem, fix="see the run's state") from None
        answer = jsonify({"run": name, "wish": given["wish"]})
        answer.status_code = 202
        return answer


def _check_here() -> None:
    if settings().site.serves != "coordinator":
        raise missing("federation")
