"""What is kept no longer goes, each with its event, and nothing else does."""

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import update

from core.clock import after
from core.records.db import reading, unlogged
from core.records.web_tables import Prediction
from tests.webapp.factories import Server, a_config, a_home, a_patient, a_server
from webapp import log
from webapp.retention import clear_away

HOUR = 3600


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def server(tmp_path: Path, home: Path) -> Server:
    kept = {"draft_hours": 2, "upload_hours": 3, "result_days": 1}
    return a_server(a_config(tmp_path, "", home, retention=kept), {"anna": "clinician"})


def age(server: Server, identifier: str, hours: float) -> None:
    """Make a prediction older than it is."""
    then = after(-hours * HOUR)
    with unlogged(server.engine) as session:
        row = session.get(Prediction, identifier)
        assert row is not None
        row.created_at = then
        if row.finished_at:
            session.execute(update(Prediction).where(Prediction.id == identifier).values(finished_at=then))


def actions(server: Server, identifier: str) -> list[str]:
    with reading(server.engine) as session:
        return [event["action"] for event in log.page(session, server.vault, {"case": identifier}, 100)[0]]


def test_a_draft_that_was_not_started_goes_after_its_time(server: Server, tmp_path: Path) -> None:
    anna = server.browser("anna")
    old, young = (anna.upload(a_patient(tmp_path / str(n), seed=n)).json["id"] for n in (1, 2))
    age(server, old, 2.1)
    age(server, young, 1.9)
    clear_away(server.engine, server.config)
    assert not (server.config.files / old).exists()
    assert (server.config.files / young).exists()
    assert anna.get(f"/predict/{old}").json["state"] == "withdrawn"
    assert anna.get(f"/predict/{young}").json["state"] == "draft"
    assert actions(server, old)[0] == "draft.expired"
    clear_away(server.engine, server.config)
    assert actions(server, old).count("draft.expired") == 1


def test_scans_go_first_and_the_result_a_year_later(server: Server, tmp_path: Path) -> None:
    anna = server.browser("anna")
    identifier = anna.upload(a_patient(tmp_path / "p"), wait=0).json["id"]
    server.work()
    names = anna.get(f"/predict/{identifier}").json["result"]["files"]
    age(server, identifier, 3.1)
    clear_away(server.engine, server.config)
    left = sorted(path.name for path in (server.config.files / identifier).iterdir())
    assert left == sorted(f"r{name}" for name in names)
    shown = anna.get(f"/predict/{identifier}").json
    assert shown["draft"] is None
    assert shown["result"]
    assert anna.get(f"/predict/{identifier}/files/{names[0]}").status_code == 200
    age(server, identifier, 25)
    clear_away(server.engine, server.config)
    assert not (server.config.files / identifier).exists()
    gone = anna.get(f"/predict/{identifier}").json
    assert (gone["state"], gone["result"], gone["files"]) == ("done", None, False)
    assert actions(server, identifier)[:1] == ["result.expired"]


def test_a_folder_that_a_killed_process_left_behind_goes_and_a_fresh_one_stays(server: Server) -> None:
    left, fresh = server.config.files / ("a" * 32), server.config.files / ("b" * 32)
    for folder in (left, fresh):
        folder.mkdir(parents=True)
        (folder / "u00000").write_bytes(b"x")
    then = time.time() - 7 * HOUR
    os.utime(left, (then, then))
    clear_away(server.engine, server.config)
    assert (left.exists(), fresh.exists()) == (False, True)
