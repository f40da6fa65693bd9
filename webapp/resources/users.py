"""`/users`: who may sign in, as administrators see and change it."""

from typing import Any

from flask import Response, jsonify
from flask_restful import Resource
from flask_smorest import Blueprint
from sqlalchemy import select

from core.clock import now
from core.records.web_tables import User
from webapp import accounts
from webapp.database import looking, writing_engine
from webapp.guards import allow, vault, who
from webapp.schemas import NewUserSchema, UserChangeSchema

blueprint = Blueprint("users", __name__, description="Who may sign in")


@blueprint.route("/users")
class Users(Resource):
    """All users."""

    @allow("administrator")
    def get(self) -> Response:
        """List all users."""
        rows = looking().scalars(select(User).order_by(User.name)).all()
        return jsonify({"users": [_told(row) for row in rows]})

    @allow("administrator")
    @blueprint.arguments(NewUserSchema)
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

    @allow("administrator")
    @blueprint.arguments(UserChangeSchema)
    def patch(self, said: dict[str, Any], name: str) -> Response:
        """Change a user's role, password or second factor, disable, enable or unlock; sessions and tokens end."""
        engine, by = writing_engine(), who().user
        told: dict[str, Any] = {"name": name}
        if "role" in said or "disabled" in said:
            accounts.change_user(engine, name, by=by, role=said.get("role"), disabled=said.get("disabled"))
        if "password" in said:
            accounts.change_password(engine, name, said["password"], by=by)
        if "renew_second_factor" in said:
            told["totp_uri"] = accounts.renew_second_factor(engine, vault(), name, by=by).totp_uri
        if "unlock" in said:
            accounts.unlock(engine, name, by=by)
        return jsonify(told)


def _told(row: User) -> dict[str, Any]:
    return {
        "name": row.name,
        "role": row.role,
        "created_at": row.created_at,
        "disabled": row.disabled_at is not None,
        "locked": bool(row.locked_until and row.locked_until > now()),
        "signs_in_with": "password and code" if row.password_hash else "the hospital's sign-on",
    }
