"""What Prometheus collects of what runs cost at a coordinator."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Engine

from core.records.status import status_of
from webapp.config import WebConfig


def cost_measures(engine: Engine, config: WebConfig) -> Iterator[Metric]:
    """Yield the money that runs have cost until now, and may cost; without prices, none is told."""
    labels = ["run", "currency"]
    cost = GaugeMetricFamily("gliofed_run_cost", "Money that a run has cost until now", labels=labels)
    budget = GaugeMetricFamily("gliofed_run_budget", "Money that a run may cost", labels=labels)
    for run in status_of(engine, config.home).runs:
        if run.cost is None or not run.cost.is_priced:
            continue
        cost.add_metric([run.run, run.cost.currency], float(run.cost.total))
        if run.cost.budget is not None:
            budget.add_metric([run.run, run.cost.currency], float(run.cost.budget))
    yield cost
    yield budget
