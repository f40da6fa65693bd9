"""`/versions`: the model versions, which is current, and what a coordinator wishes of them."""

from typing import Any

from flask import Response, jsonify
from flask_restful import Resource
from flask_smorest import Blueprint

from core.errors import FederationError, FLError
from core.records.decisions import wish_version
from core.records.registry import approved_versions, load_version, retired_versions
from core.records.runs import versions
from webapp.answers import CardAnswer, VersionsAnswer, WishAnswer
from webapp.database import writing_engine
from webapp.errors import Refused, missing
from webapp.guards import allow, settings, who
from webapp.journal import append
from webapp.models import current, trusted_key
from webapp.schemas import WishSchema

blueprint = Blueprint("versions", __name__, description="The model versions")


@blueprint.route("/versions")
class Versions(Resource):
    """All model versions that are known here."""

    @allow()
    @blueprint.response(200, VersionsAnswer)
    def get(self) -> Response:
        """List the model versions, oldest first, and say which is served."""
        config = settings()
        try:
            served: str | None = current(config)
        except FLError:
            served = None
        return jsonify({"current": served, "versions": _listed(served)})


@blueprint.route("/versions/<string:name>")
class OneVersion(Resource):
    """One model version."""

    @allow()
    @blueprint.response(200, CardAnswer)
    def get(self, name: str) -> Response:
        """Return a version's card: what it is, what it was trained on, how good it is, what it does not know."""
        if name not in {one["name"] for one in _listed(None)}:
            raise missing("model version")
        stored = load_version(settings().site.registry / name)
        return jsonify({"name": name, "card": stored.card})


@blueprint.route("/versions/<string:name>/wish")
class Wish(Resource):
    """What a coordinator wants of a version."""

    @allow("coordinator", machines=False)
    @blueprint.arguments(WishSchema)
    @blueprint.response(202, WishAnswer)
    def post(self, given: dict[str, Any], name: str) -> Response:
        """Ask that a version be approved or retired: `fl-server`, which holds the key, signs it within seconds."""
        if settings().site.serves != "coordinator" or name not in {one["name"] for one in _listed(None)}:
            raise missing("model version")
        try:
            wish_version(writing_engine(), name, given["wish"], actor=f"user:{who().user}", append=append)
        except FederationError as error:
            raise Refused(409, error.problem, fix="see /versions for what each is") from None
        answer = jsonify({"name": name, "wish": given["wish"]})
        answer.status_code = 202
        return answer


def _listed(served: str | None) -> list[dict[str, Any]]:
    config = settings()
    if config.site.serves == "coordinator":
        return [
            {
                "name": row.name,
                "state": row.state,
                "current": row.name == served,
                "created_at": row.created_at,
                "wish": row.wish,
                "cause": row.cause,
            }
            for row in versions(writing_engine())
        ]
    trusted = trusted_key(config)
    states = dict.fromkeys(retired_versions(config.site.registry, trusted), "retired")
    states |= dict.fromkeys(approved_versions(config.site.registry, trusted), "approved")
    return [{"name": name, "state": state, "current": name == served} for name, state in sorted(states.items())]
