"""The resident trainer: in a process of its own where it is killed, in threads where the order of events is held."""

import fcntl
import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import numpy as np
import pytest

from core.clock import now
from core.errors import FederationError, PreparationError
from core.messages import Records, read_evaluation, read_task, read_update, task_records
from core.records import audit
from core.records.db import open_database, reading
from fl_client import trainer, trainer_process
from fl_client.config import load_site
from fl_client.dataset import _read_cohort, forget_cohorts
from fl_client.paths import SiteHome
from fl_client.progress import Effort, Progress, ProgressFile, read_progress
from fl_client.site_error import SiteError
from fl_client.trainer_process import Meter, Trainer, serve_site
from fl_client.trainer_socket import STOP, Packed, ask, pack, packed, unpack
from tests.fl_client.factories_site import (
    RECEIPT,
    a_long_study,
    a_request,
    a_task,
    approved,
    events,
    make_home,
    start_trainer,
    study_text,
)
from tests.simulations.factories_federation import a_study

STUDY = a_study()


def until(condition: Callable[[], bool]) -> None:
    """Wait for another process or thread; a minute is long enough for anything here."""
    gives_up = monotonic() + 60
    while not condition():
        assert monotonic() < gives_up
        sleep(0.01)


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    return make_home(tmp_path)


@pytest.fixture
def text(home: SiteHome) -> str:
    text = study_text(home.root, STUDY)
    approved(home, text)
    return text


@pytest.fixture
def working(home: SiteHome, text: str) -> Trainer:
    started = Trainer(load_site(home), home)
    Thread(target=started.work, daemon=True).start()
    return started


def a_call(text: str, records: Records, kind: str = "train") -> bytes:
    return pack({"kind": kind, "study": text}, records)


def calling(trainer_: Trainer, request: bytes) -> tuple[Thread, list[bytes]]:
    """Ask in a thread, as another connection would."""
    answers: list[bytes] = []
    thread = Thread(target=lambda: answers.append(trainer_.respond(request)), daemon=True)
    thread.start()
    return thread, answers


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, Event]]:
    """Training that says when it has begun, and goes on only when it is let."""
    begun, go = Event(), Event()
    honest = trainer.answer

    def held(*arguments: object) -> Records:
        begun.set()
        assert go.wait(60)
        return honest(*arguments)

    monkeypatch.setattr(trainer, "answer", held)
    yield begun, go
    go.set()


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_an_answer_is_what_this_process_would_have_worked_out_to_the_bit(
    home: SiteHome, text: str, working: Trainer, kind: str
) -> None:
    _, answer = unpack(working.respond(a_call(text, a_request(STUDY), kind)))
    read = read_update if kind == "train" else read_evaluation
    receipt = read(answer).receipt
    here = trainer.answer(kind, read_task(a_request(STUDY)), load_site(home), STUDY, receipt)
    assert (answer.config, answer.metrics) == (here.config, here.metrics)
    assert {name: array.tobytes() for name, array in answer.arrays.items()} == {
        name: array.tobytes() for name, array in here.arrays.items()
    }


def test_a_task_is_in_the_audit_log_and_its_answer_cites_the_other_side(
    home: SiteHome, text: str, working: Trainer
) -> None:
    before = working.records.head()
    _, answer = unpack(working.respond(a_call(text, a_request(STUDY))))
    assert events(home) == ["study.offered", "study.approved", "task.received", "privacy.cohort", "privacy.reserved"]
    with reading(open_database(home.records)) as session:
        (received,) = audit.events(session, after=2, action="task.received")
    assert received.previous == before
    assert read_update(answer).receipt == received.hash
    body = json.loads(received.body)
    assert (body["receipt"], body["run"], body["round"], body["kind"]) == (RECEIPT, "tiny-run-1", 1, "train")
    assert body["weights_sha256"] == hashlib.sha256(a_task(STUDY).weights.tobytes()).hexdigest()


def test_a_task_that_comes_again_is_answered_with_the_same_bytes_without_training(
    home: SiteHome, text: str, working: Trainer
) -> None:
    request = a_call(text, a_request(STUDY))
    first = working.respond(request)
    assert working.respond(request) == first
    # Another process, as after a restart: the answer is on disk.
    assert Trainer(load_site(home), home).respond(request) == first
    assert events(home, "task.received") == ["task.received"]


