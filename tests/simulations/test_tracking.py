import json
import subprocess
import sys

import pytest

from core.errors import ConfigError
from fl_server.checkpoints import RoundRecord, SiteRound
from simulations import tracking
from simulations.tracking import Tool, check_tools, epochs_of, rounds_of, track
from tests.simulations.factories_ray import ROOT

PARAMS = {"name": "tiny", "model": {"preset": "tiny", "dropout": 0.1}}
STEPS = {0: {"validation/loss": 1.5}, 1: {"validation/loss": 1.25, "training/north/loss": 2.0}}
METRICS = {"mgmt_auc": 0.75, "undefined": float("nan")}


def counts(cases, loss):
    return {"cases": float(cases), "loss": float(loss)}


def a_record(number, validation, training, counted=True):
    north = SiteRound(counts(2, validation), "", 4 if training else 0, training)
    return RoundRecord(number, counted, {"north": north}, {}, {}, counts(2, validation), 0.0)


def test_plain_files_hold_settings_steps_and_what_it_came_to(tmp_path):
    folder = track(tmp_path, "one", PARAMS, STEPS, METRICS)
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.json", "params.json", "steps.jsonl"]
    assert json.loads((folder / "params.json").read_text()) == PARAMS
    assert [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()] == [
        {"step": 0, "validation/loss": 1.5},
        {"step": 1, "validation/loss": 1.25, "training/north/loss": 2.0},
    ]
    assert json.loads((folder / "metrics.json").read_text()) == {"mgmt_auc": 0.75}


def test_a_rounds_validation_counts_for_the_model_it_came_with_and_its_training_for_its_own():
    history = (
        a_record(1, 6, counts(4, 8)),
        a_record(2, 5, counts(4, 6), counted=False),
        a_record(2, 4, counts(4, 4)),
        a_record(3, 3, {}),
    )
    assert rounds_of(history) == {
        0: {"validation/loss": 3.0, "validation/north/loss": 3.0},
        1: {"validation/loss": 2.0, "validation/north/loss": 2.0, "training/north/loss": 2.0},
        2: {"validation/loss": 1.5, "validation/north/loss": 1.5, "training/north/loss": 1.0},
    }


def test_epochs_of_a_training_without_a_federation_are_steps_too():
    assert epochs_of([(counts(4, 8), counts(2, 6)), (counts(4, 4), counts(2, 5))]) == {
        1: {"training/loss": 2.0, "validation/loss": 3.0},
        2: {"training/loss": 1.0, "validation/loss": 2.5},
    }


def test_tensorboard_reads_back_what_was_tracked_last(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    track(tmp_path, "one", PARAMS, {0: {"validation/loss": 99.0}}, {}, [Tool.TENSORBOARD])
    folder = track(tmp_path, "one", PARAMS, STEPS, METRICS, [Tool.TENSORBOARD])
    seen = EventAccumulator(str(folder / "tensorboard"))
    seen.Reload()
    assert [(event.step, event.value) for event in seen.Scalars("validation/loss")] == [(0, 1.5), (1, 1.25)]
    assert [(event.step, event.value) for event in seen.Scalars("final/mgmt_auc")] == [(1, 0.75)]
    (text,) = seen.Tensors("params/text_summary")
    assert b"model.dropout = 0.1" in text.tensor_proto.string_val[0]


# In a process of its own, where every way out is shut and MLflow's own warnings are no errors.
MLFLOW = """
import json, socket, sys
from pathlib import Path

def refused(*_):
    raise SystemExit("it wants out")

socket.socket.connect = socket.socket.connect_ex = refused
from simulations.tracking import Tool, track
from tests.simulations.test_tracking import METRICS, PARAMS, STEPS

out = Path(sys.argv[1])
many = {step: {f"m{number}": 1.0 for number in range(60)} for step in range(2, 22)}
for run in ("one", "two"):
    track(out, run, PARAMS, STEPS | many, METRICS, [Tool.MLFLOW])
from mlflow import MlflowClient
from mlflow.telemetry.utils import is_telemetry_disabled

client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
found = client.search_runs([client.get_experiment_by_name("gliofed").experiment_id], order_by=["start_time"])
one = next(run for run in found if run.info.run_name == "one")
print(json.dumps({
    "runs": sorted(run.info.run_name for run in found),
    "status": one.info.status,
    "params": one.data.params,
    "loss": [(m.step, m.value) for m in client.get_metric_history(one.info.run_id, "validation/loss")],
    "many": len(client.get_metric_history(one.info.run_id, "m59")),
    "final": one.data.metrics["final/mgmt_auc"],
    "telemetry": not is_telemetry_disabled(),
}))
"""


def test_mlflow_reads_back_what_was_tracked_and_nothing_leaves(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MLFLOW, str(tmp_path / "runs")],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "runs": ["one", "two"],
        "status": "FINISHED",
        "params": {"name": "tiny", "model.preset": "tiny", "model.dropout": "0.1"},
        "loss": [[0, 1.5], [1, 1.25]],
        "many": 20,
        "final": 0.75,
        "telemetry": False,
    }
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == ["runs"]


def test_a_tool_that_is_not_there_is_named_before_the_run(monkeypatch, tmp_path):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == "mlflow" else object())
    check_tools([Tool.TENSORBOARD])
    with pytest.raises(ConfigError, match="mlflow is not installed") as told:
        track(tmp_path, "one", PARAMS, STEPS, METRICS, [Tool.MLFLOW])
    assert "gliofed[tracking]" in told.value.fix
    assert not list(tmp_path.iterdir())
