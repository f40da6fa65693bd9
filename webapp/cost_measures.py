"""What Prometheus collects of runs' cost at a coordinator."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from core.records.status import status_of
from webapp.config import WebConfig


class RunCosts(Collector):
    """Money that runs have cost until now, and may cost, by run."""

    def __init__(self, engine: Engine, config: WebConfig) -> None:
        self._engine = engine
        self._config = config

    def describe(self) -> list[Metric]:
        """Promise nothing beforehand."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read what there is; without prices, no money is told."""
        labels = ["run", "currency"]
        cost = GaugeMetricFamily("gliofed_run_cost", "Money that a run has cost until now", labels=labels)
        budget = GaugeMetricFamily("gliofed_run_budget", "Money that a run may cost", labels=labels)
        for run in status_of(self._engine, self._config.home).runs:
            if run.cost is None or not run.cost.is_priced:
                continue
            cost.add_metric([run.run, run.cost.currency], float(run.cost.total))
            if run.cost.budget is not None:
                budget.add_metric([run.run, run.cost.currency], float(run.cost.budget))
        yield cost
        yield budget
