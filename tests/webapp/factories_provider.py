"""A provider of OpenID Connect as a hospital has one: a process of its own, which vouches for whom it is told of."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

ROLES = {"mri-readers": "clinician", "it": "administrator"}


@contextmanager
def a_provider(port: int) -> Iterator[str]:
    """A provider at a port; with it, its keys come and go."""
    issuer = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    environment = {**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            _wait_until_it_listens(port, process)
            yield issuer
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise AssertionError("the provider did not start")


def vouch(issuer: str, subject: str, name: str, groups: object, **claims: object) -> None:
    """Let a provider say this of somebody."""
    said = {"preferred_username": name, "groups": groups, **claims}
    assert httpx.put(f"{issuer}/users/{subject}", json=said).status_code == 204


def openid_settings(issuer: str, **more: object) -> dict[str, object]:
    """Return a server's settings for a provider."""
    return {"issuer": issuer, "client_id": "gliofed", "client_secret": "s", "roles": ROLES, **more}
