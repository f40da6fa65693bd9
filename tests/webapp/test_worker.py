"""The worker: it serves the one version that is current, swaps it without losing a request, and survives bad scans."""

from pathlib import Path

import pytest

from core.errors import DataError
from core.records import web_tables
from core.records.db import reading, unlogged
from tests.webapp.factories import Server, a_config, a_patient, a_server, another_version, retire
from webapp import worker as worker_module
from webapp.queue import Job
from webapp.worker import STEPS, Progress, Worker


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_patient(tmp_path_factory.mktemp("scans") / "one")


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return a_server(a_config(tmp_path), {"anna": "clinician"})


def row_of(server: Server, identifier: str) -> web_tables.Prediction:
    with reading(server.engine) as session:
        row = session.get(web_tables.Prediction, identifier)
        assert row is not None
        return row


def test_a_version_that_becomes_current_or_is_retired_counts_from_the_next_prediction_on(
    server: Server, tmp_path: Path
) -> None:
    anna = server.browser("anna")
    ids = [anna.upload(a_patient(tmp_path / f"p{n}", seed=n), wait=0).json["id"] for n in range(3)]
    worker, home = server.worker(), tmp_path / "home"
    assert worker.once()
    newer = another_version(home, 0.01)
    assert worker.once()
    retire(home, newer)
    assert worker.once()
    used = [row_of(server, identifier).version for identifier in ids]
    assert used == [used[0], newer, used[0]]
    assert used[0] != newer
    assert {row_of(server, identifier).state for identifier in ids} == {"done"}


def test_without_a_model_predictions_wait_and_readiness_says_why(server: Server, patient: Path, tmp_path: Path) -> None:
    anna = server.browser("anna")
    home = tmp_path / "home"
    version = next(path.name for path in (home / "registry").iterdir() if path.is_dir())
    retire(home, version)
    identifier = anna.upload(patient, wait=0).json["id"]
    assert not server.worker().once()
    assert anna.get(f"/predict/{identifier}").json["progress"]["step"] == "waiting"
    assert anna.get("/readyz").json["lacking"] == ["model", "worker"]
    another_version(home, 0.02)
    server.work()
    assert anna.get(f"/predict/{identifier}").json["state"] == "done"


def test_equal_scans_are_predicted_anew_by_another_version(server: Server, patient: Path, tmp_path: Path) -> None:
    anna = server.browser("anna")
    first = anna.upload(patient, wait=0).json["id"]
    server.work()
    another_version(tmp_path / "home", 0.01)
    second = anna.upload(patient, wait=0).json["id"]
    server.work()
    assert row_of(server, second).same_as is None
    assert row_of(server, second).version != row_of(server, first).version


def test_scans_that_cannot_be_read_end_with_their_reason_and_the_next_one_is_served(
    server: Server, patient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = server.browser("anna")
    bad = anna.upload(patient, wait=0).json["id"]
    good = anna.upload(a_patient(tmp_path / "good", seed=5), wait=0).json["id"]
    worker = server.worker()
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise DataError("T1w: the volume is 4 m large", fix="export it again")

        patch.setattr(worker_module, "read_chosen", refuse)
        assert worker.once()
    assert worker.once()
    failed = anna.get(f"/predict/{bad}").json
    assert (failed["state"], failed["failure"]["problem"]) == ("failed", "T1w: the volume is 4 m large")
    assert anna.get(f"/predict/{good}").json["state"] == "done"


def test_files_that_were_changed_on_disk_are_noticed(server: Server, patient: Path) -> None:
    anna = server.browser("anna")
    identifier = anna.upload(patient, wait=0).json["id"]
    stored = sorted((server.config.files / identifier).glob("u*"))[7]
    content = bytearray(stored.read_bytes())
    content[200] ^= 1
    stored.write_bytes(content)
    server.work()
    assert "changed or cut off" in anna.get(f"/predict/{identifier}").json["failure"]["problem"]


def test_each_step_is_told_while_it_runs(server: Server, patient: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = server.browser("anna")
    identifier = anna.upload(patient, wait=0).json["id"]
    seen: list[tuple[str, int]] = []
    real = Progress.say

    def say(self: Progress) -> None:
        real(self)
        row = row_of(server, identifier)
        seen.append((row.step, row.steps_done))

    monkeypatch.setattr(Progress, "say", say)
    server.work()
    assert seen[: len(STEPS)] == [(step, n) for n, step in enumerate(STEPS)]
    told = anna.get(f"/predict/{identifier}").json["result"]["seconds"]
    assert set(told) == set(STEPS) - {"keep"} or set(told) == set(STEPS)


def test_a_worker_that_lost_its_prediction_stops_at_the_next_step_and_writes_nothing(
    server: Server, patient: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = server.browser("anna")
    identifier = anna.upload(patient, wait=0).json["id"]
    real = Worker._answer

    def robbed(self: Worker, job: Job, folder: Path, progress: Progress) -> object:
        with unlogged(server.engine) as session:
            row = session.get(web_tables.Prediction, job.id)
            assert row is not None
            row.worker = "another"
        return real(self, job, folder, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Worker, "_answer", robbed)
        assert server.worker().once()
    row = row_of(server, identifier)
    assert (row.state, row.worker, row.result_sealed) == ("running", "another", None)
    assert not list((server.config.files / identifier).glob("r*"))


def test_scratch_is_empty_when_the_work_is_done(server: Server, patient: Path, tmp_path: Path) -> None:
    server.browser("anna").upload(patient, wait=0)
    server.work()
    assert not list((tmp_path / "scratch").iterdir())
    assert not list((tmp_path / "data" / "scratch").iterdir())
