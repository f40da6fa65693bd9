"""Several servers on one folder: what one makes, takes, clears away or signs, no other does again."""

import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from core.clock import after
from core.records.audit import append, sign_head, verify
from core.records.db import open_database, reading, transaction, unlogged
from core.records.web_tables import Prediction
from tests.deploy.factories_in_hand import at_once
from tests.webapp.factories import a_config, a_home, a_patient, a_server
from webapp import log, queue, retention, serving
from webapp.checkpoints import head_signer
from webapp.config import WorkerSettings
from webapp.vault import Vault


def test_a_worker_that_starts_takes_nothing_from_the_other_servers_worker(database: str, tmp_path: Path) -> None:
    server = a_server(a_config(tmp_path, database), {"anna": "clinician"})
    anna = server.browser("anna")
    identifier = anna.upload(a_patient(tmp_path / "scans"), wait=0).json["id"]
    first, second = server.worker(), server.worker()
    second.server = "web-2"
    job = queue.claim(server.engine, first.name, WorkerSettings())
    assert job
    queue.give_back(server.engine, second.name, counts=True)  # as it does when it starts
    assert queue.renew(server.engine, job, first.name, 60, "read", 1, 6)
    assert anna.get(f"/predict/{identifier}").json["state"] == "running"
    server.engine.dispose()


def test_two_servers_that_start_first_at_the_same_time_make_one_set_of_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set[tuple[bytes, bytes]]()

    def vault_of(path: Path) -> None:
        seen.add((Vault(path).keys.hashing, Vault(path).keys.sealing[1]))

    monkeypatch.setattr(serving, "Vault", vault_of)
    config = a_config(tmp_path)
    at_once(*[lambda: serving.processes_of(config, 8443)] * 8)
    assert len(seen) == 1


def test_two_workers_that_clear_away_at_once_note_each_thing_once(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = a_server(a_config(tmp_path, database), {"anna": "clinician"})
    draft = server.browser("anna").upload(a_patient(tmp_path / "scans")).json["id"]
    with unlogged(server.engine) as session:
        session.execute(update(Prediction).values(created_at=after(-25 * 3600)))
    look, both_have_looked = retention._those, Barrier(2)

    def those(*asked: Any) -> list[str]:
        found = look(*asked)
        both_have_looked.wait()
        return found

    monkeypatch.setattr(retention, "_those", those)
    at_once(*[lambda: retention.clear_away(server.engine, server.config)] * 2)
    with reading(server.engine) as session:
        events = log.page(session, server.vault, {"case": draft}, 100)[0]
    assert [event["action"] for event in events].count("draft.expired") == 1
    server.engine.dispose()


def test_two_workers_sign_the_heads_of_one_log_in_turns(database: str, tmp_path: Path) -> None:
    signer = head_signer(a_config(tmp_path, database))

    def work() -> None:
        assert signer.private
        engine = open_database(database)
        for number in range(20):
            with transaction(engine) as session:
                append(session, "service", "test.done", number=number)
            sign_head(engine, signer.private, signer.checkpoints)
        engine.dispose()

    at_once(work, work)
    engine = open_database(database)
    verified = verify(engine, signer.checkpoints, signer.public)
    assert verified.events == 40
    assert 20 <= verified.checkpoints <= 40
    engine.dispose()


def test_a_socket_that_systemd_holds_stays_when_its_server_stops(tmp_path: Path) -> None:
    home, path = a_home(tmp_path / "home"), tmp_path / "web.sock"
    argv = [sys.executable, "-m", "webapp", "run", "--data", str(tmp_path / "data"), "--socket", str(path)]
    held = ["systemd-socket-activate", f"--listen={path}", f"--setenv=FL_HOME={home}"]
    with subprocess.Popen([*held, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            with socket.socket(socket.AF_UNIX) as asking:
                while asking.connect_ex(str(path)) != 0:
                    time.sleep(0.05)
            with httpx.Client(base_url="http://localhost", transport=httpx.HTTPTransport(uds=str(path))) as client:
                assert client.get("/healthz", timeout=60).status_code == 200  # waited until somebody was there
        finally:
            server.terminate()
    assert server.returncode == 0
    assert path.exists()
