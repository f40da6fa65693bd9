"""What a run came to, step by step: in plain files always, in TensorBoard or MLflow where somebody asks for it.

OUT/RUN/params.json    settings
OUT/RUN/steps.jsonl    a line a round, epoch or trial
OUT/RUN/metrics.json   what it came to
OUT/RUN/tensorboard/   `tensorboard --logdir OUT`
OUT/mlflow.db          MLflow's runs, one more each time: `mlflow ui --backend-store-uri sqlite:///OUT/mlflow.db`

Nothing is sent anywhere: MLflow's telemetry is off, and both write into these folders alone.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from importlib.util import find_spec
from math import isfinite
from pathlib import Path

from core.errors import ConfigError
from core.files import write_atomically
from core.learning.metrics import REGIONS, scores_of
from core.messages import Counts
from fl_server.checkpoints import RoundRecord

Values = Mapping[str, float]
EXPERIMENT = "gliofed"
# The most that MLflow takes at once.
PARAMS_AT_ONCE, METRICS_AT_ONCE = 100, 1000
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


class Tool(StrEnum):
    """Where else a run can be looked at."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"


def check_tools(tools: Collection[Tool]) -> None:
    """Check that tools are installed: before a long run, not after it.

    Raises: ConfigError: one is not.
    """
    missing = [tool.value for tool in tools if find_spec(tool.value) is None]
    if missing:
        raise ConfigError(f"{' and '.join(missing)} is not installed", fix="pip install 'gliofed[tracking]'")


def track(
    out: Path,
    run: str,
    params: Mapping[str, object],
    steps: Mapping[int, Values],
    metrics: Values,
    tools: Collection[Tool] = (),
) -> Path:
    """Write down a run; once more replaces what was written of it, but for MLflow, which keeps every time.

    Args:
        out: folder of all runs.
        run: the run's name, a folder in it.
        params: settings, nested as they are, as `study.model_dump(mode="json")`.
        steps: values by name at each step, as `rounds_of` or `epochs_of` return them, or a tuning's trials.
        metrics: what the run came to.
        tools: where else to write it.
    Returns: the run's folder.
    Raises: ConfigError: a tool is not installed.
    """
    check_tools(tools)
    steps = {step: _finite(steps[step]) for step in sorted(steps)}
    metrics = _finite(metrics)
    folder = out / run
    write_atomically(folder / "params.json", json.dumps(params, indent=2))
    lines = [json.dumps({"step": step, **values}) + "\n" for step, values in steps.items()]
    write_atomically(folder / "steps.jsonl", "".join(lines))
    write_atomically(folder / "metrics.json", json.dumps(metrics, indent=2))
    if Tool.TENSORBOARD in tools:
        _to_tensorboard(folder / "tensorboard", params, steps, metrics)
    if Tool.MLFLOW in tools:
        _to_mlflow(out, run, params, steps, metrics)
    return folder


def rounds_of(history: Sequence[RoundRecord]) -> dict[int, dict[str, float]]:
    """Return what a federation's rounds brought, by round; 0 is the untrained model.

    A round's training is its own; its validation is of the model that it came with, which is the round before's.
    """
    steps: dict[int, dict[str, float]] = {record.round - 1: {} for record in history if record.counted}
    for record in history:
        if not record.counted:
            continue
        before = steps[record.round - 1]
        before |= _scores("validation", record.validation)
        for site, brought in record.sites.items():
            before |= _scores(f"validation/{site}", brought.validation)
            if brought.training:
                steps.setdefault(record.round, {})[f"training/{site}/loss"] = _mean_loss(brought.training)
    return steps


def epochs_of(history: Sequence[tuple[Counts, Counts]]) -> dict[int, dict[str, float]]:
    """Return what the epochs of a training without a federation brought, as `Trained.history` holds it, from 1."""
    return {
        epoch: {"training/loss": _mean_loss(training), **_scores("validation", validation)}
        for epoch, (training, validation) in enumerate(history, 1)
    }


def _mean_loss(training: Counts) -> float:
    loss = scores_of(training).loss
    return float("nan") if loss is None else loss


def _scores(prefix: str, counts: Counts) -> dict[str, float]:
    """Return the scores that counts can tell, by name."""
    if not counts:
        return {}
    scores = scores_of(counts)
    told = {"loss": scores.loss, "mgmt_auc": scores.mgmt.auc, "tumor_auc": scores.tumor.auc}
    told |= {f"dice_{region}": dice for region, dice in zip(REGIONS, scores.dice, strict=False)}
    return {f"{prefix}/{name}": value for name, value in told.items() if value is not None}


def _finite(values: Values) -> dict[str, float]:
    """Leave out what JSON has no number for."""
    return {name: float(value) for name, value in values.items() if isfinite(value)}


def _to_tensorboard(folder: Path, params: Mapping[str, object], steps: Mapping[int, Values], metrics: Values) -> None:
    from torch.utils.tensorboard import SummaryWriter

    if folder.exists():  # it would show both
        shutil.rmtree(folder)
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("params", "\n".join(f"    {name} = {value}" for name, value in _dotted(params).items()))
        for step, values in steps.items():
            for name, value in values.items():
                writer.add_scalar(name, value, step)
        for name, value in metrics.items():
            writer.add_scalar(f"final/{name}", value, max(steps, default=0))


def _to_mlflow(out: Path, run: str, params: Mapping[str, object], steps: Mapping[int, Values], metrics: Values) -> None:
    os.environ |= QUIET  # it asks them when it is imported
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    client = MlflowClient(f"sqlite:///{(out / 'mlflow.db').absolute()}")
    known = client.get_experiment_by_name(EXPERIMENT)
    # Named, or MLflow would make a folder where the command is run.
    artifacts = (out / "mlflow").absolute().as_uri()
    experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT, artifacts)
    identity = client.create_run(experiment, run_name=run).info.run_id
    now = int(time.time() * 1000)
    settings = [Param(name, str(value)) for name, value in _dotted(params).items()]
    values = [Metric(name, value, now, step) for step, told in steps.items() for name, value in told.items()]
    values += [Metric(f"final/{name}", value, now, max(steps, default=0)) for name, value in metrics.items()]
    for start in range(0, len(settings), PARAMS_AT_ONCE):
        client.log_batch(identity, params=settings[start : start + PARAMS_AT_ONCE])
    for start in range(0, len(values), METRICS_AT_ONCE):
        client.log_batch(identity, metrics=values[start : start + METRICS_AT_ONCE])
    client.set_terminated(identity)


def _dotted(params: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested settings by their dotted names."""
    flat: dict[str, object] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= _dotted(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
