"""The processes of a server: Gunicorn with the application, and the worker, under one supervisor."""

import atexit
import os
import sys
from datetime import timedelta
from pathlib import Path

from flask import Flask

from core.certificates import Use, certificate_text, issue, new_key, private_text
from core.config import load_config, overlay, validate
from core.errors import ConfigError
from core.files import private_folder, write_atomically, write_private
from core.imaging import sandbox
from core.supervision import Process
from webapp.app import create_app
from webapp.checkpoints import head_signer
from webapp.config import WebConfig
from webapp.guards import tell_counted
from webapp.request_log import log_to_stderr
from webapp.retention import clear_orphans
from webapp.scratch import clear_scratch

# Names the folder to the processes that are started here.
DATA = "GLIOFED_WEB_DATA"
# Under DATA, for as long as a restore is not done: nothing is served then.
RESTORING = ".restoring"
_CERTIFICATE_VALID = timedelta(days=397)
_GRACE_S = 12


def load_web(data: Path) -> WebConfig:
    """Return a server's settings: DATA/web.toml where there is one, and the environment.

    Raises: ConfigError: they are wrong, or there is no such folder.
    """
    data = data.expanduser().absolute()
    if not data.is_dir():
        raise ConfigError(f"There is no folder {data}", fix="make it, for this account alone")
    if (data / RESTORING).exists():
        raise ConfigError(
            f"A backup is being restored into {data}, or was and did not come to its end",
            fix="wait for it; where it was ended in the middle, run `fl-web restore` again, which begins anew",
        )
    return settings_in(data)


def settings_in(data: Path) -> WebConfig:
    """Return the settings of a folder that need not be a server's yet.

    Args:
        data: an absolute path.
    Raises: ConfigError: they are wrong.
    """
    settings: dict[str, object] = {"data": str(data)}
    path = data / "web.toml"
    if path.exists():
        return load_config(WebConfig, path).model_copy(update={"data": data})
    overlay(settings, os.environ, WebConfig)
    return validate(WebConfig, settings, "the environment")


def application() -> Flask:
    """Return the application, for Gunicorn."""
    log_to_stderr()
    sandbox.start()
    config = load_web(Path(os.environ[DATA]))
    app = create_app(config)
    clear_scratch(config)  # what the process before has left, if it was killed
    clear_orphans(app.extensions["gliofed-engine"], config, 0)
    atexit.register(tell_counted, app)
    return app


def processes_of(config: WebConfig, port: int, *, socket: str = "") -> list[Process]:
    """Return what runs on a server: the application, and the worker where scans are taken.

    Args:
        config: of the server.
        port: on 127.0.0.1, with HTTPS.
        socket: a Unix socket for Nginx instead, without.
    """
    head_signer(config)  # makes the key before two processes might
    environment = {**os.environ, DATA: str(config.data)}
    web = Process("web", _gunicorn(config, port, socket), environment)
    worker = Process("worker", [sys.executable, "-m", "webapp.worker_process"], environment)
    return [worker, web] if config.predicts else [web]


def _gunicorn(config: WebConfig, port: int, socket: str) -> list[str]:
    options = {
        "worker-class": "gthread",
        "workers": "1",
        "threads": str(config.server.threads),
        "timeout": "120",
        "graceful-timeout": str(_GRACE_S),
        "keep-alive": "5",
        "limit-request-line": "4094",
        "limit-request-fields": "64",
        "bind": f"unix:{socket}" if socket else f"127.0.0.1:{port}",
    }
    if not socket:
        certificate, key = development_certificate(config)
        options |= {"certfile": str(certificate), "keyfile": str(key)}
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "gunicorn", *flags, "--no-control-socket", "webapp.serving:application()"]


def development_certificate(config: WebConfig) -> tuple[Path, Path]:
    """Return a certificate that stands for this machine alone, and its key; made where there is none."""
    folder = private_folder(config.data / "tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if not (certificate.exists() and key.exists()):
        made = new_key()
        signed = issue(
            "GlioFed development", made.public_key(), _CERTIFICATE_VALID, Use.SERVER, made, hosts=config.server.hosts
        )
        write_private(key, private_text(made))
        write_atomically(certificate, certificate_text(signed))
    return certificate, key
