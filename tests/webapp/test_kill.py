"""Web, worker and database are killed while clients ask for predictions: none is lost, none is made twice."""

from pathlib import Path

from sqlalchemy import text

from tests.factories_mariadb import mariadb
from tests.webapp.factories import a_config, a_home, a_server
from tests.webapp.factories_drill import DURABLE, Clients, shortcomings, strike, until_one_runs
from tests.webapp.factories_running import coarse_cases, running
from webapp.database import looking

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
