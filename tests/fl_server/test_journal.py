"""The journal by itself: in which order it writes, what it finds again, and what a full disk does to it."""

import errno
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event, text

from core.errors import AuditError, FederationError
from core.messages import Evaluation
from core.npy import npy_array, sha256_of
from core.records import audit
from core.records.chain import FIX
from core.records.db import open_database, reading
from core.records.rounds import Question
from fl_server import journal as module
from fl_server.journal import Journal, writing
from tests.fl_server.factories_answers import (
    INITIAL,
    RECEIPTS,
    SITES,
    a_journal,
    an_update,
    opened,
    validation_counts,
)

UPDATES = {site: an_update(site, 3, INITIAL) for site in SITES}


def events(folder: Path, action: str) -> list[dict[str, object]]:
    with reading(open_database(f"sqlite:///{folder / 'records.db'}")) as session:
        return [json.loads(event.body) for event in audit.events(session, action=action)]


def objects(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "objects").glob("*"))


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_hashes_in_the_log_are_those_of_the_files(tmp_path: Path) -> None:
    journal = opened(a_journal(tmp_path))
    for update in UPDATES.values():
        journal.keep(update)
    told = events(tmp_path, "answer.arrived")
    assert [one["site"] for one in told] == [*SITES]
    for one in told:
        weights, rest = ((tmp_path / "objects" / f"{one[f'{kind}_sha256']}").with_suffix(suffix)
                         for kind, suffix in (("weights", ".npy"), ("answer", ".json")))  # fmt: skip
        assert sha256(rest.read_bytes()).hexdigest() == one["answer_sha256"]
        array = npy_array(weights.read_bytes())
        assert sha256(array.tobytes()).hexdigest() == one["weights_sha256"]
        np.testing.assert_array_equal(array, UPDATES[str(one["site"])].weights)
        assert one["bytes"] == weights.stat().st_size + rest.stat().st_size
        assert one["receipt"] == RECEIPTS[str(one["site"])]
        assert (one["run"], one["round"], one["kind"]) == ("glioma-1", 3, "update")
        assert one["incoming_sha256"] == sha256_of(INITIAL)
    assert len(objects(tmp_path)) == 2 * len(SITES)


def test_another_process_finds_what_arrived_as_it_was(tmp_path: Path) -> None:
    before = opened(a_journal(tmp_path))
    for site in ("site-c", "site-a"):
        before.keep(UPDATES[site])
    after = opened(a_journal(tmp_path))
    assert list(after) == ["site-a", "site-c"]
    for site in after:
        np.testing.assert_array_equal(after[site].weights, UPDATES[site].weights)
        assert replace(after[site], weights=INITIAL) == replace(UPDATES[site], weights=INITIAL)
        assert after.answers[site].weights.size == 0, "in memory it has none"  # type: ignore[union-attr]


def test_an_evaluation_is_found_again_too(tmp_path: Path) -> None:
    evaluation = Evaluation("site-a", 3, validation_counts(0.1 + 0.2), RECEIPTS["site-a"])
    opened(a_journal(tmp_path), "evaluation").keep(evaluation)
    after = opened(a_journal(tmp_path), "evaluation")
    assert after.answers == {"site-a": evaluation}
    assert not list(after)
    assert not len(after)
    assert after.arrivals["site-a"].weights_sha256 == ""


def test_an_answer_counts_once_however_often_it_comes(tmp_path: Path) -> None:
    for _ in range(2):
        journal = opened(a_journal(tmp_path))
        for _ in range(2):
            journal.keep(UPDATES["site-b"])
            assert len(journal) == 1
    assert len(opened(a_journal(tmp_path))) == 1
    assert len(objects(tmp_path)) == 2


