"""Who is let in and why not, and a log of refusals that an intruder cannot fill."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from core.errors import AccessError, RecordsError
from core.records.audit import verify
from core.signing import load_public
from fl_server import access
from fl_server.access import ALL_EVENTS, SOURCE_EVENTS, Caller, Refusals, check_access
from tests.fl_server.factories_coordinator import Coordinator, coordinator, enrolled, outdated, refusals

STRANGER = Caller("10.0.0.9", "NONE", "", "POST", "/v1/control/start-run")


@pytest.fixture
def of(database: str) -> Iterator[Coordinator]:
    with coordinator(database=database) as made:
        yield made


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def bodies(of: Coordinator) -> list[dict[str, object]]:
    return [json.loads(event.body) for event in refusals(of)]


def test_each_reason_has_its_sentence(of: Coordinator) -> None:
    serial = enrolled(of, "north").serial
    for verify_result, number, sentence in (
        ("NONE", "", "No client certificate was shown"),
        ("SUCCESS", "", "No client certificate was shown"),
        ("FAILED:certificate has expired", serial, "has expired"),
        ("FAILED:unable to verify the first certificate", serial, "not of this federation"),
        ("FAILED:self-signed certificate", serial, "not of this federation"),
        ("anything", serial, "not of this federation"),
        ("SUCCESS", "12ab", "unknown to this federation"),
        ("SUCCESS", "no number", "unknown to this federation"),
        ("SUCCESS", "-1", "unknown to this federation"),
    ):
        with pytest.raises(AccessError, match=sentence) as error:
            check_access(of.records, replace(STRANGER, verify=verify_result, serial=number))
        assert error.value.fix


def test_a_serial_is_found_as_nginx_writes_it(of: Coordinator) -> None:
    serial = enrolled(of, "north").serial
    assert check_access(of.records, replace(STRANGER, verify="SUCCESS", serial=f"00{serial.upper()}")) == "north"


def test_the_records_know_that_a_certificate_has_expired_also_where_tls_does_not_say_so(of: Coordinator) -> None:
    """A resumed TLS session keeps the verdict of its beginning."""
    serial = outdated(of, "north").serial
    with pytest.raises(AccessError, match="has expired"):
        check_access(of.records, replace(STRANGER, verify="SUCCESS", serial=serial))


def test_a_refusal_says_who_what_and_why(of: Coordinator) -> None:
    Refusals(of.records).note(replace(STRANGER, serial="0AB1"), "No client certificate was shown")
    assert bodies(of) == [
        {
            "source": "10.0.0.9",
            "serial": "ab1",
            "what": "POST /v1/control/start-run",
            "why": "No client certificate was shown",
        }
    ]
    assert [event.actor for event in refusals(of)] == ["intruder"]
    assert verify(of.records, None, load_public(of.home / "keys" / "signing.pub")).events == 1


def test_the_same_refusal_is_written_once_a_minute_with_its_count(of: Coordinator) -> None:
    clock = Clock()
    log = Refusals(of.records, clock)
    for _ in range(50):
        log.note(STRANGER, "why")
    log.note(replace(STRANGER, path="/other"), "why")
    assert len(bodies(of)) == 2
    clock.seconds += 59.9
    log.note(STRANGER, "why")
    assert len(bodies(of)) == 2
    clock.seconds += 0.2
    log.note(STRANGER, "why")
    assert [body.get("repeated") for body in bodies(of)] == [None, None, 50, None]


def test_each_part_of_a_refusal_makes_another_one(of: Coordinator) -> None:
    log = Refusals(of.records, Clock())
    log.note(STRANGER, "why")
    for changed in ({"source": "10.0.0.8"}, {"serial": "1"}, {"path": "/x"}, {"method": "GET"}):
        log.note(replace(STRANGER, **changed), "why")
    log.note(STRANGER, "another")
    assert len(bodies(of)) == 6


def test_one_intruder_cannot_fill_the_log_nor_this_process(of: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "SOURCE_EVENTS", 5)
    monkeypatch.setattr(access, "MOST_REMEMBERED", 20)
    clock = Clock()
    log = Refusals(of.records, clock)
    for number in range(500):
        log.note(replace(STRANGER, path=f"/{number}"), "why")
    assert len(bodies(of)) == 5
    assert len(log._seen) <= 20
    log.note(replace(STRANGER, source="10.0.0.8"), "why")
    assert bodies(of)[-1]["source"] == "10.0.0.8"
    assert bodies(of)[-1]["unwritten"] == 495
    clock.seconds += access.SOURCE_EVERY_S * 2
    for number in range(500):
        log.note(replace(STRANGER, path=f"/again/{number}"), "why")
    assert len(bodies(of)) == 5 + 1 + 2


def test_many_intruders_cannot_either(of: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "ALL_EVENTS", 30)
    monkeypatch.setattr(access, "MOST_REMEMBERED", 20)
    log = Refusals(of.records, Clock())
    for number in range(200):
        log.note(replace(STRANGER, source=f"10.0.{number}.1"), "why")
    assert len(bodies(of)) == 30
    assert len(log._sources) <= 20


def test_a_whole_sweep_over_every_call_fits_into_the_log() -> None:
    assert SOURCE_EVENTS >= 5 * 180  # five intruders, every route of Flower's and ours, and tricks: test_intruder.py
    assert ALL_EVENTS > SOURCE_EVENTS


def test_a_database_that_is_down_does_not_let_anybody_in(
    of: Coordinator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(_engine: object) -> object:
        raise RecordsError("the database is down", fix="start it")

    monkeypatch.setattr(access, "transaction", down)
    Refusals(of.records).note(STRANGER, "why")  # does not raise: the caller is refused all the same
    assert "the database is down" in caplog.text
    monkeypatch.setattr(access, "reading", down)
    with pytest.raises(RecordsError):
        check_access(of.records, replace(STRANGER, verify="SUCCESS", serial="1"))
