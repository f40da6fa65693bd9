"""`/session`: signing in and out; `/tokens`: what stands for a machine."""

from typing import Any

from flask import Response, jsonify
from flask_restful import Resource
from flask_smorest import Blueprint
from sqlalchemy import select

from core.clock import now
from core.records.web_tables import Credential
from webapp.accounts import sign_in
from webapp.credentials import Identity, csrf_token, find, open_credential, revoke
from webapp.database import looking, writing, writing_engine
from webapp.errors import Refused, missing
from webapp.guards import COOKIE, address, allow, open_to_all, settings, vault, who
from webapp.journal import note
from webapp.limits import sign_in_limit
from webapp.schemas import NewTokenSchema, SignInSchema

blueprint = Blueprint("session", __name__, description="Who you are")


@blueprint.route("/session")
class Session(Resource):
    """The session of a browser."""

    @open_to_all
    @sign_in_limit
    @blueprint.arguments(SignInSchema)
    def post(self, given: dict[str, Any]) -> Response:
        """Sign in; the answer sets the session's cookie and holds what to send as `X-CSRF-Token` with every change."""
        config = settings().sign_in
        sign_in(writing_engine(), vault(), config, given["name"], given["password"], given["code"], address())
        return signed_in(given["name"])

    @allow()
    def get(self) -> Response:
        """Say who is signed in, and as what."""
        return jsonify(_told(who()))

    @allow()
    def delete(self) -> Response:
        """Sign out."""
        with writing() as session:
            revoke(session, who().credential)
            note(session, who().user, "signed.out")
        answer = Response(status=204)
        answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="Strict")
        return answer


def signed_in(user: str, *, samesite: str = "Strict") -> Response:
    """Return what is answered to somebody who has just shown who they are."""
    hours = settings().sign_in.session_hours
    with writing() as session:
        secret, _ = open_credential(session, user, "session", "", hours * 3600)
    identity = find(looking(), secret, "session", settings().sign_in.idle_minutes * 60)
    if identity is None:
        raise Refused(401, "The account is disabled", fix="ask an administrator")
    answer = jsonify(_told(identity))
    answer.set_cookie(COOKIE, secret, max_age=hours * 3600, secure=True, httponly=True, samesite=samesite)
    return answer


@blueprint.route("/tokens")
class Tokens(Resource):
    """One's own sessions and tokens."""

    @allow()
    def get(self) -> Response:
        """List one's own sessions and tokens that are valid."""
        mine = (Credential.user == who().user, Credential.revoked_at.is_(None), Credential.expires_at > now())
        rows = looking().scalars(select(Credential).where(*mine).order_by(Credential.created_at)).all()
        return jsonify(
            {
                "tokens": [
                    {
                        name: getattr(row, name)
                        for name in ("id", "kind", "label", "created_at", "seen_at", "expires_at")
                    }
                    for row in rows
                ]
            }
        )

    @allow()
    @blueprint.arguments(NewTokenSchema)
    def post(self, given: dict[str, Any]) -> Response:
        """Make a token for a machine, with one's own role; it is shown once."""
        if who().kind != "session":
            raise Refused(403, "A token cannot make tokens", fix="sign in with a browser")
        with writing() as session:
            secret, identifier = open_credential(session, who().user, "token", given["label"], given["days"] * 86_400)
            note(session, who().user, "token.made", token=identifier, days=given["days"])
        answer = jsonify({"id": identifier, "token": secret})
        answer.status_code = 201
        return answer


@blueprint.route("/tokens/<string:identifier>")
class Token(Resource):
    """One session or token."""

    @allow()
    def delete(self, identifier: str) -> Response:
        """End one of one's own sessions or tokens."""
        with writing() as session:
            if not revoke(session, identifier, who().user):
                raise missing("token")
            note(session, who().user, "token.revoked", token=identifier)
        return Response(status=204)


def _told(identity: Identity) -> dict[str, Any]:
    config = settings()
    return {
        "user": identity.user,
        "role": identity.role,
        "csrf": csrf_token(vault(), identity) if identity.kind == "session" else None,
        "serves": config.site.serves,
        "predicts": config.predicts,
    }