@pytest.mark.parametrize("suffix", ["json", "npy"])
@pytest.mark.parametrize(
    "harm",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x07"),
    ],
)
def test_an_answer_that_is_not_whole_is_not_there_and_the_log_of_the_process_says_so(
    tmp_path: Path, suffix: str, harm: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    journal = opened(a_journal(tmp_path))
    for site in ("site-a", "site-b"):
        journal.keep(UPDATES[site])
    hashes = {"json": journal.arrivals["site-a"].answer_sha256, "npy": journal.arrivals["site-a"].weights_sha256}
    harm(tmp_path / "objects" / f"{hashes[suffix]}.{suffix}")
    after = opened(a_journal(tmp_path))
    assert list(after) == ["site-b"]
    assert "What site-a sent for round 3 is not whole on disk" in caplog.text
    assert len(objects(tmp_path)) == 2, "what is left of it is gone"
    after.keep(UPDATES["site-a"])
    assert list(opened(a_journal(tmp_path))) == ["site-a", "site-b"]


def test_an_answer_with_other_numbers_than_it_came_with_is_not_there(tmp_path: Path) -> None:
    opened(a_journal(tmp_path)).keep(UPDATES["site-a"])
    (path,) = (tmp_path / "objects").glob("*.json")
    path.write_text(path.read_text().replace('"examples":10', '"examples":99'))
    assert not opened(a_journal(tmp_path)).answers


def test_damage_that_is_found_while_the_average_is_made_stops_the_round(tmp_path: Path) -> None:
    journal = opened(a_journal(tmp_path))
    journal.keep(UPDATES["site-a"])
    (path,) = (tmp_path / "objects").glob("*.npy")
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(FederationError, match="update of site-a") as stopped:
        journal["site-a"]
    assert "resume" in stopped.value.fix


def test_the_answers_of_a_closed_round_or_of_a_site_that_has_left_do_not_count(tmp_path: Path) -> None:
    journal = opened(a_journal(tmp_path))
    for update in UPDATES.values():
        journal.keep(update)
    question = Question("glioma-1", 3, "update", sha256_of(INITIAL))
    a_journal(tmp_path).open(question, ("site-a",), strategy="fedavg", seed=7)
    assert len(objects(tmp_path)) == 2
    other = a_journal(tmp_path)
    other.open(replace(question, incoming_sha256="0" * 64), SITES, strategy="fedavg", seed=7)
    assert not other.answers
    assert not objects(tmp_path)


def test_an_answer_that_finds_no_room_does_not_count_leaves_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    journal = opened(a_journal(tmp_path))
    journal.keep(UPDATES["site-a"])
    write = module.write_atomically
    with monkeypatch.context() as patch:
        # The larger file still found room.
        patch.setattr(
            module, "write_atomically", lambda path, what: (no_room if path.suffix == ".json" else write)(path, what)
        )
        for _ in range(3):
            with pytest.raises(FederationError, match="The coordinator's disk is full"):
                journal.keep(UPDATES["site-b"])
    assert list(journal) == ["site-a"]
    assert len(objects(tmp_path)) == 2
    assert caplog.text.count("The coordinator's disk is full") == 1
    journal.keep(UPDATES["site-b"])
    assert list(opened(a_journal(tmp_path))) == ["site-a", "site-b"]


def test_a_full_database_is_a_full_disk(tmp_path: Path) -> None:
    """As SQLite itself says it: a database that may have no more pages."""
    records = open_database(f"sqlite:///{tmp_path / 'records.db'}")
    pages = [2**31 - 2]
    event.listen(records, "begin", lambda it: it.exec_driver_sql(f"PRAGMA max_page_count={pages[0]}"), insert=True)
    journal = opened(Journal(records, tmp_path / "objects"))
    with reading(records) as session:
        pages[0] = session.scalar(text("PRAGMA page_count")) or 0
    kept = 0
    with pytest.raises(FederationError, match="SQLITE_FULL"):
        while kept < 100:
            journal.keep(UPDATES["site-a"])
            kept += 1
    assert kept == len(events(tmp_path, "answer.arrived"))
    with pytest.raises(FederationError, match="SQLITE_FULL"):
        journal.ask([*SITES] * 100)
    pages[0] = 2**31 - 2
    journal.keep(UPDATES["site-b"])
    assert "site-b" in opened(a_journal(tmp_path))


def test_what_no_room_would_mend_is_not_called_a_full_disk() -> None:
    with pytest.raises(AuditError), writing():
        raise AuditError("The log was changed", fix=FIX)
    with pytest.raises(PermissionError), writing():
        raise PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(FederationError, match="cannot be written to"), writing():
        raise OSError(errno.EIO, "Input/output error")


def test_a_file_is_there_before_its_event_and_the_event_before_the_answer_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, note, seen = opened(a_journal(tmp_path)), module.note_arrival, []

    def watched(records, question, arrival) -> None:
        assert len(objects(tmp_path)) == 2
        assert not journal.answers
        note(records, question, arrival)
        seen.append(arrival.site)
        assert not journal.answers

    monkeypatch.setattr(module, "note_arrival", watched)
    journal.keep(UPDATES["site-a"])
    assert seen == list(journal) == ["site-a"]
