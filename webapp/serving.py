"""The processes of a server: Gunicorn with the application, and the worker, under one supervisor."""

import atexit
import fcntl
import os
import re
import signal
import socket
import sys
from datetime import timedelta
from pathlib import Path
from typing import IO

from flask import Flask

from core.certificates import Use, certificate_text, issue, new_key, private_text
from core.config import load_config, overlay, validate
from core.errors import ConfigError
from core.files import only_process, private_folder, write_atomically, write_private
from core.imaging import sandbox
from core.supervision import Process
from webapp.app import create_app
from webapp.checkpoints import head_signer
from webapp.config import WebConfig
from webapp.guards import tell_counted
from webapp.request_log import log_to_stderr
from webapp.retention import ORPHAN_S, clear_orphans
from webapp.scratch import clear_scratch
from webapp.vault import Vault

# Names the folder to the processes that are started here.
DATA = "GLIOFED_WEB_DATA"
# Names the server to its worker, where several share the folder.
SERVER = "GLIOFED_WEB_SERVER"
# Under DATA, for as long as a restore is not done: nothing is served then.
RESTORING = ".restoring"
_CERTIFICATE_VALID = timedelta(days=397)
# An upload over a slow line may take so long; a stop does not wait for it (core.supervision.STOP_S).
_GRACE_S = 300
# Of an open file that systemd hands over (sd_listen_fds(3)).
_FIRST_FD = 3


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
    lock, is_alone = _joined(config)
    # Others may be taking uploads: another server on this folder, or, after a reload, the process before.
    clear_orphans(app.extensions["gliofed-engine"], config, 0 if is_alone else ORPHAN_S)
    fcntl.flock(lock, fcntl.LOCK_SH)  # waits for whoever clears away
    app.extensions["gliofed-serving"] = lock  # for as long as this process lives
    atexit.register(tell_counted, app)
    return app


def place_of(data: Path, server: str) -> Path:
    """Return where a server's processes are noted and their logs lie: DATA, or the folder of one of several on it.

    Args:
        data: that they share.
        server: its name; "" where it needs none.
    Raises: ConfigError: this is no name.
    """
    if server and not re.fullmatch(r"[a-z0-9-]{1,20}", server):
        raise ConfigError("A server's name is up to 20 small letters, digits and -", fix="name it so, such as web-2")
    return data / "servers" / server if server else data


def processes_of(
    config: WebConfig, port: int, listener: socket.socket | None = None, server: str = ""
) -> list[Process]:
    """Return what runs on a server: the application, and the worker where scans are taken.

    Both read their settings anew when they are told to reload: requests in hand, and the prediction in hand, are
    finished first.

    Args:
        config: of the server.
        port: on 127.0.0.1, with HTTPS.
        listener: for Nginx instead, without; it stays open, and whoever calls waits, while the process is replaced.
        server: its name, where several share the folder.
    """
    with only_process(private_folder(config.data / "run") / "making.lock", None):  # the keys, before two might
        Vault(config.keys_path)
        head_signer(config)
        gunicorn = _gunicorn(config, port, listener)
    environment = {**os.environ, DATA: str(config.data), SERVER: server}
    inherits = (listener.fileno(),) if listener else ()
    web = Process("web", gunicorn, environment, inherits=inherits, reloads_by=signal.SIGHUP)
    worker = Process("worker", [sys.executable, "-m", "webapp.worker_process"], environment, reloads_by=signal.SIGTERM)
    return [worker, web] if config.predicts else [web]


def listen(path: Path) -> socket.socket:
    """Return the Unix socket that Nginx speaks to: systemd's where it holds one, else a new one.

    It is for this account and its group.

    Raises: ConfigError: another process listens there, or the path cannot be used.
    """
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=_FIRST_FD)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        _clear_stale(path)
        made.bind(str(path))
        made.listen(1024)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be listened on ({error.strerror or error})", fix="name a shorter path in a folder of yours"
        ) from None
    finally:
        os.umask(before)
    return made


def _clear_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        if asking.connect_ex(str(path)) == 0:
            raise ConfigError(f"Another process listens on {path}", fix="stop it first, or name another socket")
    path.unlink(missing_ok=True)


def _joined(config: WebConfig) -> tuple[IO[str], bool]:
    """Return the lock that all who serve a folder share, and whether nobody else has it; it is this process's then."""
    lock = (private_folder(config.data / "run") / "serving.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return lock, False
    return lock, True


def _gunicorn(config: WebConfig, port: int, listener: socket.socket | None) -> list[str]:
    options = {
        "config": "python:webapp.gunicorn_settings",
        "worker-class": "gthread",
        "workers": "1",
        "threads": str(config.server.threads),
        "timeout": "120",
        "graceful-timeout": str(_GRACE_S),
        "keep-alive": "5",
        "limit-request-line": "4094",
        "limit-request-fields": "64",
        "bind": f"fd://{listener.fileno()}" if listener else f"127.0.0.1:{port}",
    }
    if not listener:
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
