"""A patient's scans in, a prediction out: as a clinician meets it, on SQLite and on MariaDB, with a real model."""

from pathlib import Path

import pytest
from sqlalchemy import select

from core.predictor import load_predictor, predict_case
from core.records.db import reading
from core.records.tables import AuditEvent
from core.records.web_tables import Prediction
from core.signing import load_public
from tests.webapp.factories import Server, a_config, a_home, a_patient, a_server, zipped
from webapp import log


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_patient(tmp_path_factory.mktemp("scans") / "Meier^Erika")


@pytest.fixture
def server(database: str, tmp_path: Path, home: Path) -> Server:
    return a_server(a_config(tmp_path, database, home))


def actions(server: Server, prediction: str) -> list[str]:
    """What the log tells of a prediction, oldest first."""
    with reading(server.engine) as session:
        events, _ = log.page(session, server.vault, {"case": prediction}, 500)
    return [event["action"] for event in reversed(events)]


def test_a_folder_of_dicom_becomes_a_draft_and_then_the_answer_that_the_predictor_gives(
    server: Server, patient: Path, home: Path
) -> None:
    anna = server.browser("anna")
    answer = anna.upload(patient)
    assert answer.status_code == 202, answer.text
    draft = answer.json
    assert answer.headers["Location"] == f"/predict/{draft['id']}"
    assert draft["state"] == "draft"
    assert sorted(draft["draft"]["chosen"]) == ["FLAIR", "T1w", "T1wCE", "T2w"]
    assert (draft["draft"]["missing"], draft["draft"]["ready"]) == ([], True)
    assert draft["identity"]["record_number"] == "MRN-4711"
    picture = anna.get(draft["draft"]["series"][0]["thumbnail"])
    assert (picture.mimetype, picture.data[:8]) == ("image/png", b"\x89PNG\r\n\x1a\n")

    started = anna.post(f"/predict/{draft['id']}/start")
    assert (started.status_code, started.json["state"], started.json["result"]) == (202, "queued", None)
    server.work()
    done = anna.get(f"/predict/{draft['id']}").json
    assert done["state"] == "done"

    version = next(path for path in (home / "registry").iterdir() if path.is_dir())
    predictor = load_predictor(version, load_public(home / "keys" / "coordinator.pub"))
    expected = predict_case(predictor, patient).as_json()
    shown = {name: done["result"][name] for name in expected}
    assert shown == {name: list(value) if isinstance(value, tuple) else value for name, value in expected.items()}
    assert done["result"]["model"]["version"] == version.name
    assert len(done["result"]["model"]["approval"]["signature"]) == 128

    for name in done["result"]["files"]:
        file = anna.get(f"/predict/{draft['id']}/files/{name}.nii.gz")
        assert (file.status_code, file.data[:2]) == (200, b"\x1f\x8b")
    assert actions(server, draft["id"])[:5] == [
        "scans.uploaded",
        "prediction.asked",
        "prediction.made",
        "result.shown",
        "file.shown",
    ]


def test_a_zip_a_form_and_equal_scans_give_one_answer_that_is_worked_out_once(
    server: Server, patient: Path, tmp_path: Path
) -> None:
    anna, ben = server.browser("anna"), server.browser("ben")
    archive = zipped(patient, tmp_path / "scans.zip").read_bytes()
    first = anna.post("/predict", data=archive, content_type="application/zip", headers={"Prefer": "wait=0"}).json
    second = ben.upload(patient, wait=0).json
    assert (first["state"], second["state"]) == ("queued", "queued")
    server.work()
    one, other = anna.get(f"/predict/{first['id']}").json, ben.get(f"/predict/{second['id']}").json
    assert one["result"] == other["result"]
    with reading(server.engine) as session:
        assert session.get(Prediction, second["id"]).same_as == first["id"]
        made = session.scalars(select(AuditEvent.action).where(AuditEvent.action == "prediction.made")).all()
    assert len(made) == 2  # each has its own answer and event
    for name in other["result"]["files"]:
        mine, theirs = (b.get(f"/predict/{i}/files/{name}") for b, i in ((anna, first["id"]), (ben, second["id"])))
        assert mine.data == theirs.data


def test_what_is_missing_is_named_and_cannot_be_started(server: Server, tmp_path: Path) -> None:
    anna = server.browser("anna")
    draft = anna.upload(a_patient(tmp_path / "half", sequences=("T1w", "T2w"))).json
    assert draft["draft"]["missing"] == ["T1wCE", "FLAIR"]
    refused = anna.post(f"/predict/{draft['id']}/start")
    assert refused.status_code == 422
    assert "no T1wCE and no FLAIR" in refused.json["problem"]
    at_once = anna.upload(a_patient(tmp_path / "again", sequences=("T1w", "T2w")), wait=5)
    assert at_once.status_code == 422
    assert len(list(server.config.files.iterdir())) == 1  # of what was refused nothing is left


