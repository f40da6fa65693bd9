"""What a run has cost by the records and a coordinator's prices, what it will come to, and whether its budget is spent.

All of it follows from rows that outlive every process: what sites have told (`efforts`), rounds, and the study's text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Engine, select

from core.clock import age_s
from core.cost import (
    ZERO,
    Prices,
    Usage,
    money_at,
    money_at_coordinator,
    usage_of,
)
from core.presets import preset_of
from core.records.db import reading
from core.records.tables import Effort, Round, Run, StudyBundle, Version
from core.study import Study, study_of, work_digest

# Runs that go on, or may.
MAY_GO_ON = ("offered", "starting", "running", "paused", "failed")


@dataclass(frozen=True)
class Rows:
    """What the records hold of a run's cost: what sites told, every try of a round, when versions were made."""

    efforts: Sequence[Effort]
    rounds: Sequence[Round]
    versions: Sequence[str]


@dataclass(frozen=True)
class Spent:
    """What a run has used and cost, or would.

    Attributes:
        used: by site.
        money: by site.
        at_coordinator: money for what the coordinator sends and keeps.
    """

    used: dict[str, Usage]
    money: dict[str, Decimal]
    at_coordinator: Decimal

    @property
    def total(self) -> Decimal:
        """Money of all sites and the coordinator."""
        return sum(self.money.values(), self.at_coordinator)

    @property
    def gpu_s(self) -> Decimal:
        """Seconds for which GPUs were held, at all sites."""
        return sum((usage.gpu_s for usage in self.used.values()), ZERO)


@dataclass(frozen=True)
class Projection:
    """What a run will come to if every site takes part in each of its rounds.

    Attributes:
        spent: in all.
        basis: name of the run whose rounds it is worked out from.
        rounds: how many of its rounds had counted.
        unknown: sites of which nothing is known, and which are not in it.
    """

    spent: Spent
    basis: str
    rounds: int
    unknown: tuple[str, ...]


def rows_of(records: Engine, run: str) -> Rows:
    """Read what the records hold of a run's cost."""
    with reading(records) as session:
        efforts = session.scalars(select(Effort).where(Effort.run == run)).all()
        rounds = session.scalars(select(Round).where(Round.run == run).order_by(Round.number_of_try)).all()
        versions = session.scalars(select(Version.created_at).where(Version.run == run)).all()
    return Rows(efforts, rounds, versions)


def spent_from(rows: Rows, study: Study, prices: Prices) -> Spent:
    """Return what a run has used by now, and what that costs."""
    # The newest aggregate and the best one are kept, and the version that became of it.
    kept_since = [*[one.closed_at for one in rows.rounds if one.counted][:2], *rows.versions]
    kept = sum((Decimal(str(age_s(since))) for since in kept_since), ZERO) * preset_of(study.model).bytes
    return priced({one.site: _usage(one) for one in rows.efforts}, kept, prices)


def own_projection(run: Run, rows: Rows, study: Study, prices: Prices) -> Projection | None:
    """Return what a run will come to by its own rounds; None before it has closed one."""
    return _goes_on(run.id, rows, study, tuple(run.sites), prices)


def projection(
    records: Engine, study: Study, sites: tuple[str, ...], prices: Prices, run: str = ""
) -> Projection | None:
    """Return what a run will come to: what it has cost, and as much for each round left as a round cost so far.

    Before it has closed a round, the rounds are those of the newest earlier run of the same work; see `work_digest`.

    Args:
        records: the coordinator's.
        study: the run's.
        sites: that take part.
        prices: the coordinator's.
        run: its name; empty: before it is launched.
    Returns: None where no run tells what a round costs.
    """
    own = _goes_on(run, rows_of(records, run), study, sites, prices) if run else None
    if own is not None:
        return own
    for earlier, its_study in _earlier(records, study, run):
        found = a_round(rows_of(records, earlier), its_study)
        if found is not None and set(found.used) & set(sites):
            whole = priced(_times(found.used, sites, study.federation.rounds), ZERO, prices)
            return Projection(whole, earlier, found.rounds, _unknown(found.used, sites))
    return None


@dataclass(frozen=True)
class ARound:
    """What one round has cost each site on average, and over how many rounds of the run."""

    used: dict[str, Usage]
    rounds: int


def a_round(rows: Rows, study: Study) -> ARound | None:
    """Return what a round of a run has cost on average; None before one has counted."""
    counted = [one for one in rows.rounds if one.counted and one.round <= study.federation.rounds]
    took_part = {one.site: sum(one.site in row.sites for row in counted) for one in rows.efforts}
    used = {one.site: _usage(one).shared(took_part[one.site]) for one in rows.efforts if took_part[one.site]}
    return ARound(dict(sorted(used.items())), len(counted)) if used else None


def _goes_on(run: str, rows: Rows, study: Study, sites: tuple[str, ...], prices: Prices) -> Projection | None:
    own = a_round(rows, study)
    if own is None:
        return None
    more = priced(_times(own.used, sites, study.federation.rounds - own.rounds), ZERO, prices)
    return Projection(together(spent_from(rows, study, prices), more), run, own.rounds, _unknown(own.used, sites))


def _earlier(records: Engine, study: Study, run: str) -> Iterable[tuple[str, Study]]:
    """Yield runs of the same work, each with its study: those of this very study first, the newest first."""
    same = work_digest(study)
    with reading(records) as session:
        rows = session.execute(
            select(Run.id, StudyBundle.name, StudyBundle.toml)
            .join(StudyBundle, StudyBundle.name == Run.study)
            .where(Run.id != run)
            .order_by(Run.created_at.desc())
        ).all()
    for is_own in (True, False):
        for earlier, name, toml in rows:
            if (name == study.name) == is_own and work_digest(found := study_of(toml)) == same:
                yield earlier, found


def _usage(told: Effort) -> Usage:
    return usage_of(told.gpu_s, told.cpu_s, told.sent_bytes, told.received_bytes)


def _times(used: dict[str, Usage], sites: tuple[str, ...], rounds: int) -> dict[str, Usage]:
    return {site: used[site].times(rounds) for site in sorted(sites) if site in used}


def _unknown(used: dict[str, Usage], sites: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(sites) - set(used)))


def priced(used: dict[str, Usage], kept_byte_s: Decimal, prices: Prices) -> Spent:
    """Return what all of this costs; see `core.cost` for the arguments."""
    used = dict(sorted(used.items()))
    money = {site: money_at(site, usage, prices) for site, usage in used.items()}
    return Spent(used, money, money_at_coordinator(used.values(), kept_byte_s, prices))


def together(one: Spent, other: Spent) -> Spent:
    """Add two up."""
    sites = sorted({*one.used, *other.used})
    used = {site: one.used.get(site, Usage()).plus(other.used.get(site, Usage())) for site in sites}
    money = {site: one.money.get(site, ZERO) + other.money.get(site, ZERO) for site in sites}
    return Spent(used, money, one.at_coordinator + other.at_coordinator)
