from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.errors import AuditError, ConfigError
from core.records import audit, receipts
from core.records.db import open_database, reading, transaction
from core.records.receipts import Receipt, check_receipts, heads_of_coordinator, heads_of_site, read_receipts


def log(folder: Path, name: str) -> Engine:
    return open_database(f"sqlite:///{folder / name}.db")


def told(engine: Engine, action: str, **body: object) -> str:
    with transaction(engine) as session:
        return audit.append(session, "test", action, **body)


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Engine, Engine, list[str], list[str]]:
    """Three rounds between a coordinator and a site: their logs, and the heads that each told the other."""
    monkeypatch.setattr(receipts, "_PAGE", 2)
    ours, theirs = log(tmp_path, "coordinator"), log(tmp_path, "north")
    opened, received = [], []
    for number in (1, 2, 3):
        opened.append(told(ours, "round.opened", run="r", round=number))
        received.append(told(theirs, "task.received", run="r", round=number, receipt=opened[-1]))
        told(theirs, "update.sent", run="r", round=number)
        told(ours, "round.closed", run="r", round=number, receipts={"north": received[-1]} if number != 2 else {})
    return ours, theirs, opened, received


def test_each_side_holds_the_others_heads_round_by_round(both) -> None:
    ours, theirs, opened, received = both
    with reading(ours) as session:
        assert list(heads_of_site(session, "north")) == [Receipt("r", 1, received[0]), Receipt("r", 3, received[2])]
        assert list(heads_of_site(session, "south")) == []
        assert check_receipts(session, [Receipt("r", place, head) for place, head in enumerate(opened, 1)]) == 3
    with reading(theirs) as session:
        assert [receipt.head for receipt in heads_of_coordinator(session)] == opened


def test_a_log_that_was_written_anew_does_not_have_the_heads_that_it_gave_away(both, tmp_path: Path) -> None:
    ours, _, opened, _ = both
    anew = log(tmp_path, "anew")
    for number, head in enumerate(opened, 1):
        told(anew, "task.received", run="r", round=number, receipt=head)
    with reading(ours) as session:
        given = list(heads_of_site(session, "north"))
    audit.verify(anew, None, None)  # to itself it looks whole
    with reading(anew) as session, pytest.raises(AuditError, match="In round 1 of r the other side was told a head"):
        check_receipts(session, given)


def test_receipts_are_lines_that_come_back_as_they_were(tmp_path: Path) -> None:
    given = [Receipt("glioma-20261124-101500", 12, "ab" * 32), Receipt("r", 0, "0" * 64)]
    path = tmp_path / "north.txt"
    path.write_text("".join(f"{receipt}\n" for receipt in given))
    assert read_receipts(path) == given


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        ("é", "cannot be read"),
        (f"r 1 {'a' * 64}\nr 2 {'a' * 63}\n", "Line 2"),
        (f"r one {'a' * 64}\n", "Line 1"),
        (f"r 1 {'a' * 64} more\n", "Line 1"),
        ("\n", "Line 1"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "given.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=problem):
        read_receipts(path)