@pytest.mark.parametrize(
    "other",
    [
        {"round": 2},
        {"run": "tiny-run-2"},
        {"weights": np.zeros_like(a_task(STUDY).weights)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_task_is_not_answered_with_a_kept_answer(
    home: SiteHome, text: str, working: Trainer, other: dict
) -> None:
    first = working.respond(a_call(text, a_request(STUDY)))
    second = working.respond(a_call(text, task_records(replace(a_task(STUDY), **other))))
    assert second != first
    assert len(events(home, "task.received")) == 2


def test_a_cohort_that_was_prepared_anew_is_trained_on_anew(home: SiteHome, text: str, working: Trainer) -> None:
    request = a_call(text, a_request(STUDY))
    working.respond(request)
    listing = home.root / "prepared" / "cohort.json"
    cohort = json.loads(listing.read_text())
    cohort["cases"][0]["verdict"] = "unreliable"
    listing.write_text(json.dumps(cohort))
    _, answer = unpack(working.respond(request))
    assert read_update(answer).cohort["excluded"] == 1


def test_who_asks_for_a_task_under_way_joins_it(
    home: SiteHome, text: str, working: Trainer, gate: tuple[Event, Event]
) -> None:
    begun, go = gate
    request = a_call(text, a_request(STUDY))
    asked = [calling(working, request) for _ in range(3)]
    assert begun.wait(60)
    go.set()
    for thread, _ in asked:
        thread.join(60)
    (answer,) = {bytes(answers[0]) for _, answers in asked}
    assert read_update(unpack(answer)[1]).round == 1
    assert events(home, "task.received") == ["task.received"]


def test_a_study_that_was_not_approved_exactly_as_it_comes_is_refused(home: SiteHome, working: Trainer) -> None:
    text = (home.root / "study.toml").read_text()
    for changed in (text + "\n", text.replace('"tiny"', '"other"', 1)):
        head, _ = unpack(working.respond(a_call(changed, a_request(STUDY))))
        assert head == {"code": 107, "kind": "UpdateRejected"}
    working.records.answer("tiny", "refused", "the ethics board says no")
    head, _ = unpack(working.respond(a_call(text, a_request(STUDY))))
    assert head == {"code": 107, "kind": "UpdateRejected"}
    assert not events(home, "task.received")


def test_a_stopped_run_ends_within_one_batch_and_may_go_on_later(
    home: SiteHome, text: str, working: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, begun, go = [], Event(), Event()

    def training(
        _kind: str, _task: object, _site: object, _study: object, _receipt: str, report, *_kept: object
    ) -> Records:
        for batch in range(1, 100):
            batches.append(batch)
            report("training", batch, 100)
            begun.set()
            assert go.wait(60)
        raise AssertionError("nobody stopped it")

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "answer", training)
        thread, answers = calling(working, a_call(text, a_request(STUDY)))
        assert begun.wait(60)
        working.respond(pack({"kind": STOP, "runs": ["tiny-run-1"]}))
        go.set()
        thread.join(60)
    assert unpack(answers[0])[0] == {"code": 108, "kind": "FederationError"}
    assert batches == [1, 2]
    assert events(home)[-1] == "task.failed"
    # As long as it is stopped, and no longer.
    assert unpack(working.respond(a_call(text, a_request(STUDY))))[0] == {"code": 108, "kind": "FederationError"}
    working.respond(pack({"kind": STOP, "runs": []}))
    assert "code" not in unpack(working.respond(a_call(text, a_request(STUDY))))[0]


def test_a_round_that_the_run_has_left_behind_is_given_up(
    home: SiteHome, text: str, working: Trainer, gate: tuple[Event, Event]
) -> None:
    begun, go = gate
    late, late_answers = calling(working, a_call(text, a_request(STUDY)))
    assert begun.wait(60)
    newer, newer_answers = calling(working, a_call(text, a_request(STUDY, round_number=2)))
    until(lambda: working.jobs._last["tiny"].task.round == 2)
    go.set()
    late.join(60)
    newer.join(60)
    assert unpack(late_answers[0])[0] == {"code": 108, "kind": "FederationError"}
    assert read_update(unpack(newer_answers[0])[1]).round == 2


def test_a_failure_tells_its_kind_alone_and_is_tried_anew(
    home: SiteHome, text: str, working: Trainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> Records:
        raise PreparationError("patient_007 has no brain", fix="none")

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "answer", fail)
        answer = working.respond(a_call(text, a_request(STUDY)))
    assert unpack(answer)[0] == {"code": 106, "kind": "PreparationError"}
    assert b"patient_007" not in answer
    assert "patient_007" not in home.progress.read_text()
    assert read_progress(home.progress).cause == "this site's cohort is not prepared for the study"
    assert "patient_007" in caplog.text
    assert "code" not in unpack(working.respond(a_call(text, a_request(STUDY))))[0]


def test_progress_says_how_far_a_task_is_and_what_its_run_has_cost(home: SiteHome, text: str, working: Trainer) -> None:
    assert read_progress(home.progress).state == "idle"
    working.respond(a_call(text, a_request(STUDY)))
    until(lambda: read_progress(home.progress).state == "uploading")
    once = read_progress(home.progress)
    assert (once.run, once.round, once.device, once.cause) == ("tiny-run-1", 1, "CPU", "")
    assert once.cpu_s > 0
    working.respond(a_call(text, a_request(STUDY, round_number=2)))
    until(lambda: read_progress(home.progress).round == 2)
    assert read_progress(home.progress).cpu_s > once.cpu_s
    assert Trainer(load_site(home), home).efforts.of("tiny-run-1") == working.efforts.of("tiny-run-1")


def test_a_cohort_that_is_no_more_and_old_studies_make_room(home: SiteHome, working: Trainer) -> None:
    read = _read_cohort.cache_info
    forget_cohorts()
    studies = [STUDY.model_copy(update={"seed": seed}) for seed in range(3)]
    for study, kept in zip(studies, (1, 2, 1), strict=True):
        text = study_text(home.root, study)
        approved(home, text)
        for round_number in (1, 2):
            assert "code" not in unpack(working.respond(a_call(text, a_request(study, round_number))))[0]
        assert read().currsize == kept
    listing = home.root / "prepared" / "cohort.json"
    listing.write_text(listing.read_text() + "\n")
    assert "code" not in unpack(working.respond(a_call(text, a_request(study, 3))))[0]
    assert read().currsize == 1


def test_what_a_killed_trainer_had_worked_is_not_forgotten(home: SiteHome, text: str) -> None:
    ProgressFile(home.progress).show(Progress("training", "tiny-run-1", 1, 3, 9, now(), cpu_s=1000.0))
    started = Trainer(load_site(home), home)
    assert started.efforts.of("tiny-run-1").cpu_s == 1000.0
    Thread(target=started.work, daemon=True).start()
    started.respond(a_call(text, a_request(STUDY)))
    assert started.efforts.of("tiny-run-1").cpu_s > 1000.0


def test_of_a_cpu_work_is_counted_and_of_a_gpu_the_time_it_was_held(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = {"process_time": 10.0, "monotonic": 100.0}
    for name in clocks:
        monkeypatch.setattr(trainer_process.time, name, lambda name=name: clocks[name])
    before = Effort(1.0, 2.0, (7,))
    on_cpu, on_gpu = Meter(before, on_gpu=False), Meter(before, on_gpu=True)
    clocks.update(process_time=13.0, monotonic=120.0)
    assert on_cpu.read() == Effort(4.0, 2.0, (7,))
    assert on_gpu.read() == Effort(1.0, 22.0, (7,))


class Hours:
    """Hours that a test opens and closes, in the place of a clock."""

    def __init__(self) -> None:
        self.begun, self.waited = Event(), Event()

    @property
    def is_due(self) -> bool:
        return not self.begun.is_set()

    def take(self, check: Callable[[], None]) -> None:
        self.waited.set()
        while self.is_due:
            check()
            sleep(0.01)


def test_a_task_that_comes_outside_the_site_s_hours_waits_and_is_then_worked_on(
    home: SiteHome, text: str, working: Trainer
) -> None:
    working.rest = hours = Hours()
    thread, answers = calling(working, a_call(text, a_request(STUDY)))
    assert hours.waited.wait(60)
    told = read_progress(home.progress)
    assert (told.state, told.run, told.round) == ("idle", "tiny-run-1", 1)
    assert not events(home, "task.received")
    hours.begun.set()
    thread.join(60)
    assert unpack(answers[0])[0].keys() == {"key"}


def test_a_task_whose_run_is_stopped_while_it_waits_for_hours_is_not_begun(
    home: SiteHome, text: str, working: Trainer
) -> None:
    working.rest = hours = Hours()
    thread, answers = calling(working, a_call(text, a_request(STUDY)))
    assert hours.waited.wait(60)
    working.respond(pack({"kind": STOP, "runs": ["tiny-run-1"]}))
    thread.join(60)
    assert unpack(answers[0])[0]["kind"] == "FederationError"
    assert not events(home, "task.received")


def test_training_rests_where_the_hours_end_and_goes_on_to_the_same_bits_and_the_rest_costs_nothing(
    home: SiteHome, text: str, working: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = trainer.answer("train", read_task(a_request(STUDY)), load_site(home), STUDY)
    working.rest = hours = Hours()
    hours.begun.set()
    honest = working.progress.report
    steps: list[str] = []

    def closing(*arguments: object) -> object:
        show = honest(*arguments)

        def report(step: str, done: int, total: int) -> None:
            show(step, done, total)
            steps.append(step)
            if len(steps) == 1:
                hours.begun.clear()

        return report

    monkeypatch.setattr(working.progress, "report", closing)
    thread, answers = calling(working, a_call(text, a_request(STUDY)))
    assert hours.waited.wait(60)
    assert not answers
    hours.begun.set()
    thread.join(60)
    _, answer = unpack(answers[0])
    assert answer.arrays["weights"].tobytes() == undisturbed.arrays["weights"].tobytes()
    assert "training" in steps[1:]


def test_a_meter_counts_nothing_while_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 100.0}
    monkeypatch.setattr(trainer_process.time, "monotonic", lambda: clock["now"])
    meter = Meter(Effort(), on_gpu=True)
    clock["now"] = 110.0
    with meter.stopped():
        clock["now"] = 50_110.0
    clock["now"] += 5
    assert meter.read().gpu_s == 15.0


def test_a_process_that_met_an_unexpected_error_leaves_the_next_task_to_a_fresh_one(
    text: str, working: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Event()

    def end(code: int) -> None:
        assert code == trainer_process.WORN
        ended.set()
        Event().wait()  # as good as gone

    def fail(*_: object) -> Records:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(trainer_process.os, "_exit", end)
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "answer", fail)
        answer = working.respond(a_call(text, a_request(STUDY)))
    assert unpack(answer)[0] == {"code": 100, "kind": "RuntimeError"}
    assert not ended.is_set()
    calling(working, a_call(text, a_request(STUDY)))
    assert ended.wait(60)


def test_a_site_has_one_trainer(home: SiteHome, text: str) -> None:
    home.run.mkdir()
    with (home.run / "trainer.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FederationError, match="trainer already"):
            serve_site(home)


def test_a_killed_trainer_answers_again_with_the_same_bytes_and_trains_what_was_cut(home: SiteHome) -> None:
    """One life: training cut by SIGKILL is taken up by the next process, and a third only hands out what was kept."""
    study = a_long_study()
    text = study_text(home.root, study)
    approved(home, text)
    answers: list[Packed | SiteError] = []

    def asking() -> Thread:
        arguments = (home.trainer, "train", text, packed(a_request(study)))
        thread = Thread(target=lambda: answers.append(ask(*arguments)), daemon=True)
        thread.start()
        return thread

    processes = [start_trainer(home)]
    try:
        asked = asking()
        until(lambda: read_progress(home.progress).state == "training")
        spent = read_progress(home.progress).cpu_s
        processes[-1].kill()
        processes[-1].wait()
        processes.append(start_trainer(home))
        asked.join(120)
        assert events(home, "task.received") == ["task.received"] * 2
        assert json.loads((home.spool / "efforts.json").read_text())["tiny-run-1"]["cpu_s"] > spent
        processes[-1].kill()
        processes[-1].wait()
        processes.append(start_trainer(home))
        asking().join(120)
        assert events(home, "task.received") == ["task.received"] * 2
        first, again = answers
        assert isinstance(first, Packed)
        assert first == again
        here = trainer.answer("train", a_task(study), load_site(home), study, str(first.config["receipt"]))
        assert packed(here) == first
        processes[-1].send_signal(signal.SIGTERM)
        assert processes[-1].wait(60) == 0
        assert not home.trainer.exists()
    finally:
        for process in processes:
            process.kill()
            process.wait()
