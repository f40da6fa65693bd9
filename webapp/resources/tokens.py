"""`/tokens`: what stands for oneself, in a browser or in a machine."""

from typing import Any

from flask import Response, jsonify
from flask_restful import Resource
from flask_smorest import Blueprint

from core.records.web_tables import User
from webapp.answers import NewTokenAnswer, TokensAnswer
from webapp.credentials import open_credential, revoke, valid_of
from webapp.database import looking, writing
from webapp.errors import Refused, missing
from webapp.guards import allow, settings, who
from webapp.journal import note
from webapp.schemas import NewTokenSchema

blueprint = Blueprint("tokens", __name__, description="What stands for you")

_MOST = 50


@blueprint.route("/tokens")
class Tokens(Resource):
    """One's own sessions and tokens."""

    @allow()
    @blueprint.response(200, TokensAnswer)
    def get(self) -> Response:
        """List one's own sessions and tokens that are valid."""
        return jsonify({"tokens": valid_of(looking(), who().user, settings().sign_in.idle_minutes * 60)})

    @allow(machines=False)
    @blueprint.arguments(NewTokenSchema)
    @blueprint.response(201, NewTokenAnswer)
    def post(self, given: dict[str, Any]) -> Response:
        """Make a token for a machine, with one's own role; it is shown once."""
        identity = who()
        with writing() as session:
            user = session.get(User, identity.user)
            if user is None or user.subject is not None:
                # The hospital's sign-on says when somebody leaves; a token would go on until it expires.
                raise Refused(
                    403,
                    "Users of the hospital's own sign-on have no tokens",
                    fix="ask an administrator for an account of the machine's own",
                )
            if len(valid_of(session, identity.user, 0)) >= _MOST:
                raise Refused(409, f"You have {_MOST} tokens", fix="end those that nothing uses any more")
            secret, identifier = open_credential(
                session, identity.user, "token", given["label"], given["days"] * 86_400
            )
            note(session, identity.user, "token.made", token=identifier, days=given["days"])
        answer = jsonify({"id": identifier, "token": secret})
        answer.status_code = 201
        return answer


@blueprint.route("/tokens/<string:identifier>")
class Token(Resource):
    """One session or token."""

    @allow()
    @blueprint.response(204)
    def delete(self, identifier: str) -> Response:
        """End one of one's own sessions or tokens."""
        with writing() as session:
            if not revoke(session, identifier, who().user):
                raise missing("token")
            note(session, who().user, "token.revoked", token=identifier)
        return Response(status=204)
