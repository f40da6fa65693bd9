"""What a run has cost by the records and a coordinator's prices, what it will come to, and whether its budget is spent.

All of it follows from rows that outlive every process: what sites have told (`efforts`), rounds, and the study's text.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Engine, select

from core.clock import age_s
from core.cost import (
    HOUR_S,
    ZERO,
    BudgetSettings,
    Prices,
    Usage,
    budget_sentence,
    money_at,
    money_at_coordinator,
    shown,
    shown_hours,
    usage_of,
)
from core.errors import ConfigError
from core.presets import preset_of
from core.records.db import reading
from core.records.tables import Effort, Round, Run, StudyBundle, Version
from core.study import Study, study_of, work_digest

# Runs that go on, or may.
MAY_GO_ON = ("offered", "starting", "running", "paused", "failed")


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


@dataclass(frozen=True)
class RunCost:
    """What a run has cost, as it is shown: money and hours with two decimals.

    Attributes:
        currency: of all money.
        is_priced: whether the coordinator has named any price.
        is_timed: whether sites tell how long they work; under differential privacy they do not.
        sites: money by site.
        coordinator: money for what the coordinator sends and keeps.
        total: money in all.
        gpu_hours: of all sites.
        projected, projected_gpu_hours: what the whole run will come to; None where it has ended, or nothing is known.
        projected_from: name of the run that this is worked out from.
        budget, budget_gpu_hours: what the study allows; None: no limit.
    """

    currency: str
    is_priced: bool
    is_timed: bool
    sites: dict[str, str]
    coordinator: str
    total: str
    gpu_hours: str
    projected: str | None
    projected_gpu_hours: str | None
    projected_from: str | None
    budget: str | None
    budget_gpu_hours: str | None


def run_cost(records: Engine, run: Run, study: Study, prices: Prices) -> RunCost:
    """Return what a run has cost until now, ready to be shown."""
    spent, budget = spent_of(records, run.id, study, prices), study.budget
    projected = None
    if run.state in MAY_GO_ON:
        projected = projection(records, study, tuple(run.sites), prices, run.id)
    return RunCost(
        currency=prices.currency,
        is_priced=prices.are_set,
        is_timed=not study.privacy.is_on,
        sites={site: shown(money) for site, money in spent.money.items()},
        coordinator=shown(spent.at_coordinator),
        total=shown(spent.total),
        gpu_hours=shown_hours(spent.gpu_s),
        projected=shown(projected.spent.total) if projected else None,
        projected_gpu_hours=shown_hours(projected.spent.gpu_s) if projected else None,
        projected_from=projected.basis if projected else None,
        budget=shown(budget.money) if budget.money else None,
        budget_gpu_hours=shown_hours(budget.gpu_hours * HOUR_S) if budget.gpu_hours else None,
    )


def spent_of(records: Engine, run: str, study: Study, prices: Prices) -> Spent:
    """Return what a run has used by now, and what that costs."""
    with reading(records) as session:
        efforts = session.scalars(select(Effort).where(Effort.run == run).order_by(Effort.site)).all()
        counted = select(Round.closed_at).where(Round.run == run, Round.counted).order_by(Round.number_of_try)
        # The newest aggregate and the best one are kept, and the version that became of it.
        kept_since = [
            *session.scalars(counted.limit(2)),
            *session.scalars(select(Version.created_at).where(Version.run == run)),
        ]
    used = {one.site: usage_of(one.gpu_s, one.cpu_s, one.sent_bytes, one.received_bytes) for one in efforts}
    kept = sum((Decimal(str(age_s(since))) for since in kept_since), ZERO) * preset_of(study.model).bytes
    return _priced(used, kept, prices)


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
    wanted = study.federation.rounds
    own = _a_round(records, run, wanted)
    if own is not None:
        left = wanted - own.rounds
        spent = spent_of(records, run, study, prices)
        more = _priced(_times(own.used, sites, left), ZERO, prices)
        return Projection(_sum(spent, more), run, own.rounds, _unknown(own.used, sites))
    for earlier, rounds in _earlier(records, study, run):
        found = _a_round(records, earlier, rounds)
        if found is not None and set(found.used) & set(sites):
            whole = _priced(_times(found.used, sites, wanted), ZERO, prices)
            return Projection(whole, earlier, found.rounds, _unknown(found.used, sites))
    return None


def budget_end(records: Engine, run: str, study: Study, prices: Prices, *, before_a_round: bool) -> str:
    """Say why a run has come to the end of its budget; empty where it has not.

    Args:
        records: the coordinator's.
        run: its name.
        study: its study.
        prices: the coordinator's.
        before_a_round: also where the next round would go beyond it.
    Raises: ConfigError: the budget cannot be held against these prices.
    """
    budget, wanted = study.budget, study.federation.rounds
    if not budget.is_set:
        return ""
    check_comparable(budget, prices)
    spent, a_round = spent_of(records, run, study, prices), _a_round(records, run, wanted)
    done = a_round.rounds if a_round else 0
    after = f"after {done} of {wanted} rounds"
    if _reaches(spent, budget):
        return f"the budget of {budget_sentence(budget)} is spent: {_told(spent, budget)} {after}"
    if not (a_round and before_a_round and done < wanted):
        return ""
    following = _sum(spent, _priced(a_round.used, ZERO, prices))
    if _exceeds(following, budget):
        return (
            f"the budget of {budget_sentence(budget)} is spent: {_told(spent, budget)} {after}, "
            f"and one more would come to {_told(following, budget)}"
        )
    return ""


def check_comparable(budget: BudgetSettings, prices: Prices) -> None:
    """Check that a budget of money can be held against prices.

    Raises: ConfigError: nothing has a price, or it is in another currency.
    """
    if not budget.money:
        return
    if not prices.are_set:
        raise ConfigError(
            "The study has a budget of money, but nothing has a price here",
            fix="write what things cost under [prices] in server.toml, or give the study a budget of gpu_hours alone",
        )
    if budget.currency != prices.currency:
        raise ConfigError(
            f"The study's budget is in {budget.currency}, the prices are in {prices.currency}",
            fix="use one currency in the study and under [prices] in server.toml",
        )


def over_budget(projected: Projection, budget: BudgetSettings) -> bool:
    """Say whether a projection goes beyond a budget."""
    return _exceeds(projected.spent, budget)


@dataclass(frozen=True)
class _ARound:
    """What one round has cost each site on average, and over how many rounds of the run."""

    used: dict[str, Usage]
    rounds: int


def _a_round(records: Engine, run: str, wanted: int) -> _ARound | None:
    with reading(records) as session:
        counted = select(Round).where(Round.run == run, Round.counted, Round.round <= wanted)
        rounds = session.scalars(counted).all()
        efforts = session.scalars(select(Effort).where(Effort.run == run)).all()
    used = {}
    for one in efforts:
        took_part = sum(one.site in row.sites for row in rounds)
        if took_part:
            whole = usage_of(one.gpu_s, one.cpu_s, one.sent_bytes, one.received_bytes)
            used[one.site] = whole.shared(took_part)
    return _ARound(dict(sorted(used.items())), len(rounds)) if used else None


def _earlier(records: Engine, study: Study, run: str) -> Iterable[tuple[str, int]]:
    """Yield runs of the same work and the rounds of their study: those of this very study first, the newest first."""
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
                yield earlier, found.federation.rounds


def _times(used: dict[str, Usage], sites: tuple[str, ...], rounds: int) -> dict[str, Usage]:
    return {site: used[site].times(rounds) for site in sorted(sites) if site in used}


def _unknown(used: dict[str, Usage], sites: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(sites) - set(used)))


def _priced(used: dict[str, Usage], kept_byte_s: Decimal, prices: Prices) -> Spent:
    money = {site: money_at(site, usage, prices) for site, usage in used.items()}
    return Spent(used, money, money_at_coordinator(used.values(), kept_byte_s, prices))


def _sum(one: Spent, other: Spent) -> Spent:
    sites = sorted({*one.used, *other.used})
    used = {site: one.used.get(site, Usage()).plus(other.used.get(site, Usage())) for site in sites}
    money = {site: one.money.get(site, ZERO) + other.money.get(site, ZERO) for site in sites}
    return Spent(used, money, one.at_coordinator + other.at_coordinator)


def _reaches(spent: Spent, budget: BudgetSettings) -> bool:
    most_s = budget.gpu_hours * HOUR_S
    return bool((budget.money and spent.total >= budget.money) or (most_s and spent.gpu_s >= most_s))


def _exceeds(spent: Spent, budget: BudgetSettings) -> bool:
    most_s = budget.gpu_hours * HOUR_S
    return bool((budget.money and spent.total > budget.money) or (most_s and spent.gpu_s > most_s))


def _told(spent: Spent, budget: BudgetSettings) -> str:
    """Say what a budget is held against, in its own units."""
    parts = [f"{shown(spent.total)} {budget.currency}"] if budget.money else []
    parts += [f"{shown_hours(spent.gpu_s)} GPU hours"] if budget.gpu_hours else []
    return " and ".join(parts)
