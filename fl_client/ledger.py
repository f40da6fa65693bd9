"""What has left this site, and what its gate held back: read from the audit log, where each answer has its event."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fl_client.study_bundle import printable

# What an event tells of, in a word.
ACTIONS = {
    "update.sent": "update",
    "evaluation.sent": "evaluation",
    "error.sent": "error",
    "reply.refused": "held back",
}
DIGEST_CHARACTERS = 12
_HEADINGS = ("time (UTC)", "study", "run", "round", "what", "bytes", "weights")
_NUMBERS = ("round", "bytes")


@dataclass(frozen=True)
class Departure:
    """An answer that left this site, or that its gate held back.

    Attributes:
        at: text of core.clock.
        study, run, round: what it was for; the run may be empty, the round 0, where an error came before them.
        what: `update`, `evaluation`, `error` or `held back`.
        bytes: how much left.
        weights_sha256: 64 hexadecimal digits; empty where it holds no weights.
        code: of an error.
        reason: why it was held back.
    """

    at: str
    study: str
    run: str
    round: int
    what: str
    bytes: int
    weights_sha256: str
    code: str
    reason: str

    @property
    def has_left(self) -> bool:
        """Whether it was not held back."""
        return self.what != "held back"


@dataclass(frozen=True)
class Total:
    """What left for a study in all.

    Attributes:
        study: its name.
        answers: how many left.
        bytes: how much they were.
        held_back: how many did not leave.
    """

    study: str
    answers: int
    bytes: int
    held_back: int


@dataclass(frozen=True)
class Sent:
    """What was handed to Flower for a run.

    Attributes:
        run, study: of the coordinator.
        answers: how many updates and evaluations.
        round: the last one's.
    """

    run: str
    study: str
    answers: int
    round: int


def departure_of(at: str, action: str, body: Mapping[str, Any]) -> Departure:
    """Return what an event of the audit log tells of.

    Args:
        at: when; text of core.clock.
        action: one of `ACTIONS`.
        body: of the event.
    """
    what = ACTIONS[action]
    return Departure(
        at=at,
        study=body["study"],
        run=body["run"],
        round=body["round"],
        what=what,
        bytes=0 if what == "held back" else body["bytes"],
        weights_sha256=body.get("weights_sha256", ""),
        code=str(body.get("code", "")),
        reason=body.get("reason", ""),
    )


def totals(departures: Iterable[Departure]) -> list[Total]:
    """Return what left by study, in the order in which the studies began."""
    by_study: dict[str, list[Departure]] = {}
    for departure in departures:
        by_study.setdefault(departure.study, []).append(departure)
    return [
        Total(study, sum(one.has_left for one in its), sum(one.bytes for one in its), sum(not o.has_left for o in its))
        for study, its in by_study.items()
    ]


def sent_by_run(departures: Iterable[Departure]) -> list[Sent]:
    """Return updates and evaluations by run, in the order in which the runs began."""
    by_run: dict[str, list[Departure]] = {}
    for departure in departures:
        if departure.what in ("update", "evaluation"):
            by_run.setdefault(departure.run, []).append(departure)
    return [
        Sent(run, answers[-1].study, len(answers), max(answer.round for answer in answers))
        for run, answers in by_run.items()
    ]


def ledger_lines(departures: list[Departure]) -> list[str]:
    """Return departures and their totals as lines to read; columns keep their width in a pipe or a file."""
    if not departures:
        return ["Nothing has left this site."]
    rows = [_HEADINGS, *map(_row, departures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    notes = ["", *(f"  {printable(one.reason)}" if one.reason else "" for one in departures)]
    table = [
        "  ".join(map(_padded, row, widths, _HEADINGS)).rstrip() + note for row, note in zip(rows, notes, strict=True)
    ]
    return [*table, "", *map(_total_line, totals(departures))]


def _row(departure: Departure) -> tuple[str, ...]:
    return (
        departure.at[:19].replace("T", " "),
        departure.study,
        printable(departure.run) or "-",
        str(departure.round),
        f"{departure.what} {departure.code}".rstrip() if departure.has_left else "HELD BACK",
        f"{departure.bytes:,}",
        departure.weights_sha256[:DIGEST_CHARACTERS] or "-",
    )


def _padded(cell: str, width: int, heading: str) -> str:
    return cell.rjust(width) if heading in _NUMBERS else cell.ljust(width)


def _total_line(total: Total) -> str:
    answers = f"{total.answers} answer{'' if total.answers == 1 else 's'} left"
    held = f"; {total.held_back} HELD BACK" if total.held_back else ""
    return f"{total.study}: {answers}, {total.bytes:,} bytes ({total.bytes / 1e6:,.2f} MB){held}"
