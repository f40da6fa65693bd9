import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Error, Message

from core.errors import FederationError, RecordsError
from fl_server import exchange as module
from fl_server import journal, uploads
from fl_server.exchange import ASK_AGAIN_S, NO_ANSWER, NOT_CONNECTED, UNDELIVERED, Answers, exchange
from fl_server.strategies import FederatedAveraging, task_content
from fl_server.uploads import Upload
from simulations.federation import InProcessGrid
from tests.fl_server.factories_answers import (
    MANIFEST,
    SITES,
    Answer,
    a_grid,
    a_journal,
    a_study,
    a_task,
    honest,
    opened,
)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for due in [event for event in self.events if event[0] <= self.now]:
            self.events.remove(due)
            due[1]()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def run(folder: Path, grid: InProcessGrid, **federation: float) -> tuple[Answers, FederatedAveraging]:
    study = a_study(**{"deadline_s": 100, "grace_s": 50, **federation})
    strategy = FederatedAveraging(study, MANIFEST, SITES, opened(a_journal(folder)))
    return exchange(grid, strategy, strategy.configure_train(3, *task_content(a_task(study)), grid)), strategy


def counting(strategy: FederatedAveraging, answers: Answers) -> list[str]:
    strategy.aggregate_train(3, answers.replies)
    return sorted(strategy.outcome.updates)


def crash(_site: str, task: Message) -> list[Message]:
    return [Message(Error(2, "anything"), reply_to=task)]


def failing(site: str, times: int, how: Answer = crash) -> tuple[Answer, list[str]]:
    """Let a site fail some times before it answers; also return who was asked, in order."""
    asked: list[str] = []

    def answer(name: str, task: Message) -> list[Message]:
        asked.append(name)
        return (how if name == site and asked.count(site) <= times else honest)(name, task)

    return answer, asked


def test_a_round_closes_at_once_when_every_site_has_answered(tmp_path: Path, clock: Clock) -> None:
    answers, strategy = run(tmp_path, a_grid(honest))
    assert counting(strategy, answers) == [*SITES]
    assert clock.now == 0


def test_a_site_that_fails_is_asked_again_until_it_answers(tmp_path: Path, clock: Clock) -> None:
    answer, asked = failing("site-b", 3)
    answers, strategy = run(tmp_path, a_grid(answer))
    assert counting(strategy, answers) == [*SITES]
    assert asked == ["site-a", "site-b", "site-c", "site-b", "site-b", "site-b"]
    # Three rests, each twice as long as the one before, and the round is over before its deadline.
    assert 7 * ASK_AGAIN_S <= clock.now < 100


def test_a_site_that_sends_what_may_not_count_is_asked_again_and_only_its_good_answer_counts(
    tmp_path: Path, clock: Clock
) -> None:
    def stranger(name: str, task: Message) -> list[Message]:
        return honest("site-c" if name == "site-b" else name, task)

    answer, _ = failing("site-b", 1, stranger)
    answers, strategy = run(tmp_path, a_grid(answer))
    assert counting(strategy, answers) == [*SITES]
    assert not strategy.outcome.rejected
    assert len(answers.replies) == 3


def test_a_site_that_is_away_and_comes_back_is_asked_then(tmp_path: Path, clock: Clock) -> None:
    grid = a_grid(honest)
    away = grid.contexts.pop("site-c")
    clock.events.append((30, lambda: grid.contexts.update({"site-c": away})))
    answers, strategy = run(tmp_path, grid)
    assert counting(strategy, answers) == [*SITES]
    assert 30 <= clock.now < 40


def test_a_site_that_never_comes_is_left_out_at_the_deadline_with_its_cause(tmp_path: Path, clock: Clock) -> None:
    answers, strategy = run(tmp_path, a_grid(honest, ("site-a", "site-b")))
    assert counting(strategy, answers) == ["site-a", "site-b"]
    assert answers.failed == {"site-c": NOT_CONNECTED}
    assert 100 <= clock.now < 101


def test_a_site_that_keeps_failing_is_left_out_with_its_last_cause(tmp_path: Path, clock: Clock) -> None:
    answer, asked = failing("site-a", 1000)
    answers, _ = run(tmp_path, a_grid(answer))
    assert answers.failed == {"site-a": "the site's app stopped with an error that it did not report itself (code 2)"}
    # 2, 4, 8, 16 and 32 seconds of rest: six times within a hundred seconds.
    assert asked.count("site-a") == 6


