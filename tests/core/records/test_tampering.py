"""Whatever somebody with every right on the database does to the audit log, `verify` names the first event concerned.

Each test takes the triggers away, as an attacker would, and writes the table anew.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, text, update

from core.errors import AuditError
from core.records import audit
from core.records.db import open_database
from core.records.tables import AuditEvent, AuditHead

LENGTH = 9
AT = "2026-11-24T21:55:19.123456Z"

numbers = st.integers(1, LENGTH)
spans = st.tuples(numbers, numbers).map(sorted)
fields = st.sampled_from(["at", "actor", "action", "body", "previous", "hash"])
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map("not {}".format)
some = settings(max_examples=40, deadline=None)


class Event(NamedTuple):
    seq: int
    at: str
    actor: str
    action: str
    body: str
    previous: str
    hash: str


def hashed(event: Event) -> Event:
    """The event with the hash it should have, as a naive twin works it out."""
    lines = [event.previous, str(event.seq), event.at, event.actor, event.action, event.body]
    return event._replace(hash=hashlib.sha256("\n".join(lines).encode()).hexdigest())


def chained(events: list[Event], previous: str = "0" * 64) -> list[Event]:
    """The events with every hash made anew."""
    chain: list[Event] = []
    for event in events:
        chain.append(hashed(event._replace(previous=chain[-1].hash if chain else previous)))
    return chain


def renumbered(events: list[Event]) -> list[Event]:
    return [event._replace(seq=seq) for seq, event in enumerate(events, 1)]


ORIGINAL = chained([Event(n, AT, "it", "a.b", f'{{"n":{n}}}', "", "") for n in range(1, LENGTH + 1)])
FORGED = Event(0, AT, "intruder", "a.b", "{}", "", "f" * 64)


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('records') / 'records.db'}"
    else:
        url = request.getfixturevalue("mariadb_server").fresh()
    engine = open_database(url)
    with engine.begin() as connection:
        for verb in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER audit_events_no_{verb}"))
    yield engine
    engine.dispose()


def store(engine: Engine, events: list[Event], end: Event = ORIGINAL[-1]) -> None:
    with engine.begin() as connection:
        connection.execute(delete(AuditEvent))
        if events:
            connection.execute(insert(AuditEvent), [event._asdict() for event in events])
        connection.execute(update(AuditHead).values(seq=end.seq, hash=end.hash, checkpoints=0))


def verdict(engine: Engine, events: list[Event], end: Event = ORIGINAL[-1]) -> str:
    store(engine, events, end)
    with pytest.raises(AuditError) as caught:
        audit.verify(engine, None, None)
    return caught.value.problem


def test_the_twin_writes_what_verify_takes(opened: Engine) -> None:
    store(opened, ORIGINAL)
    assert audit.verify(opened, None, None) == audit.Verified(LENGTH, ORIGINAL[-1].hash, 0)


@some
@given(n=numbers, field=fields, value=texts)
def test_a_changed_event_is_named(opened: Engine, n: int, field: str, value: str) -> None:
    changed = ORIGINAL[n - 1]._replace(**{field: value})
    assert verdict(opened, [*ORIGINAL[: n - 1], changed, *ORIGINAL[n:]]) == f"Event {n} of the audit log was changed"


@some
@given(n=numbers, value=texts, linked=st.booleans())
def test_a_changed_event_whose_hash_was_made_anew_is_named(opened: Engine, n: int, value: str, linked: bool) -> None:
    changed = ORIGINAL[n - 1]._replace(actor=value)
    changed = hashed(changed if linked else changed._replace(previous=hashed(changed).hash))
    assert verdict(opened, [*ORIGINAL[: n - 1], changed, *ORIGINAL[n:]]).startswith(
        f"Event {n} of the audit log was changed"
    )


@some
@given(span=spans, renumber=st.booleans(), fix_head=st.booleans())
def test_removed_events_are_named(opened: Engine, span: list[int], renumber: bool, fix_head: bool) -> None:
    first, last = span
    left = [*ORIGINAL[: first - 1], *ORIGINAL[last:]]
    left = renumbered(left) if renumber else left
    if last == LENGTH:
        return  # truncated: below
    told = verdict(opened, left, left[-1] if fix_head else ORIGINAL[-1])
    whom = f"Event {first} of the audit log was" if first == last else f"Events {first} to {last} of the audit log were"
    assert told.startswith(f"{whom} removed")


@pytest.mark.parametrize("left", range(LENGTH))
def test_a_truncated_log_is_named(opened: Engine, left: int) -> None:
    assert f"truncated after event {left}" in verdict(opened, ORIGINAL[:left])


@some
@given(n=numbers, count=st.integers(1, 3), linked=st.booleans())
def test_inserted_events_are_named(opened: Engine, n: int, count: int, linked: bool) -> None:
    forged = renumbered([*ORIGINAL[: n - 1], *[FORGED] * count])[n - 1 :]
    if linked:
        forged = chained(forged, ORIGINAL[n - 2].hash if n > 1 else "0" * 64)
    told = verdict(opened, renumbered([*ORIGINAL[: n - 1], *forged, *ORIGINAL[n - 1 :]]))
    last = n + count - 1
    whom = f"Event {n} of the audit log was" if count == 1 else f"Events {n} to {last} of the audit log were"
    assert told.startswith(f"{whom} inserted")


@some
@given(gap=st.integers(1, 3), linked=st.booleans())
def test_an_event_after_the_end_is_named(opened: Engine, gap: int, linked: bool) -> None:
    forged = FORGED._replace(seq=LENGTH + gap, previous=ORIGINAL[-1].hash)
    told = verdict(opened, [*ORIGINAL, hashed(forged) if linked else forged])
    assert told.startswith(f"Event {LENGTH + gap} of the audit log was inserted")


@pytest.mark.parametrize("seq", [0, -7])
def test_an_event_with_a_number_that_is_never_given_is_named(opened: Engine, seq: int) -> None:
    forged = hashed(FORGED._replace(seq=seq, previous="0" * 64))
    assert verdict(opened, [*ORIGINAL, forged]) == f"Event {seq} of the audit log was inserted"


@some
@given(span=spans.filter(lambda span: span[0] < span[1]))
def test_swapped_events_are_named(opened: Engine, span: list[int]) -> None:
    first, second = span
    swapped = list(ORIGINAL)
    swapped[first - 1], swapped[second - 1] = swapped[second - 1], swapped[first - 1]
    told = verdict(opened, renumbered(swapped))
    assert told == f"Event {first} of the audit log was moved: event {second} stands in its place"


edits = st.lists(
    st.tuples(st.sampled_from(["change", "remove", "insert", "swap"]), numbers, numbers), min_size=1, max_size=3
)


@some
@given(edits=edits, renumber=st.booleans())
def test_of_many_edits_the_first_is_named(opened: Engine, edits: list[tuple[str, int, int]], renumber: bool) -> None:
    """Where no hash is made anew, the first bad event is the first row that is not what was written."""
    events = list(ORIGINAL)
    for kind, a, b in edits:
        a, b = min(a, len(events)) - 1, min(b, len(events)) - 1
        if kind == "change" and events:
            events[a] = events[a]._replace(body='{"n":0}')
        elif kind == "remove" and events:
            del events[a]
        elif kind == "swap" and events:
            events[a], events[b] = events[b]._replace(seq=events[a].seq), events[a]._replace(seq=events[b].seq)
        elif kind == "insert" and renumber:
            events.insert(a + 1, FORGED)
    events = renumbered(events) if renumber else events
    if events == ORIGINAL:
        return
    expected = next((i for i, event in enumerate(ORIGINAL, 1) if i > len(events) or events[i - 1] != event), LENGTH + 1)
    named = re.match(r"Events? (\d+) ", verdict(opened, events))
    assert named
    assert int(named[1]) == expected


@some
@given(n=numbers)
def test_a_log_written_anew_up_to_its_head_looks_whole_without_signed_heads(opened: Engine, n: int) -> None:
    """The limit of a chain alone, and why heads are signed and cited by the other side."""
    changed = ORIGINAL[n - 1]._replace(actor="nobody")
    anew = chained([*ORIGINAL[: n - 1], changed, *ORIGINAL[n:]])
    store(opened, anew, anew[-1])
    assert audit.verify(opened, None, None).head == anew[-1].hash != ORIGINAL[-1].hash