def test_a_mistake_is_corrected_by_hand(server: Server, tmp_path: Path) -> None:
    anna = server.browser("anna")
    scans = a_patient(tmp_path / "scans")
    (scans / "FLAIR").rename(scans / "one")
    (scans / "T2w").rename(scans / "two")
    draft = anna.upload(scans).json
    chosen = draft["draft"]["chosen"]
    swapped = anna.patch(
        f"/predict/{draft['id']}", json={"chosen": {"T2w": chosen["FLAIR"], "FLAIR": chosen["T2w"]}}
    ).json
    assert swapped["draft"]["chosen"]["T2w"] == chosen["FLAIR"]
    twice = anna.patch(f"/predict/{draft['id']}", json={"chosen": {"T2w": chosen["T1w"]}})
    assert (twice.status_code, "for two sequences" in twice.json["problem"]) == (422, True)
    taken = anna.patch(f"/predict/{draft['id']}", json={"chosen": {"T2w": None}}).json
    assert (taken["draft"]["missing"], taken["draft"]["ready"]) == (["T2w"], False)
    unknown = anna.patch(f"/predict/{draft['id']}", json={"chosen": {"T2w": "0" * 32}})
    assert unknown.status_code == 422


def test_scans_of_two_patients_or_another_record_number_are_refused(server: Server, tmp_path: Path) -> None:
    anna = server.browser("anna")
    scans = a_patient(tmp_path / "scans", "one", sequences=("T1w", "T1wCE"))
    a_patient(scans, "two", seed=2, sequences=("T2w", "FLAIR"))
    refused = anna.upload(scans)
    assert (refused.status_code, "2 patients" in refused.json["problem"]) == (422, True)
    other = anna.upload(a_patient(tmp_path / "other", "one"), record_number="three")
    assert (other.status_code, "another patient" in other.json["problem"]) == (422, True)
    assert not list(server.config.files.iterdir())
    same = anna.upload(tmp_path / "other", record_number=" ONE ")
    assert same.status_code == 202


def test_a_request_sent_again_with_its_key_makes_nothing_new(server: Server, patient: Path) -> None:
    anna = server.browser("anna")
    anna.headers["Idempotency-Key"] = "abc"
    first, again = anna.upload(patient).json, anna.upload(patient).json
    assert first["id"] == again["id"]
    ben = server.browser("ben")
    ben.headers["Idempotency-Key"] = "abc"
    assert ben.upload(patient).json["id"] != first["id"]


def test_a_colleague_sees_a_prediction_only_with_the_record_number(server: Server, patient: Path) -> None:
    anna, ben = server.browser("anna"), server.browser("ben")
    identifier = anna.upload(patient).json["id"]
    assert ben.get(f"/predict/{identifier}").status_code == 404
    assert ben.post("/patients/find", json={"record_number": "MRN-4712"}).status_code == 404
    found = ben.post("/patients/find", json={"record_number": "mrn-4711"}).json
    assert [row["id"] for row in found["predictions"]] == [identifier]
    opened = ben.get(f"/predict/{identifier}", headers={"X-Patient-Access": found["access"]})
    assert (opened.status_code, opened.json["identity"]["record_number"]) == (200, "MRN-4711")
    otto = server.browser("otto")
    assert otto.get(f"/predict/{identifier}", headers={"X-Patient-Access": found["access"]}).status_code == 403
    stolen = anna.get(f"/predict/{identifier}", headers={"X-Patient-Access": found["access"]})
    assert stolen.status_code == 200  # her own
    other = server.browser("ben")
    assert other.get(f"/predict/{identifier}", headers={"X-Patient-Access": found["access"]}).status_code == 404


def test_the_log_names_who_did_it_and_not_whose_it_is(server: Server, patient: Path) -> None:
    anna, ben = server.browser("anna"), server.browser("ben")
    identifier = anna.upload(patient).json["id"]
    ben.headers["X-Patient-Access"] = ben.post("/patients/find", json={"record_number": "MRN-4711"}).json["access"]
    assert ben.patch(f"/predict/{identifier}", json={"record_number": "mrn-4711"}).status_code == 200
    assert ben.post(f"/predict/{identifier}/start").status_code == 202
    assert ben.delete(f"/predict/{identifier}").status_code == 204
    with reading(server.engine) as session:
        events, _ = log.page(session, server.vault, {"case": identifier}, 500)
    assert [(event["user"], event["action"]) for event in reversed(events)] == [
        ("anna", "scans.uploaded"),
        ("ben", "draft.corrected"),
        ("ben", "prediction.asked"),
        ("ben", "prediction.withdrawn"),
    ]


def test_a_draft_is_withdrawn_with_its_scans(server: Server, patient: Path) -> None:
    anna = server.browser("anna")
    identifier = anna.upload(patient).json["id"]
    assert anna.delete(f"/predict/{identifier}").status_code == 204
    assert not (server.config.files / identifier).exists()
    assert anna.get(f"/predict/{identifier}").json["state"] == "withdrawn"
    assert anna.post(f"/predict/{identifier}/start").status_code == 409


def test_nothing_of_a_patient_is_readable_on_disk_or_in_the_database(
    server: Server, patient: Path, tmp_path: Path
) -> None:
    anna = server.browser("anna")
    identifier = anna.upload(patient, wait=0).json["id"]
    server.work()
    anna.post("/log", json={"prediction": identifier, "action": "disagreed", "comment": "Frau Erika Meier, tissue"})
    planted = [b"MRN-4711", b"Erika", b"Meier"]
    stored = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert stored
    assert not [(path.name, word) for path in stored for word in planted if word in path.read_bytes()]
    with reading(server.engine) as session:
        for table in Prediction.metadata.sorted_tables:
            for row in session.execute(select(table)):
                assert not [word for word in planted if word in repr(tuple(row)).encode()], table.name
