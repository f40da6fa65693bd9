"""Training on noise, as large as a site's cases: how long a step takes here, and on what it is spent."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from core.files import atomic
from core.learning.cases import TrainingCase, training_case
from core.learning.model import build_model
from core.study import ModelSettings, Study, TrainingSettings
from fl_client.config import SiteConfig
from fl_client.trainer import device_of
from fl_client.training import train_one_round

CASES = 4
TRACED_STEPS = 4
# What a training step consists of, by the names under which `core.learning.cases` and `fl_client.training` record it.
PARTS = ("load", "augment", "forward", "loss", "backward", "optimizer")
REST = "rest"
# Above the level of the lines that the profiler's library would print.
QUIET = "6"


@dataclass(frozen=True)
class Profile:
    """On what a step of training is spent.

    Attributes:
        spent: seconds a step by part; on a GPU those in which it worked, and `rest` those in which it waited.
    """

    spent: dict[str, float]

    @property
    def slowest(self) -> str:
        """Return the part that takes longest."""
        return max(PARTS, key=lambda part: self.spent[part])


def trial_step(site: SiteConfig) -> float:
    """Train for one step on four cases of noise, as large as this site's, and return the seconds that took.

    Raises: ConfigError: this machine lacks the device that the settings name.
    """
    study = _study(site, ModelSettings(), steps=1)
    cases, device, model = _cases(site), device_of(site.compute), build_model(study.model, study.seed)
    train_one_round(model, cases, study, site.site.name, 1, device)  # the first step also sets everything up
    began = time.monotonic()
    train_one_round(model, cases, study, site.site.name, 2, device)
    return time.monotonic() - began


def profiled(site: SiteConfig, path: Path, settings: ModelSettings | None = None) -> Profile:
    """Trace a few steps as in `trial_step`.

    Args:
        site: this site's settings.
        path: where the trace goes: JSON, which Chrome's about:tracing and Perfetto show.
        settings: the network; a study's default where None.
    Raises: ConfigError: as `trial_step`.
    """
    study = _study(site, settings or ModelSettings(), TRACED_STEPS)
    cases, device, model = _cases(site), device_of(site.compute), build_model(study.model, study.seed)
    train_one_round(model, cases, study, site.site.name, 1, device)
    os.environ.setdefault("KINETO_LOG_LEVEL", QUIET)
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as traced:
        began = time.monotonic()
        train_one_round(model, cases, study, site.site.name, 2, device)
        seconds = time.monotonic() - began
    with atomic(path) as temporary:
        traced.export_chrome_trace(str(temporary))
    spent = spent_by_part(traced.events() or [], on_gpu)
    spent[REST] = max(0.0, seconds - sum(spent.values()))
    return Profile({part: seconds / TRACED_STEPS for part, seconds in spent.items()})


def spent_by_part(events: Iterable[FunctionEvent], on_gpu: bool) -> dict[str, float]:
    """Return the seconds that each part took in all.

    Args:
        events: of a trace.
        on_gpu: count what a GPU worked, by when that was asked for: a GPU is never waited for, so that how long the
            asking took says nothing. The backward pass asks on a thread of its own.
    """
    on_cpu = [event for event in events if event.device_type.name == "CPU"]
    spans = [event for event in on_cpu if event.name in PARTS]
    spent = dict.fromkeys(PARTS, 0.0)
    for span in spans:
        start, end = span.time_range.start, span.time_range.end
        if on_gpu:
            within = (event for event in on_cpu if start <= event.time_range.start < end)
            spent[span.name] += sum(event.self_device_time_total for event in within) / 1e6
        else:
            spent[span.name] += (end - start) / 1e6
    return spent


def _study(site: SiteConfig, model: ModelSettings, steps: int) -> Study:
    """Return a study of this site's grid whose rounds have so many steps."""
    training = TrainingSettings(batch_size=CASES, epochs_per_round=steps)
    return Study(name="trial", model=model, preprocessing=site.preprocessing, training=training)


def _cases(site: SiteConfig) -> list[TrainingCase]:
    grid, generator = site.preprocessing.grid, np.random.default_rng(0)
    return [
        training_case(
            generator.standard_normal((4, grid, grid, grid), np.float32),
            generator.integers(0, 2, (grid, grid, grid)).astype(np.uint8),
            number % 2,
        )
        for number in range(CASES)
    ]
