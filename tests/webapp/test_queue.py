"""Predictions as jobs: each is worked on by one worker at a time and answered once, whatever dies in between."""

import threading
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select, update

from core.clock import after, now
from core.records.audit import verify
from core.records.db import reading, unlogged
from core.records.tables import AuditEvent
from core.records.web_tables import Prediction, Tally, User
from webapp import queue
from webapp.accounts import new_user
from webapp.config import WorkerSettings
from webapp.queue import Answer, Job
from webapp.vault import Vault

SETTINGS = WorkerSettings(lease_s=60, attempts=3)
ANSWER = Answer("0001-tiny-00000000", "usable", 0.75, None, {"verdict": "usable"}, {"predict": 0.5})


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "keys.json")


def queued(engine: Engine, *identifiers: str, content: str = "") -> None:
    """Queue predictions, the first of them first."""
    with unlogged(engine) as session:
        if session.get(User, "anna") is None:
            session.add(new_user("anna", "clinician"))
            session.flush()
        for place, identifier in enumerate(identifiers):
            row = {
                "id": identifier,
                "owner": "anna",
                "state": "queued",
                "created_at": now(),
                "queued_at": f"2026-01-01T00:00:{place:02}.000000Z",
                "upload_bytes": 1,
                "file_key_sealed": b"key",
                "draft_sealed": b"draft",
                "content": content or identifier,
                "attempts": 0,
                "step": "",
                "steps_done": 0,
                "steps": 0,
            }
            session.execute(insert(Prediction).values(**row))


def row_of(engine: Engine, identifier: str) -> Prediction:
    with reading(engine) as session:
        row = session.get(Prediction, identifier)
        assert row is not None
        return row


def claimed(engine: Engine, worker: str) -> Job:
    job = queue.claim(engine, worker, SETTINGS)
    assert job is not None
    return job


def lose_lease(engine: Engine, identifier: str) -> None:
    with unlogged(engine) as session:
        session.execute(update(Prediction).where(Prediction.id == identifier).values(lease_until=after(-1)))


def test_the_one_that_waited_longest_is_taken_first_and_by_one_worker(engine: Engine) -> None:
    queued(engine, "a", "b")
    assert [claimed(engine, "one").id, claimed(engine, "two").id] == ["a", "b"]
    assert queue.claim(engine, "three", SETTINGS) is None


def test_eight_workers_at_once_never_take_the_same_and_end_each_once(engine: Engine, vault: Vault) -> None:
    names = [f"{n:02}" for n in range(40)]
    queued(engine, *names)
    taken: Counter[str] = Counter()
    lock = threading.Lock()

    def work(worker: str) -> None:
        while (job := queue.claim(engine, worker, SETTINGS)) is not None:
            with lock:
                taken[job.id] += 1
            assert queue.finish(engine, vault, job, worker, ANSWER)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == Counter(names)
    with reading(engine) as session:
        made = session.scalars(select(AuditEvent.body).where(AuditEvent.action == "prediction.made")).all()
        tallies = {row.name: row.value for row in session.scalars(select(Tally))}
    assert len(made) == len(set(made)) == 40
    assert tallies == {"predictions:answered": 40, "seconds:predict": 20, "steps:predict": 40}
    verify(engine, None, None)


def test_scans_of_one_content_are_not_worked_on_side_by_side(engine: Engine, vault: Vault) -> None:
    queued(engine, "a", "b", content="same")
    first = claimed(engine, "one")
    assert queue.claim(engine, "two", SETTINGS) is None
    assert queue.finish(engine, vault, first, "one", ANSWER)
    assert claimed(engine, "two").id == "b"


def test_a_lost_lease_lets_another_begin_anew_and_the_slow_one_cannot_end_it(engine: Engine, vault: Vault) -> None:
    queued(engine, "a")
    slow = claimed(engine, "slow")
    assert queue.claim(engine, "quick", SETTINGS) is None
    lose_lease(engine, "a")
    quick = claimed(engine, "quick")
    assert not queue.renew(engine, slow, "slow", 60, "predict", 1, 6)
    assert not queue.finish(engine, vault, slow, "slow", ANSWER)
    assert not queue.fail(engine, vault, slow, "slow", "problem", "fix")
    assert queue.renew(engine, quick, "quick", 60, "predict", 1, 6)
    assert queue.finish(engine, vault, quick, "quick", ANSWER)
    assert not queue.finish(engine, vault, quick, "quick", ANSWER)
    with reading(engine) as session:
        actions = session.scalars(select(AuditEvent.action)).all()
    assert actions == ["prediction.made"]
    assert row_of(engine, "a").attempts == 2


def test_what_kills_its_worker_again_and_again_is_given_up_with_its_reason(engine: Engine, vault: Vault) -> None:
    queued(engine, "a", "b")
    for _ in range(SETTINGS.attempts):
        assert claimed(engine, "w").id == "a"
        lose_lease(engine, "a")
    assert claimed(engine, "w").id == "b"
    row = row_of(engine, "a")
    assert row.state == "failed"
    assert "begun several times" in queue.failure_of(vault, row)["problem"]


def test_a_worker_that_starts_anew_gives_back_what_it_held(engine: Engine) -> None:
    queued(engine, "a", "b")
    claimed(engine, "one"), claimed(engine, "two")
    queue.give_back(engine, "one", counts=True)
    assert (row_of(engine, "a").state, row_of(engine, "b").state) == ("queued", "running")
    assert claimed(engine, "two").id == "a"
    queue.give_back(engine, "two", counts=False)
    assert (row_of(engine, "a").attempts, row_of(engine, "b").attempts) == (1, 0)


def test_an_answer_and_its_event_are_there_together_or_not_at_all(
    engine: Engine, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(engine, "a")
    job = claimed(engine, "one")

    def refuse(*_: object, **__: object) -> int:
        raise RuntimeError("the log takes nothing")

    with monkeypatch.context() as patch:
        patch.setattr(queue, "note", refuse)
        with pytest.raises(RuntimeError):
            queue.finish(engine, vault, job, "one", ANSWER)
    row = row_of(engine, "a")
    assert (row.state, row.result_sealed, row.tumor_probability) == ("running", None, None)
    assert queue.finish(engine, vault, job, "one", ANSWER)
    assert row_of(engine, "a").tumor_probability == 0.75


def test_a_failure_says_why(engine: Engine, vault: Vault) -> None:
    queued(engine, "a")
    assert queue.fail(engine, vault, claimed(engine, "one"), "one", "The scans are blank", "send others")
    assert queue.failure_of(vault, row_of(engine, "a")) == {"problem": "The scans are blank", "fix": "send others"}


def test_the_queue_is_counted_and_a_place_in_it_told(engine: Engine) -> None:
    queued(engine, "a", "b", "c")
    claimed(engine, "one")
    with reading(engine) as session:
        assert queue.waiting(session) == 3
        assert [queue.place_in_queue(session, row_of(engine, name)) for name in "abc"] == [0, 1, 2]
