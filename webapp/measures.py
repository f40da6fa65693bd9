"""What Prometheus collects, read from the database when it asks: whichever process or host has done the work.

A moment is given as Unix time, so that an alert says by itself how long ago, or how far off, is too much.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.clock import age_s
from core.records.db import reading
from core.records.web_tables import Prediction, Tally
from webapp.config import WebConfig
from webapp.cost_measures import cost_measures
from webapp.federation_measures import federation_measures
from webapp.queue import unfinished
from webapp.server_measures import server_measures


class _Measures(Collector):
    def __init__(self, engine: Engine, config: WebConfig, version: str) -> None:
        self._engine = engine
        self._config = config
        self._version = version

    def describe(self) -> list[Metric]:
        """Promise nothing beforehand."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read what there is."""
        yield from server_measures(self._engine, self._config)
        with reading(self._engine) as session:
            yield from _prediction_measures(session)
            if self._config.site.serves == "coordinator":
                yield from federation_measures(session)
        if self._config.site.serves == "coordinator":
            yield from cost_measures(self._engine, self._config)
        model = GaugeMetricFamily("gliofed_model_version", "The model version that is served", labels=["version"])
        if self._version:
            model.add_metric([self._version], 1)
        yield model


def registry_of(engine: Engine, config: WebConfig, version: str) -> CollectorRegistry:
    """Return what to collect of a server whose current model version this is."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Measures(engine, config, version))
    return registry


def _prediction_measures(session: Session) -> Iterator[Metric]:
    tallies = {row.name: row.value for row in session.scalars(select(Tally))}
    queue = GaugeMetricFamily("gliofed_predictions_waiting", "Predictions by state", labels=["state"])
    for state, count in unfinished(session).items():
        queue.add_metric([state], count)
    yield queue
    oldest = session.scalar(select(func.min(Prediction.queued_at)).where(Prediction.state == "queued"))
    yield GaugeMetricFamily(
        "gliofed_oldest_wait_seconds", "How long the first in the queue waits", value=age_s(oldest) if oldest else 0
    )
    yield _counter("gliofed_predictions", "Predictions by outcome", "outcome", tallies, "predictions:")
    yield _counter("gliofed_step_seconds", "Seconds spent, by step", "step", tallies, "seconds:")
    yield _counter("gliofed_steps", "Times a step was done", "step", tallies, "steps:")


def _counter(name: str, told: str, label: str, tallies: dict[str, float], prefix: str) -> CounterMetricFamily:
    family = CounterMetricFamily(name, told, labels=[label])
    for tally, value in sorted(tallies.items()):
        if tally.startswith(prefix):
            family.add_metric([tally.removeprefix(prefix)], value)
    return family
