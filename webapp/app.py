"""The web application: Flask, one module a resource, its contract at /openapi.json."""

import time
import uuid
from pathlib import Path

from flask import Flask, Response, g, redirect, request, send_from_directory
from flask_cors import CORS
from flask_smorest import Api
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.middleware.proxy_fix import ProxyFix

from core.files import private_folder
from webapp import errors, guards, limits
from webapp.config import WebConfig
from webapp.database import connect
from webapp.openid import Provider
from webapp.request_log import log_request
from webapp.resources import federation, health, log, patients, predict, session, tokens, users, versions
from webapp.schemas import ErrorSchema
from webapp.vault import Vault
from webapp.waiting import Waiting

PAGES = Path(__file__).parent / "pages"
# Of requests that are no upload.
_BODY_BYTES = 256 * 1024

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Strict-Transport-Security": "max-age=63072000",
}
_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self' blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Contract(Api):
    """Flask-smorest's, but for its errors: ours are a problem and a fix."""

    ERROR_SCHEMA = ErrorSchema

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer a failure of the framework's own kinds."""
        return errors.http_error(error)


def create_app(config: WebConfig) -> Flask:
    """Return the application.

    Args:
        config: read once by the command line; everything is written under its `data`.
    Raises:
        RecordsError: the database cannot be used.
        ConfigError: the keys cannot be read.
    """
    app = Flask(__name__, static_folder=None)
    app.config.update(
        GLIOFED=config,
        TRUSTED_HOSTS=list(config.server.hosts),
        MAX_CONTENT_LENGTH=_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=500_000,
        API_TITLE="GlioFed web predictor",
        API_VERSION="1",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={
            "info": {"description": "A research estimate that cannot replace the tissue test."},
            "security": [{"session": []}, {"token": []}],
        },
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    for folder in (config.data, config.files):
        private_folder(folder)
    if config.server.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=config.server.proxies, x_proto=1)  # type: ignore[method-assign]
    connect(app, config.database_url)
    app.extensions["gliofed-vault"] = Vault(config.keys_path)
    app.extensions["gliofed-waiting"] = Waiting(app.extensions["gliofed-engine"])
    if config.openid.issuer:
        app.extensions["gliofed-provider"] = Provider(config.openid)
    CORS(app, origins=list(config.server.origins), supports_credentials=True, max_age=600)
    app.before_request(_begin)
    guards.watch(app)
    limits.limit(app)
    contract = Contract(app)
    contract.spec.components.security_scheme("session", {"type": "apiKey", "in": "cookie", "name": guards.COOKIE})
    contract.spec.components.security_scheme("token", {"type": "http", "scheme": "bearer"})
    for module in (health, session, tokens, predict, log, patients, users, versions, federation):
        contract.register_blueprint(module.blueprint)
    errors.handle_errors(app)
    app.after_request(_finish)
    app.add_url_rule("/", view_func=_root)
    app.add_url_rule("/app/", view_func=_page, defaults={"path": ""})
    app.add_url_rule("/app/<path:path>", view_func=_page)
    return app


def _begin() -> None:
    g.began, g.request_id = time.monotonic(), uuid.uuid4().hex
    if request.endpoint == "predict.Predictions" and request.method == "POST":
        request.max_content_length = guards.settings().limits.upload_mb * 1_000_000 + _BODY_BYTES


def _finish(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    is_page = request.path.startswith("/app/")
    answer.headers.setdefault("Content-Security-Policy", _PAGE_POLICY if is_page else _API_POLICY)
    answer.headers.setdefault("Cache-Control", "no-store")
    answer.headers["X-Request-Id"] = g.get("request_id", "")
    log_request(answer)
    return answer


def _root() -> Response:
    return redirect("/app/")  # type: ignore[return-value]


def _page(path: str) -> Response:
    """Return a file of the pages; a page's own address returns the page that finds its way by it."""
    parts = path.split("/")
    if ".." in parts or "\\" in path:
        raise NotFound
    if "." not in parts[-1]:
        path = "index.html"
    answer = send_from_directory(PAGES, path)
    answer.headers["Cache-Control"] = "no-cache" if path == "index.html" else "public, max-age=31536000, immutable"
    return answer
