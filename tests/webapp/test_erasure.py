"""A patient's rights: all that is stored is shown, and all of it ends, also when an old database comes back."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import select

from core.records.db import reading
from core.records.web_tables import Feedback, Patient, Prediction
from tests.webapp.factories import Server, a_config, a_home, a_patient, a_server
from webapp import log
from webapp.erased import erased_in
from webapp.erasure import erase_again


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def server(database: str, tmp_path: Path, home: Path) -> Server:
    return a_server(a_config(tmp_path, database, home))


def predicted(server: Server, folder: Path, identity: str, seed: int) -> str:
    """Have a patient predicted and commented on, and return the prediction's id."""
    anna = server.browser("anna")
    identifier: str = anna.upload(a_patient(folder, identity, seed), wait=0).json["id"]
    server.work()
    anna.get(f"/predict/{identifier}")
    anna.post("/log", json={"prediction": identifier, "action": "disagreed", "comment": f"tissue of {identity}"})
    return identifier


def test_everything_that_is_stored_of_a_patient_is_exported(server: Server, tmp_path: Path) -> None:
    identifier = predicted(server, tmp_path / "one", "one", 1)
    predicted(server, tmp_path / "two", "two", 2)
    ada = server.browser("ada")
    told = ada.post("/patients/export", json={"record_number": " ONE"}).json
    assert told["identity"]["record_number"] == "one"
    assert [row["id"] for row in told["predictions"]] == [identifier]
    (row,) = told["predictions"]
    assert row["comments"][0]["comment"] == "tissue of one"
    assert row["result"]["verdict"] in ("usable", "unreliable")
    assert len(row["scans"]) == 4
    assert [entry["action"] for entry in row["who_did_what"]] == [
        "scans.uploaded",
        "prediction.asked",
        "prediction.made",
        "result.shown",
        "result.disagreed",
    ]
    assert ada.post("/patients/export", json={"record_number": "three"}).status_code == 404


def test_an_erased_patient_is_gone_the_others_stay_and_the_chain_is_whole(server: Server, tmp_path: Path) -> None:
    erased = predicted(server, tmp_path / "one", "one", 1)
    kept = predicted(server, tmp_path / "two", "two", 2)
    anna, ada = server.browser("anna"), server.browser("ada")
    assert ada.post("/patients/erase", json={"record_number": "one"}).json == {"predictions": 1}
    assert not (server.config.files / erased).exists()
    with reading(server.engine) as session:
        row = session.get(Prediction, erased)
        assert row is not None
        assert (row.patient, row.file_key_sealed, row.draft_sealed, row.result_sealed, row.content) == (None,) * 5
        comments = {row[0]: row[1] for row in session.execute(select(Feedback.prediction, Feedback.comment_sealed))}
        assert comments[erased] is None
        assert comments[kept] is not None
        assert len(session.scalars(select(Patient)).all()) == 1
    gone = anna.get(f"/predict/{erased}").json
    assert (gone["state"], gone["result"], gone["identity"], gone["files"]) == ("done", None, None, False)
    assert anna.get(f"/predict/{erased}/files/T1w").status_code == 410
    assert anna.get(f"/predict/{kept}").json["result"]
    assert ada.post("/patients/erase", json={"record_number": "one"}).status_code == 404
    assert log.verify(server.engine, None, None).events > 10


def test_equal_scans_after_an_erasure_are_worked_out_anew(server: Server, tmp_path: Path) -> None:
    predicted(server, tmp_path / "one", "one", 1)
    server.browser("ada").post("/patients/erase", json={"record_number": "one"})
    again = predicted(server, tmp_path / "one again", "one", 1)
    with reading(server.engine) as session:
        row = session.get(Prediction, again)
        assert row is not None
        assert (row.state, row.same_as) == ("done", None)


def test_a_patient_who_comes_back_with_an_old_database_is_erased_again(tmp_path: Path, home: Path) -> None:
    server = a_server(a_config(tmp_path, "", home))
    identifier = predicted(server, tmp_path / "one", "one", 1)
    server.engine.dispose()
    shutil.copytree(tmp_path / "data", tmp_path / "backup", ignore=shutil.ignore_patterns("keys"))
    server.browser("ada").post("/patients/erase", json={"record_number": "one"})
    assert len(erased_in(server.config.keys_path)) == 1
    server.engine.dispose()
    shutil.copytree(tmp_path / "backup", tmp_path / "data", dirs_exist_ok=True)
    with reading(server.engine) as session:
        assert session.scalars(select(Patient)).all()
    assert erase_again(server.engine, server.config) == 1
    assert not (server.config.files / identifier).exists()
    with reading(server.engine) as session:
        assert not session.scalars(select(Patient)).all()
    assert erase_again(server.engine, server.config) == 0
