"""Web, worker and database are killed while clients ask for predictions: none is lost, none is made twice."""

from io import BytesIO
from pathlib import Path

import pytest
from flask import Request
from sqlalchemy import Engine, text
from werkzeug.test import EnvironBuilder

from core.errors import RecordsError
from tests.factories_mariadb import mariadb
from tests.webapp.factories import a_config, a_home, a_patient, a_server
from tests.webapp.factories_drill import DURABLE, Clients, shortcomings, strike, until_one_runs
from tests.webapp.factories_running import coarse_cases, running
from webapp.database import looking
from webapp.retention import clear_orphans
from webapp.uploads import receiving

PREDICTIONS = 6


def test_whatever_is_killed_every_request_has_one_answer_and_one_event(tmp_path: Path) -> None:
    names = ["anna", "ben"]
    home = a_home(tmp_path / "home")
    with (
        mariadb(*DURABLE) as database,
        running(tmp_path, home, dict.fromkeys(names, "clinician"), database.fresh()) as server,
    ):
        clients = Clients(server, coarse_cases(tmp_path / "case"), PREDICTIONS)
        with clients.at_work(names):
            until_one_runs(server, clients)
            struck = [strike(server, database, "worker")]
            clients.until(1)
            clients.until_sending()
            struck += [strike(server, database, "web")]
            clients.until(3)
            until_one_runs(server, clients)
            struck += [strike(server, database, "database")]
        assert clients.answered == PREDICTIONS
        assert shortcomings(server, clients) == []
    assert struck == [True, True, True]
    assert clients.answers[-1] + clients.answers[503] > 0


def test_a_database_that_dies_within_a_request_breaks_neither_its_end_nor_the_next_one(tmp_path: Path) -> None:
    with mariadb(*DURABLE) as database:
        server = a_server(a_config(tmp_path, database.fresh()), {"anna": "clinician"})
        for _ in range(2):
            with server.app.app_context():
                assert looking().scalar(text("SELECT 1")) == 1
                database.crash()
        assert server.browser("anna").get("/session").status_code == 200
        server.engine.dispose()


def test_what_a_killed_server_left_goes_when_it_starts_and_what_is_somebodys_stays(
    engine: Engine, tmp_path: Path
) -> None:
    config = a_config(tmp_path, engine.url.render_as_string(hide_password=False))
    server = a_server(config, {"anna": "clinician"})
    anna = server.browser("anna")
    kept, withdrawn = (anna.upload(a_patient(tmp_path / str(seed), seed=seed)).json["id"] for seed in (1, 2))
    assert anna.delete(f"/predict/{withdrawn}").status_code == 204
    for left in (withdrawn, "0" * 32):  # killed before it had deleted them, and within an upload
        (config.files / left).mkdir()
        (config.files / left / "u00000").write_bytes(b"sealed")
    clear_orphans(engine, config, age_s=3600)  # somebody may be uploading
    assert len(list(config.files.iterdir())) == 3
    clear_orphans(engine, config, age_s=0)
    assert [path.name for path in config.files.iterdir()] == [kept]
    server.engine.dispose()


def test_an_upload_that_the_database_may_have_kept_keeps_its_files(tmp_path: Path) -> None:
    limits = a_config(tmp_path).limits
    for error, left in ((RecordsError("the answer to COMMIT never came", fix="wait"), 1), (KeyError("a bug"), 0)):
        files = tmp_path / type(error).__name__
        body = EnvironBuilder(method="POST", data={"files": (BytesIO(b"a scan"), "a.dcm")}).get_request(Request)
        with pytest.raises(type(error)), receiving(body, files, limits):
            raise error
        assert len(list(files.iterdir())) == left
