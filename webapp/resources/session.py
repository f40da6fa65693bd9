"""`/session`: signing in and out, with a password and a code, or by the hospital's own sign-on."""

from http import HTTPStatus
from typing import Any

from flask import Response, g, jsonify, redirect, request
from flask_restful import Resource
from flask_smorest import Blueprint

from webapp.answers import WaysAnswer, WhoAnswer
from webapp.credentials import Identity, csrf_token, find, revoke
from webapp.database import looking, writing, writing_engine
from webapp.errors import Denied
from webapp.guards import COOKIE, address, allow, open_to_all, settings, vault, who
from webapp.journal import note
from webapp.limits import sign_in_limit
from webapp.openid import FLOW_S, Flow, provider
from webapp.schemas import NewPasswordSchema, SignInSchema
from webapp.signing_in import Asker, enter, sign_in

blueprint = Blueprint("session", __name__, description="Who you are")

_FLOW_COOKIE = "__Host-gliofed-sign-on"
_SIGN_ON = "/session/openid"
_CALLBACK = f"{_SIGN_ON}/callback"


@blueprint.route("/session")
class Session(Resource):
    """The session of a browser."""

    @open_to_all
    @sign_in_limit
    @blueprint.arguments(SignInSchema)
    @blueprint.response(200, WhoAnswer)
    def post(self, given: dict[str, Any]) -> Response:
        """Sign in; the answer sets the session's cookie and holds what to send as `X-CSRF-Token` with every change."""
        config = settings().sign_in
        name, password, code = given["name"], given["password"], given["code"]
        secret = sign_in(writing_engine(), vault(), config, name, password, code, _asker())
        return _signed_in(secret)

    @allow()
    @blueprint.response(200, WhoAnswer)
    def get(self) -> Response:
        """Say who is signed in, and as what."""
        return jsonify(_told(who()))

    @allow()
    @blueprint.response(204)
    def delete(self) -> Response:
        """Sign out."""
        with writing() as session:
            revoke(session, who().credential)
            note(session, who().user, "signed.out")
        answer = Response(status=204)
        answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="Strict")
        return answer


@blueprint.route("/session/ways")
class Ways(Resource):
    """How one can sign in here."""

    @open_to_all
    @blueprint.response(200, WaysAnswer)
    def get(self) -> Response:
        """Say whether the hospital's own sign-on is set up, and whether who asks is signed in already."""
        return jsonify({"openid": bool(settings().openid.issuer), "signed_in": g.identity is not None})


@blueprint.route("/session/password")
class Password(Resource):
    """One's own password."""

    @allow(machines=False)
    @sign_in_limit
    @blueprint.arguments(NewPasswordSchema)
    @blueprint.response(200, WhoAnswer)
    def put(self, given: dict[str, Any]) -> Response:
        """Take another password; every other session and token of one's own ends, and this one is renewed."""
        config = settings().sign_in
        password, code, new = given["password"], given["code"], given["new_password"]
        secret = sign_in(writing_engine(), vault(), config, who().user, password, code, _asker(), new_password=new)
        return _signed_in(secret)


@blueprint.route(_SIGN_ON)
class SignOn(Resource):
    """The way to the hospital's own sign-on (OpenID Connect)."""

    @open_to_all
    @sign_in_limit
    @blueprint.response(302)
    def get(self) -> Response:
        """Lead the browser to the hospital's sign-on; what must come back the same lies sealed in a cookie."""
        where, flow = provider().begin(_callback())
        answer: Response = redirect(where)  # type: ignore[assignment]
        # Lax: the way back begins at another site, and must bring it along.
        answer.set_cookie(
            _FLOW_COOKIE, flow.sealed(vault()), max_age=FLOW_S, secure=True, httponly=True, samesite="Lax"
        )
        return answer


@blueprint.route(_CALLBACK)
class SignOnCallback(Resource):
    """The way back from the hospital's own sign-on."""

    @open_to_all
    @sign_in_limit
    @blueprint.response(302)
    def get(self) -> Response:
        """Sign in whom the hospital's sign-on vouches for, with the role of their groups, and lead to the pages."""
        flow = Flow.opened(vault(), request.cookies.get(_FLOW_COOKIE, ""))
        person = provider().finish(flow, request.args.to_dict(), _callback(), vault())
        secret = enter(writing_engine(), settings().sign_in, person, _asker())
        answer: Response = redirect("/app/")  # type: ignore[assignment]
        _set_cookie(answer, secret)
        answer.delete_cookie(_FLOW_COOKIE, secure=True, httponly=True, samesite="Lax")
        return answer


@blueprint.after_request
def _lead_back(answer: Response) -> Response:
    """Lead a browser whose sign-on failed to the pages, which tell why; it would show the JSON as it is."""
    is_page = request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"
    if request.path in (_SIGN_ON, _CALLBACK) and answer.status_code >= HTTPStatus.BAD_REQUEST and is_page:
        return redirect(f"/app/?sign-on={answer.status_code}")  # type: ignore[return-value]
    return answer


def _callback() -> str:
    """Return the address that the hospital's sign-on knows us by; the host is one of the settings'."""
    return f"https://{request.host}{_CALLBACK}"


def _asker() -> Asker:
    identity: Identity | None = g.identity
    return Asker(address(), identity.credential if identity and identity.kind == "session" else "")


def _signed_in(secret: str) -> Response:
    """Return what is answered to somebody who has just shown who they are."""
    looking().rollback()
    identity = find(looking(), secret, "session", settings().sign_in.idle_minutes * 60)
    if identity is None:  # disabled within the last milliseconds
        raise Denied(401, "You are not signed in any more", fix="ask an administrator")
    answer = jsonify(_told(identity))
    _set_cookie(answer, secret)
    return answer


def _set_cookie(answer: Response, secret: str) -> None:
    hours = settings().sign_in.session_hours
    answer.set_cookie(COOKIE, secret, max_age=hours * 3600, secure=True, httponly=True, samesite="Strict")


def _told(identity: Identity) -> dict[str, Any]:
    config = settings()
    return {
        "user": identity.user,
        "role": identity.role,
        "credential": identity.credential,
        "has_password": identity.has_password,
        "csrf": csrf_token(vault(), identity) if identity.kind == "session" else None,
        "serves": config.site.serves,
        "predicts": config.predicts,
        "upload_mb": config.limits.upload_mb,
    }
