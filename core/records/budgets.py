"""Whether a run's budget is spent, by the records and a coordinator's prices."""

from sqlalchemy import Engine

from core.cost import HOUR_S, ZERO, BudgetSettings, Prices, budget_sentence, shown, shown_hours
from core.errors import ConfigError
from core.records.costs import Spent, a_round, priced, rows_of, spent_from, together
from core.study import Study


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
    spent, average = spent_from(rows, study, prices), a_round(rows, study)
    done = average.rounds if average else 0
    after = f"after {done} of {wanted} rounds"
    if _reaches(spent, budget):
        return f"the budget of {budget_sentence(budget)} is spent: {_told(spent, budget)} {after}"
    if not (average and before_a_round and done < wanted):
        return ""
    following = together(spent, priced(average.used, ZERO, prices))
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


def _reaches(spent: Spent, budget: BudgetSettings) -> bool:
    most_s = budget.gpu_hours * HOUR_S
    return bool((budget.money and spent.total >= budget.money) or (most_s and spent.gpu_s >= most_s))


def _told(spent: Spent, budget: BudgetSettings) -> str:
    """Say what a budget is held against, in its own units."""
    parts = [f"{shown(spent.total)} {budget.currency}"] if budget.money else []
    parts += [f"{shown_hours(spent.gpu_s)} GPU hours"] if budget.gpu_hours else []
    return " and ".join(parts)
