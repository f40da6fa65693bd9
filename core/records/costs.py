"""What a run has cost by the records and a coordinator's prices, what it will come to, and whether its budget is spent.

All of it follows from rows that outlive every process: what sites have told (`efforts`), rounds, and the study's text.
"""

from collections.abc import Iterable, Sequence
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


def cost_of(records: Engine, run: Run, study: Study, prices: Prices) -> RunCost:
    """Return what a run has cost until now and what it will come to, ready to be shown."""
    projected = None
    if run.state in MAY_GO_ON:
        projected = projection(records, study, tuple(run.sites), prices, run.id)
    return cost_from(rows_of(records, run.id), study, prices, projected)


def cost_from(rows: Rows, study: Study, prices: Prices, projected: Projection | None) -> RunCost:
    """Return what a run has cost until now by its rows, ready to be shown."""
    spent, budget = spent_from(rows, study, prices), study.budget
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
    return _priced({one.site: _usage(one) for one in rows.efforts}, kept, prices)


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
        found = _a_round(rows_of(records, earlier), its_study)
        if found is not None and set(found.used) & set(sites):
            whole = _priced(_times(found.used, sites, study.federation.rounds), ZERO, prices)
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
    rows = rows_of(records, run)
    spent, a_round = spent_from(rows, study, prices), _a_round(rows, study)
    done = a_round.rounds if a_round else 0
    after = f"after {done} of {wanted} rounds"
    if _reaches(spent, budget):
        return f"the budget of {budget_sentence(budget)} is spent: {_told(spent, budget)} {after}"
    if not (a_round and before_a_round and done < wanted):
        return ""
    following = _sum(spent, _priced(a_round.used, ZERO, prices))
    if exceeds(following, budget):
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


def exceeds(spent: Spent, budget: BudgetSettings) -> bool:
    """Say whether this is more than a budget."""
    most_s = budget.gpu_hours * HOUR_S
    return bool((budget.money and spent.total > budget.money) or (most_s and spent.gpu_s > most_s))


def projection_sentences(projected: Projection | None, study: Study, prices: Prices) -> tuple[str, ...]:
    """Say what a run will come to, at which site, and how that is known."""
    if projected is None:
        return ("Not projected: no earlier run of the same work tells what a round costs.",)
    spent, rounds = projected.spent, study.federation.rounds
    parts = [
        f"{site} {shown(money) + ' ' + prices.currency if prices.are_set else ''} "
        f"({shown_hours(spent.used[site].gpu_s)} GPU h, {shown_hours(spent.used[site].cpu_s)} CPU h)"
        for site, money in spent.money.items()
    ]
    total = f"{shown(spent.total)} {prices.currency} and " if prices.are_set else ""
    basis = f"{projected.rounds} round{'' if projected.rounds == 1 else 's'} of {projected.basis}"
    told = [
        f"{rounds} rounds will come to {total}{shown_hours(spent.gpu_s)} GPU hours, judged by {basis}: "
        + ", ".join(" ".join(part.split()) for part in parts)
        + "."
    ]
    if projected.unknown:
        told.append(f"Not in it, for nothing is known of them: {', '.join(projected.unknown)}.")
    if study.privacy.is_on:
        told.append("Not in it: training, for no site tells how long it works under differential privacy.")
    return tuple(told)


@dataclass(frozen=True)
class _ARound:
    """What one round has cost each site on average, and over how many rounds of the run."""

    used: dict[str, Usage]
    rounds: int


def _a_round(rows: Rows, study: Study) -> _ARound | None:
    counted = [one for one in rows.rounds if one.counted and one.round <= study.federation.rounds]
    took_part = {one.site: sum(one.site in row.sites for row in counted) for one in rows.efforts}
    used = {one.site: _usage(one).shared(took_part[one.site]) for one in rows.efforts if took_part[one.site]}
    return _ARound(dict(sorted(used.items())), len(counted)) if used else None


def _goes_on(run: str, rows: Rows, study: Study, sites: tuple[str, ...], prices: Prices) -> Projection | None:
    own = _a_round(rows, study)
    if own is None:
        return None
    more = _priced(_times(own.used, sites, study.federation.rounds - own.rounds), ZERO, prices)
    return Projection(_sum(spent_from(rows, study, prices), more), run, own.rounds, _unknown(own.used, sites))


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


def _priced(used: dict[str, Usage], kept_byte_s: Decimal, prices: Prices) -> Spent:
    used = dict(sorted(used.items()))
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


def _told(spent: Spent, budget: BudgetSettings) -> str:
    """Say what a budget is held against, in its own units."""
    parts = [f"{shown(spent.total)} {budget.currency}"] if budget.money else []
    parts += [f"{shown_hours(spent.gpu_s)} GPU hours"] if budget.gpu_hours else []
    return " and ".join(parts)
