from collections.abc import Callable
from pathlib import Path

import pytest
from flwr.app import Error, Message

from fl_server import exchange as module
from fl_server.exchange import ASK_AGAIN_S, NO_ANSWER, NOT_CONNECTED, UNDELIVERED, Answers, exchange
from fl_server.spool import Spool
from fl_server.strategies import FederatedAveraging, task_content
from fl_server.uploads import Upload
from simulations.federation import InProcessGrid
from tests.fl_server.factories_answers import MANIFEST, SITES, Answer, a_grid, a_study, a_task, honest


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
    strategy = FederatedAveraging(study, MANIFEST, SITES, Spool(folder))
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
    strategy = FederatedAveraging(study, MANIFEST, SITES, Spool(folder))
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