def test_below_its_quorum_a_round_waits_for_the_grace_and_closes_as_soon_as_it_has_it(
    tmp_path: Path, clock: Clock
) -> None:
    grid = a_grid(honest, ("site-a",))
    missing = a_grid(honest).contexts["site-b"]
    clock.events.append((120, lambda: grid.contexts.update({"site-b": missing})))
    answers, strategy = run(tmp_path, grid)
    assert counting(strategy, answers) == ["site-a", "site-b"]
    assert 120 <= clock.now < 125


def test_without_its_quorum_a_round_ends_with_the_grace(tmp_path: Path, clock: Clock) -> None:
    answers, strategy = run(tmp_path, a_grid(honest, ("site-a",)))
    assert counting(strategy, answers) == ["site-a"]
    assert 150 <= clock.now < 151


def test_a_task_that_is_asked_again_expires_when_the_round_closes(tmp_path: Path, clock: Clock) -> None:
    lives: list[float] = []

    def slow(name: str, task: Message) -> list[Message]:
        lives.append(task.metadata.ttl)
        return crash(name, task) if len(lives) <= 3 else honest(name, task)

    run(tmp_path, a_grid(slow))
    assert lives[:3] == [150, 150, 150]
    assert all(life < 149 for life in lives[3:])


def test_a_task_that_could_not_be_sent_is_sent_again(tmp_path: Path, clock: Clock) -> None:
    class Lossy(InProcessGrid):
        full = True

        def push_messages(self, messages):
            messages = list(messages)
            if self.full:
                self.full = False
                return []
            return (
                [None, *super().push_messages(messages[1:])] if len(messages) == 3 else super().push_messages(messages)
            )

    grid = a_grid(honest)
    grid.__class__ = Lossy
    answers, strategy = run(tmp_path, grid)
    assert counting(strategy, answers) == [*SITES]
    assert not answers.failed
    assert UNDELIVERED not in answers.failed.values()


def test_answers_are_taken_a_few_at_a_time(tmp_path: Path, clock: Clock) -> None:
    pulled: list[int] = []

    class Counting(InProcessGrid):
        def pull_messages(self, message_ids):
            wanted = list(message_ids)
            pulled.append(len(wanted))
            arrived = [reply for reply in self.waiting if reply.metadata.reply_to_message_id in wanted]
            self.waiting = [reply for reply in self.waiting if reply not in arrived]
            return arrived

    grid = a_grid(honest)
    grid.__class__ = Counting
    answers, _ = run(tmp_path, grid)
    assert len(answers.replies) == 3
    assert max(pulled) <= module.AT_ONCE


class Edge:
    """What the edge tells of uploads; times are any texts that sort."""

    def __init__(self) -> None:
        self.uploads = {site: Upload("0", "0") for site in SITES}

    def __call__(self, sites: tuple[str, ...]) -> dict[str, Upload]:
        return {site: self.uploads[site] for site in sites}


class Watched(InProcessGrid):
    """Brings an answer only when it is asked for by name, and writes down who was asked for when."""

    def pull_messages(self, message_ids):
        wanted = set(message_ids)
        self.asked_for.append((self.clock.now, len(wanted)))
        arrived = [reply for reply in self.waiting if reply.metadata.reply_to_message_id in wanted]
        self.waiting = [reply for reply in self.waiting if reply not in arrived]
        return arrived


def watched(clock: Clock, answer: Answer = honest) -> InProcessGrid:
    grid = a_grid(answer)
    grid.__class__ = Watched
    grid.clock, grid.asked_for = clock, []
    return grid


def run_watched(folder: Path, grid: InProcessGrid, edge: Edge) -> tuple[Answers, FederatedAveraging]:
    study = a_study(deadline_s=1000, grace_s=0)
    strategy = FederatedAveraging(study, MANIFEST, SITES, opened(a_journal(folder)))
    tasks = strategy.configure_train(3, *task_content(a_task(study)), grid)
    return exchange(grid, strategy, tasks, edge), strategy


def test_where_the_edge_tells_of_uploads_an_answer_is_fetched_when_it_is_there_and_not_before(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "age_s", lambda _: 1.0)
    edge, grid = Edge(), watched(clock)
    edge.uploads = {site: Upload("1", "0") for site in SITES}
    for number, site in enumerate(SITES, 1):
        clock.events.append((10.0 * number, lambda site=site: edge.uploads.update({site: Upload("1", "2")})))
    answers, strategy = run_watched(tmp_path, grid, edge)
    assert counting(strategy, answers) == [*SITES]
    assert 30 <= clock.now < 30.2
    # One question a site, once its upload was over; those in the middle of one were not asked in passing.
    assert [count for _, count in grid.asked_for] == [1, 1, 1]


