"""What a run has cost and will come to, as people read it."""

from dataclasses import dataclass

from sqlalchemy import Engine

from core.cost import HOUR_S, Prices, shown, shown_hours
from core.records.costs import MAY_GO_ON, Projection, Rows, projection, rows_of, spent_from
from core.records.tables import Run
from core.study import Study


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
