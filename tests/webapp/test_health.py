"""What whoever watches the server is told."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from tests.factories_mariadb import MariaDB
from tests.webapp.factories import Server, a_config, a_patient, a_server, another_version, retire
from webapp.worker import say_alive


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return a_server(a_config(tmp_path), {"anna": "clinician", "ada": "administrator"})


def test_readiness_names_what_is_lacking_and_nothing_else(server: Server, tmp_path: Path) -> None:
    nobody = server.browser()
    assert nobody.get("/healthz").json == {"alive": True}
    assert nobody.get("/readyz").json == {"ready": False, "lacking": ["worker"]}
    say_alive(server.engine, "here")
    ready = nobody.get("/readyz")
    assert (ready.status_code, ready.json) == (200, {"ready": True, "lacking": []})
    version = next(path.name for path in (tmp_path / "home" / "registry").iterdir() if path.is_dir())
    retire(tmp_path / "home", version)
    server.config.keys_path.chmod(0o000)
    server.config.keys_path.rename(server.config.keys_path.with_suffix(".away"))
    lacking = nobody.get("/readyz")
    assert (lacking.status_code, lacking.json["lacking"]) == (503, ["keys", "model"])


def test_a_database_that_may_lose_commits_is_named(mariadb_server: MariaDB, tmp_path: Path) -> None:
    server = a_server(a_config(tmp_path, mariadb_server.fresh()), {})
    assert server.browser().get("/readyz").json["lacking"] == ["durability", "worker"]
    with mariadb_server.root.begin() as connection:
        connection.execute(text("SET GLOBAL innodb_flush_log_at_trx_commit = 1"))
    assert server.browser().get("/readyz").json["lacking"] == ["worker"]
    with mariadb_server.root.begin() as connection:
        connection.execute(text("SET GLOBAL innodb_flush_log_at_trx_commit = 0"))


def test_prometheus_is_told_of_outcomes_steps_the_queue_and_the_version(server: Server, tmp_path: Path) -> None:
    anna, ada = server.browser("anna"), server.browser("ada")
    anna.upload(a_patient(tmp_path / "one", seed=1), wait=0)
    server.work()
    anna.upload(a_patient(tmp_path / "two", seed=2), wait=0)
    answer = ada.get("/metrics")
    assert answer.status_code == 200
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert told["gliofed_predictions_waiting", "queued"] == 1
    assert told["gliofed_steps_total", "prepare"] == 1
    assert told["gliofed_step_seconds_total", "prepare"] >= 0
    assert sum(value for name, value in told.items() if name[0] == "gliofed_predictions_total") == 1
    assert told["gliofed_oldest_wait_seconds",] > 0
    version = next(path.name for path in (tmp_path / "home" / "registry").iterdir() if path.is_dir())
    assert told["gliofed_model_version", version] == 1
    assert anna.get("/metrics").status_code == 403


def test_versions_are_listed_with_the_one_that_is_served_and_its_card(server: Server, tmp_path: Path) -> None:
    anna, home = server.browser("anna"), tmp_path / "home"
    first = anna.get("/versions").json["current"]
    second = another_version(home, 0.01)
    listed = anna.get("/versions").json
    assert listed["current"] == second
    assert [(one["name"], one["state"], one["current"]) for one in listed["versions"]] == [
        (first, "approved", False),
        (second, "approved", True),
    ]
    retire(home, second)
    listed = anna.get("/versions").json
    assert listed["current"] == first
    assert [one["state"] for one in listed["versions"]] == ["approved", "retired"]
    card = anna.get(f"/versions/{first}").json["card"]
    assert card["version"] == first
    assert anna.get("/versions/0009-none-00000000").status_code == 404


def test_an_administrator_sees_how_the_server_is_set_up(server: Server) -> None:
    told = server.browser("ada").get("/server").json
    assert (told["serves"], told["keys"]["newest"], told["keys"]["older"]) == ("hospital", 1, [])
    assert told["queue"] == {"draft": 0, "queued": 0, "running": 0}
    assert told["retention"]["result_days"] == 365
    assert told["log"]["events"] > 0
    assert (told["backup_at"], told["keys"]["rotated_at"]) == (None, None)