def test_an_upload_of_an_earlier_round_is_not_looked_into_again(tmp_path: Path, clock: Clock) -> None:
    edge, grid = Edge(), watched(clock, lambda *_: [])
    edge.uploads = {site: Upload("5", "6") for site in SITES}
    answers, _ = run_watched(tmp_path, grid, edge)
    assert not answers.replies
    assert {count for _, count in grid.asked_for} == {3}, "in passing only, for all at once"
    assert len(grid.asked_for) <= 1000 / module.IN_PASSING_S + 1


def test_an_upload_that_never_ends_is_looked_into_after_a_while(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flower has then put an error in its place, for which the site is asked again."""
    monkeypatch.setattr(module, "age_s", lambda _: clock.now)
    answer, asked = failing("site-a", 1)
    edge, grid = Edge(), watched(clock, answer)
    edge.uploads["site-a"] = Upload("1", "0")
    answers, strategy = run_watched(tmp_path, grid, edge)
    assert counting(strategy, answers) == [*SITES]
    assert asked.count("site-a") == 2
    assert clock.now >= module.LONGEST_UPLOAD_S


def test_a_site_that_is_there_but_works_on_nothing_has_lost_its_task_and_is_asked_again(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its node took the task and was killed; the next one knows nothing of it, and Flower does not say so."""

    def text() -> str:
        return f"2026-11-24T21:{int(clock.now) // 60:02d}:{clock.now % 60:09.6f}Z"

    monkeypatch.setattr(module, "now", text)
    answer, asked = failing("site-a", 1, lambda *_: [])
    edge, grid = Edge(), watched(clock, answer)

    def heard() -> None:
        # Site a tells its status all the time; b and c have answered.
        # It had got on for two seconds before its node was killed.
        edge.uploads["site-a"] = Upload("", "", text(), "2026-11-24T21:00:02.000000Z")
        clock.events.append((clock.now + 1, heard))

    heard()
    answers, strategy = run_watched(tmp_path, grid, edge)
    assert counting(strategy, answers) == [*SITES]
    assert asked.count("site-a") == 2
    assert clock.now >= module.LOST_S


def test_a_site_that_gets_on_with_its_task_is_left_alone(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "now", lambda: "2026-11-24T21:00:00.000000Z")
    answer, asked = failing("site-a", 1, lambda *_: [])
    edge = Edge()
    edge.uploads["site-a"] = Upload("", "", "2026-11-24T22:00:00.000000Z", "2026-11-24T21:59:59.000000Z")
    answers, _ = run_watched(tmp_path, watched(clock, answer), edge)
    assert asked.count("site-a") == 1
    assert answers.failed == {"site-a": NO_ANSWER}


def test_a_site_that_has_a_task_is_not_asked_again_while_it_works(tmp_path: Path, clock: Clock) -> None:
    asked: list[str] = []

    def silent(name: str, task: Message) -> list[Message]:
        asked.append(name)
        return [] if name == "site-a" else honest(name, task)

    answers, _ = run(tmp_path, a_grid(silent))
    assert asked == [*SITES]
    assert answers.failed == {"site-a": NO_ANSWER}


def test_who_has_answered_another_process_is_not_asked_again_and_counts(tmp_path: Path, clock: Clock) -> None:
    def away(site: str, task: Message) -> list[Message]:
        return [] if site == "site-a" else honest(site, task)

    first, _ = run(tmp_path, a_grid(away))
    assert sorted(reply.metadata.src_node_id for reply in first.replies) == [3, 4]
    answer, asked = failing("site-b", 1000)
    # Both of those are gone by now, and the round has its quorum without site-a.
    second, strategy = run(tmp_path, a_grid(answer, ("site-a",)))
    assert asked == ["site-a"]
    assert counting(strategy, second) == [*SITES]
    assert not second.failed
    assert not run(tmp_path, a_grid(answer))[0].failed
    assert asked == ["site-a"], "all have answered"


def full_until(monkeypatch: pytest.MonkeyPatch, clock: Clock, name: str, error: Exception, then: float) -> list[float]:
    """Let what the journal writes with fail until so much time has passed; returns when it was tried."""
    write, tried = getattr(journal, name), list[float]()

    def fail_first(*what: object) -> None:
        tried.append(clock.now)
        if clock.now < then:
            raise error
        write(*what)

    monkeypatch.setattr(journal, name, fail_first)
    return tried


FULL = OSError(errno.ENOSPC, "No space left on device")
NO_PAGES = RecordsError("The database records.db cannot be used (SQLITE_FULL)", fix="make room")


@pytest.mark.parametrize(
    ("what", "error"), [("write_atomically", FULL), ("note_arrival", NO_PAGES), ("ask_sites", NO_PAGES)]
)
def test_an_answer_that_found_no_room_is_asked_for_again_and_counts_once_there_is_some(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, what: str, error: Exception
) -> None:
    tried = full_until(monkeypatch, clock, what, error, 20)
    answers, strategy = run(tmp_path, a_grid(honest))
    assert counting(strategy, answers) == [*SITES]
    assert not answers.failed
    assert 20 <= clock.now < 100
    assert len(tried) < 40, "sites are asked with growing rests"


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("write_atomically", FULL, "The coordinator's disk is full"),
        ("note_arrival", NO_PAGES, "SQLITE_FULL"),
        ("ask_sites", NO_PAGES, "SQLITE_FULL"),
    ],
)
def test_a_disk_that_stays_full_ends_the_exchange_with_the_cause_and_keeps_what_had_arrived(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, what: str, error: Exception, said: str
) -> None:
    """Although two of three sites would be a quorum: no site is left out of a round because our disk is full."""
    run(tmp_path, a_grid(honest, ("site-a", "site-b")))
    full_until(monkeypatch, clock, what, error, 1e9)
    with pytest.raises(FederationError, match=said):
        run(tmp_path, a_grid(honest))
    monkeypatch.undo()
    answer, asked = failing("site-c", 0)
    answers, strategy = run(tmp_path, a_grid(answer))
    assert asked == ["site-c"]
    assert counting(strategy, answers) == [*SITES]


