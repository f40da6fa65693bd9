"""`/users`: who may sign in and who is signed in, as administrators see and change it; none of it with a token."""

from typing import Any

from flask import Response, jsonify
from flask_restful import Resource
from flask_smorest import Blueprint
from sqlalchemy import select

from core.clock import now
from core.records.web_tables import User
from webapp import accounts
from webapp.answers import ChangedUserAnswer, NewUserAnswer, TokensAnswer, UsersAnswer
from webapp.credentials import revoke, valid_of
from webapp.database import looking, writing, writing_engine
from webapp.errors import missing
from webapp.guards import allow, settings, vault, who
from webapp.journal import note
from webapp.schemas import NewUserSchema, UserChangeSchema

blueprint = Blueprint("users", __name__, description="Who may sign in")


@blueprint.route("/users")
class Users(Resource):
    """All users."""

    @allow("administrator", machines=False)
    @blueprint.response(200, UsersAnswer)
    def get(self) -> Response:
        """List all users."""
        rows = looking().scalars(select(User).order_by(User.name)).all()
        return jsonify({"users": [told(row) for row in rows]})

    @allow("administrator", machines=False)
    @blueprint.arguments(NewUserSchema)
    @blueprint.response(201, NewUserAnswer)
    def post(self, given: dict[str, Any]) -> Response:
        """Make a user; the address for the authenticator app is shown once."""
        made = accounts.create_user(
            writing_engine(), vault(), given["name"], given["role"], given["password"], by=who().user
        )
        answer = jsonify({"name": made.name, "totp_uri": made.totp_uri})
        answer.status_code = 201
        return answer


@blueprint.route("/users/<string:name>")
class OneUser(Resource):
    """One user."""

    @allow("administrator", machines=False)
    @blueprint.arguments(UserChangeSchema)
    @blueprint.response(200, ChangedUserAnswer)
    def patch(self, said: dict[str, Any], name: str) -> Response:
        """Change a user's role, password or second factor, disable, enable or unlock; sessions and tokens end."""
        uri = accounts.change_user(writing_engine(), vault(), name, accounts.Change(**said), by=who().user)
        return jsonify({"name": name, **({"totp_uri": uri} if uri else {})})


@blueprint.route("/users/<string:name>/tokens")
class TokensOfUser(Resource):
    """A user's sessions and tokens."""

    @allow("administrator", machines=False)
    @blueprint.response(200, TokensAnswer)
    def get(self, name: str) -> Response:
        """List a user's sessions and tokens that are valid."""
        _check_there(name)
        return jsonify({"tokens": valid_of(looking(), name, settings().sign_in.idle_minutes * 60)})

    @allow("administrator", machines=False)
    @blueprint.response(204)
    def delete(self, name: str) -> Response:
        """End all of a user's sessions and tokens."""
        _check_there(name)
        with writing() as session:
            ended = accounts.revoke_all(session, name)
            note(session, who().user, "user.signed-out", who=name, ended=ended)
        return Response(status=204)


@blueprint.route("/users/<string:name>/tokens/<string:identifier>")
class TokenOfUser(Resource):
    """One of a user's sessions and tokens."""

    @allow("administrator", machines=False)
    @blueprint.response(204)
    def delete(self, name: str, identifier: str) -> Response:
        """End one of a user's sessions or tokens."""
        with writing() as session:
            if not revoke(session, identifier, name):
                raise missing("token")
            note(session, who().user, "token.revoked", who=name, token=identifier)
        return Response(status=204)


def _check_there(name: str) -> None:
    found = looking().get(User, name) if accounts.NAME.fullmatch(name) else None
    if found is None:
        raise missing("user")


def told(row: User) -> dict[str, Any]:
    """Return what is shown of a user."""
    return {
        "name": row.name,
        "role": row.role,
        "created_at": row.created_at,
        "disabled": row.disabled_at is not None,
        "locked": bool(row.locked_until and row.locked_until > now()),
        "signs_in_with": "the hospital's sign-on" if row.subject else "password and code",
    }
