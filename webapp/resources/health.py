"""`/healthz`, `/readyz` and `/metrics`: for whoever watches the server."""

from flask import Response, jsonify
from flask_restful import Resource
from flask_smorest import Blueprint
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from core.errors import FLError
from webapp.answers import AliveAnswer, ReadyAnswer, ServerAnswer
from webapp.database import writing_engine
from webapp.described import BYTES
from webapp.guards import allow, open_to_all, settings, vault
from webapp.measures import registry_of
from webapp.models import current
from webapp.readiness import unready
from webapp.server_state import server_state

blueprint = Blueprint("health", __name__, description="How the server does")


@blueprint.route("/healthz")
class Health(Resource):
    """Whether the process lives."""

    @open_to_all
    @blueprint.response(200, AliveAnswer)
    def get(self) -> Response:
        """Say that the process answers."""
        return jsonify({"alive": True})


@blueprint.route("/readyz")
class Readiness(Resource):
    """Whether predictions can be made."""

    @open_to_all
    @blueprint.response(200, ReadyAnswer)
    @blueprint.response(503, ReadyAnswer)
    def get(self) -> Response:
        """Say whether database, keys, disk, model and workers are there; which of them is not, and nothing more."""
        lacking = unready(writing_engine(), settings())
        answer = jsonify({"ready": not lacking, "lacking": lacking})
        answer.status_code = 503 if lacking else 200
        return answer


@blueprint.route("/server")
class ServerState(Resource):
    """How the server is set up and does."""

    @allow("administrator", machines=False)
    @blueprint.response(200, ServerAnswer)
    def get(self) -> Response:
        """Return readiness, the keys' state, retention, limits, the queue, and when the last backup was made."""
        return jsonify(server_state(writing_engine(), settings(), vault()))


@blueprint.route("/metrics")
class Metrics(Resource):
    """What Prometheus collects."""

    @allow("administrator")
    @blueprint.response(200, BYTES, content_type="text/plain")
    def get(self) -> Response:
        """Return queue, steps, parts, disks, certificates, the log's state, and a federation's sites and runs."""
        try:
            version = current(settings())
        except FLError:
            version = ""
        registry = registry_of(writing_engine(), settings(), version)
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