def test_a_site_that_could_not_be_asked_at_first_and_never_answers_is_left_out_like_any_other(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_until(monkeypatch, clock, "ask_sites", NO_PAGES, 10)
    answer, _ = failing("site-a", 1000, lambda *_: [])
    answers, strategy = run(tmp_path, a_grid(answer))
    assert counting(strategy, answers) == ["site-b", "site-c"]
    assert "site-a" in answers.failed


class Lived(Edge):
    """An edge that sees site-a's node end with its task, and start anew at a given second."""

    def __init__(self, clock: Clock, at: float, before: Upload, after: Upload) -> None:
        super().__init__()
        self.uploads["site-a"] = before
        clock.events.append((at, lambda: self.uploads.update({"site-a": after})))


def second(number: int) -> str:
    return f"2026-11-24T21:00:{number:02d}.000000Z"


@pytest.fixture
def seconds(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "now", lambda: second(int(clock.now)))
    monkeypatch.setattr(module, "age_s", lambda text: clock.now - int(text[17:19]))


@pytest.mark.usefixtures("seconds")
def test_a_site_whose_node_was_started_anew_has_lost_its_task_and_is_asked_again_at_once(
    tmp_path: Path, clock: Clock
) -> None:
    answer, asked = failing("site-a", 1, lambda *_: [])
    edge = Lived(clock, 10, Upload("", ""), Upload("", "", anew=second(9)))
    answers, strategy = run_watched(tmp_path, watched(clock, answer), edge)
    assert counting(strategy, answers) == [*SITES]
    assert asked.count("site-a") == 2
    # It was looked for within two seconds, and its answer fetched in passing within five.
    assert clock.now < 10 + module.LOOK_S + module.IN_PASSING_S + 1


@pytest.mark.usefixtures("seconds")
def test_of_an_upload_that_broke_off_with_its_node_the_other_half_is_not_waited_for(
    tmp_path: Path, clock: Clock
) -> None:
    """SuperLink has a part of it, and who fetches that waits for three minutes."""
    answer, asked = failing("site-a", 1, lambda *_: [])
    grid = watched(clock, answer)
    # Between two looks at who is to be asked again there is one in passing at who has answered.
    edge = Lived(clock, 14.5, Upload(second(3), ""), Upload(second(3), "", anew=second(14)))
    pull, pulled = grid.pull_messages, []
    grid.pull_messages = lambda ids: (pulled.extend(ids), pull(ids))[1]
    answers, strategy = run_watched(tmp_path, grid, edge)
    assert counting(strategy, answers) == [*SITES]
    assert asked.count("site-a") == 2
    assert "message-1" not in pulled
    assert "message-4" in pulled
    assert clock.now < 14.5 + module.LOOK_S + module.IN_PASSING_S + 1


@pytest.mark.usefixtures("seconds")
@pytest.mark.parametrize(
    "heard",
    [
        Upload("", "", anew=second(0)),
        # It has begun to answer since: what was asked was not lost.
        Upload(second(30), "", anew=second(20)),
    ],
)
def test_a_node_that_was_started_before_or_hands_an_answer_over_is_not_asked_again(
    tmp_path: Path, clock: Clock, heard: Upload
) -> None:
    answer, asked = failing("site-a", 1, lambda *_: [])
    edge = Lived(clock, 31, Upload("", ""), replace(heard, seen=""))
    clock.events.append((58, lambda: setattr(clock, "now", 1000)))
    answers, _ = run_watched(tmp_path, watched(clock, answer), edge)
    assert asked.count("site-a") == 1
    assert answers.failed == {"site-a": NO_ANSWER}


NOON, EVENING = "2026-11-24T12:00:00.000000Z", "2026-11-24T20:00:00.000000Z"


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noon for whoever looks whether a site waits until the evening."""
    monkeypatch.setattr(uploads, "now", lambda: NOON)


def counted_asks() -> tuple[Answer, list[str]]:
    return failing("nobody", 0)


@pytest.mark.usefixtures("noon")
def test_a_site_outside_its_hours_is_not_asked_and_left_out_with_them_as_its_cause(
    tmp_path: Path, clock: Clock
) -> None:
    answer, asked = counted_asks()
    edge = Edge()
    edge.uploads["site-c"] = Upload("0", "0", opens=EVENING)
    answers, strategy = run_watched(tmp_path, watched(clock, answer), edge)
    assert counting(strategy, answers) == ["site-a", "site-b"]
    assert asked == ["site-a", "site-b"]
    assert answers.failed == {"site-c": "waits until 2026-11-24 20:00 UTC: the site's own hours"}
    assert 1000 <= clock.now < 1001, "the others are a quorum: the deadline is as agreed"


@pytest.mark.usefixtures("noon")
def test_below_the_quorum_a_round_waits_for_hours_and_its_deadline_with_it(tmp_path: Path, clock: Clock) -> None:
    answer, asked = counted_asks()
    edge, grid = Edge(), watched(clock, answer)
    for site in ("site-b", "site-c"):
        edge.uploads[site] = Upload("0", "0", opens=EVENING)
    # Far beyond deadline and grace, b's hours begin; c's do not.
    clock.events.append((50_000, lambda: edge.uploads.update({"site-b": Upload("0", "0")})))
    answers, strategy = run_watched(tmp_path, grid, edge)
    assert counting(strategy, answers) == ["site-a", "site-b"]
    assert asked == ["site-a", "site-b"]
    # From then on the others are a quorum, and the thousand seconds of the deadline pass.
    assert 51_000 <= clock.now < 51_020
    assert answers.seconds == pytest.approx(clock.now)


@pytest.mark.usefixtures("noon")
def test_a_site_that_rests_in_the_middle_of_a_task_has_not_lost_it(tmp_path: Path, clock: Clock) -> None:
    answer, asked = failing("site-a", 1, lambda *_: [])
    edge, grid = Edge(), watched(clock, answer)
    resting = Upload("", "", "2026-11-24T19:00:00.000000Z", "2026-11-24T06:00:00.000000Z", opens=EVENING)
    clock.events.append((1, lambda: edge.uploads.update({"site-a": resting})))
    answers, _ = run_watched(tmp_path, grid, edge)
    assert asked.count("site-a") == 1
    assert answers.failed["site-a"].startswith("waits until 2026-11-24 20:00 UTC")


@pytest.mark.usefixtures("noon")
def test_a_site_whose_hours_have_begun_and_that_does_not_answer_is_left_out_for_that(
    tmp_path: Path, clock: Clock
) -> None:
    edge = Edge()
    edge.uploads["site-a"] = Upload("0", "0", opens=EVENING)
    clock.events.append((100, lambda: edge.uploads.update({"site-a": Upload("0", "0")})))
    answer, asked = failing("site-a", 9, lambda *_: [])
    answers, _ = run_watched(tmp_path, watched(clock, answer), edge)
    assert "site-a" in asked
    assert answers.failed == {"site-a": NO_ANSWER}
