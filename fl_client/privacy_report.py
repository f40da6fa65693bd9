"""What patients' privacy has been spent on here, what is left, and by whom: for people to read."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from core.learning.privacy import Spend, epsilon_of
from fl_client.config import SitePrivacySettings
from fl_client.privacy_ledger import PrivacyLedger, Reservation

NO_BOUND = "no bound"


@dataclass(frozen=True)
class RunSpent:
    """What one run has cost the patient whom it cost most.

    Attributes:
        study, run: of the coordinator.
        since: when it began; text of core.clock.
        trainings: how many were set aside for, those that were cut short included.
        epsilon: what they cost; infinite without noise.
    """

    study: str
    run: str
    since: str
    trainings: int
    epsilon: float


@dataclass(frozen=True)
class PrivacyReport:
    """A site's ledger at one moment.

    Attributes:
        patients: how many people it knows of.
        unprotected: how many of them were in a run without noise.
        epsilon: what the patient who has spent most has come to.
        left: of the site's budget, for that patient; None where no budget is set.
        delta: at which both hold.
        floor: the most that one study may cost; 0 for no floor.
        runs: in the order in which they began.
    """

    patients: int
    unprotected: int
    epsilon: float
    left: float | None
    delta: float
    floor: float
    runs: list[RunSpent]

    def as_json(self) -> dict[str, Any]:
        """Return it ready for JSON, where an infinite epsilon is null and `unbounded` says so."""
        told = asdict(self)
        for one in (told, *told["runs"]):
            one["unbounded"] = math.isinf(one["epsilon"])
            one["epsilon"] = None if one["unbounded"] else round(one["epsilon"], 4)
        return told


def privacy_report(ledger: PrivacyLedger, site: SitePrivacySettings) -> PrivacyReport:
    """Read a site's ledger.

    Raises: AuditError: it was changed, or is of another key than this site's.
    """
    ledger.read()
    histories = Counter(ledger.spends_of(ledger.patients()))
    runs = list(dict.fromkeys((one.study, one.run) for one in ledger.reservations))
    spent = max((_epsilon(history, site.delta) for history in histories), default=0.0)
    return PrivacyReport(
        patients=sum(histories.values()),
        unprotected=sum(count for history, count in histories.items() if any(one.spend.noise <= 0 for one in history)),
        epsilon=spent,
        left=max(0.0, site.budget - spent) if site.budget else None,
        delta=site.delta,
        floor=site.epsilon,
        runs=[_run(study, run, ledger.reservations, histories, site.delta) for study, run in runs],
    )


def report_lines(report: PrivacyReport) -> list[str]:
    """Return a report as lines to read; columns keep their width in a pipe or a file."""
    if not report.runs:
        return ["Nothing has been spent: no training was begun here.", _limits(report)]
    rows = [("study", "run", "since (UTC)", "trainings", "epsilon"), *map(_row, report.runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    unprotected = f", {report.unprotected} of them without any protection" if report.unprotected else ""
    return [
        *table,
        "",
        f"{report.patients} patients{unprotected}. The one who has spent most: {_told(report.epsilon)}, at delta "
        f"{report.delta:g}.",
        _limits(report),
    ]


def _limits(report: PrivacyReport) -> str:
    floor = f"One study may cost {report.floor:g}. " if report.floor else ""
    if report.left is None:
        return f"{floor}No budget is set: [privacy] budget in site.toml."
    return f"{floor}Left of the budget: {report.left:.2f}."


def _row(run: RunSpent) -> tuple[str, ...]:
    since = run.since[:19].replace("T", " ")
    return run.study, run.run, since, str(run.trainings), _told(run.epsilon)


def _told(epsilon: float) -> str:
    return NO_BOUND if math.isinf(epsilon) else f"{epsilon:.2f}"


def _run(
    study: str,
    run: str,
    reservations: list[Reservation],
    histories: Iterable[tuple[Reservation, ...]],
    delta: float,
) -> RunSpent:
    its = [one for one in reservations if one.run == run]
    parts = {tuple(one for one in history if one.run == run) for history in histories}
    return RunSpent(study, run, its[0].at, len(its), max(_epsilon(part, delta) for part in parts))


def _epsilon(history: tuple[Reservation, ...], delta: float) -> float:
    spends: list[Spend] = [one.spend for one in history]
    return epsilon_of(spends, delta)
