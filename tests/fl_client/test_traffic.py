"""SuperNode's health as the gate sees it, on a clock that the test turns."""

import logging

import pytest

from fl_client.fleet_messages import ACTIVATE, HEARTBEAT, PULL_MESSAGES, PUSH_MESSAGES, PUSH_OBJECT
from fl_client.traffic import SILENCE_S, Passed, Traffic


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(traffic: Traffic, *calls: str) -> None:
    for call in calls:
        with traffic.call(call):
            pass


def beaten(clock: Clock, traffic: Traffic, seconds: float) -> None:
    """Let time go by in which nothing but the heartbeat, every 20 s, reaches the gate."""
    until = clock.now + seconds
    while clock.now < until:
        clock.now += 20
        made(traffic, HEARTBEAT)


def test_a_supernode_that_asks_and_beats_is_not_silent() -> None:
    traffic = Traffic(clock := Clock())
    for _ in range(100):
        made(traffic, PULL_MESSAGES)
        beaten(clock, traffic, 100)
        assert not traffic.is_silent()


def test_a_loop_that_no_longer_asks_is_silent_though_its_heart_beats() -> None:
    traffic = Traffic(clock := Clock())
    made(traffic, ACTIVATE, PULL_MESSAGES)
    beaten(clock, traffic, SILENCE_S)
    assert not traffic.is_silent()
    beaten(clock, traffic, 20)
    assert traffic.is_silent()


def test_a_heart_that_stopped_is_silence_though_the_loop_asks() -> None:
    """Flower then holds the node for offline, and sends it no task."""
    traffic = Traffic(clock := Clock())
    made(traffic, HEARTBEAT)
    for _ in range(int(SILENCE_S // 10)):
        clock.now += 10
        made(traffic, PULL_MESSAGES)
    assert not traffic.is_silent()
    clock.now += 10
    made(traffic, PULL_MESSAGES)
    assert traffic.is_silent()


def test_a_task_may_take_for_ever_while_the_heart_beats() -> None:
    traffic = Traffic(clock := Clock())
    made(traffic, PULL_MESSAGES)
    traffic.polled(brought=True)
    beaten(clock, traffic, 100_000)
    assert not traffic.is_silent()
    made(traffic, PUSH_MESSAGES, PUSH_OBJECT)  # the answer is handed over: from here on the loop must ask again
    beaten(clock, traffic, SILENCE_S + 20)
    assert traffic.is_silent()


def test_a_gate_that_comes_back_while_a_task_is_worked_on_waits_for_its_end() -> None:
    traffic = Traffic(clock := Clock())
    beaten(clock, traffic, 100_000)
    assert not traffic.is_silent()


def test_a_call_that_the_gate_holds_is_no_silence() -> None:
    traffic = Traffic(clock := Clock())
    with traffic.call(PULL_MESSAGES):
        beaten(clock, traffic, 10 * SILENCE_S)
        assert not traffic.is_silent()


def test_a_supernode_that_is_not_let_in_yet_is_not_silent() -> None:
    traffic = Traffic(clock := Clock())
    for _ in range(50):
        clock.now += 20
        made(traffic, ACTIVATE)
    assert not traffic.is_silent()


def test_a_new_supernode_has_time_to_start() -> None:
    traffic = Traffic(clock := Clock())
    clock.now += SILENCE_S + 1
    assert traffic.is_silent()
    traffic.watch_anew()
    assert not traffic.is_silent()


def test_bytes_are_counted_by_run_and_in_all() -> None:
    traffic = Traffic()
    traffic.count(7, Passed(10, 1))
    traffic.count(8, Passed(200, 20))
    traffic.count(7, Passed(3000, 300))
    traffic.count(None, Passed(1, 1))
    assert traffic.of_run(7) == Passed(3010, 301)
    assert traffic.of_run(8) == Passed(200, 20)
    assert traffic.of_run(9) == Passed()
    assert traffic.passed == Passed(3211, 322)


def test_a_cause_is_logged_once_and_ends_with_the_next_success(caplog: pytest.LogCaptureFixture) -> None:
    traffic = Traffic()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            traffic.fail("The proxy does not answer", "ask the network's people")
        since = traffic.cause.since if traffic.cause else ""
        traffic.fail("The proxy does not answer", "ask the network's people")
        assert traffic.cause is not None
        assert traffic.cause.since == since
        traffic.succeed()
        traffic.succeed()
    assert traffic.cause is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
