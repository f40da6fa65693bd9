"""A run that is killed at any moment ends as if nothing had happened, and asks nobody for what it has."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fl_server.killed", str(folder)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_moment_at_which_something_is_written_is_among_those_it_was_killed_at(told: dict[str, Any]) -> None:
    moments = Counter(one["moment"] for one in told["killed"])
    # Two sites in one round and the evaluation: each answer has an event, each update two files.
    assert (moments["before note_arrival"], moments["after note_arrival"]) == (4, 4)
    assert moments["before open_round"] == moments["before ask_sites"] == moments["before close_round"] == 2
    assert moments["before federated_average"] == moments["after federated_average"] == 1
    assert moments["after save_state"] == moments["after clear"] == 2
    # The journal's six files, and the weights, the try and the state of both tries.
    assert moments["after write_atomically"] == 6 + 2 * 3
    assert moments["before fsync"] > moments["after write_atomically"]


def test_wherever_it_is_killed_a_run_ends_with_the_same_model_and_the_same_records(told: dict[str, Any]) -> None:
    undisturbed = told["undisturbed"]
    assert undisturbed["state"] == "finished"
    assert not undisturbed["left"], "no update outlives its round"
    assert [closed["counted"] for closed in undisturbed["closed"]] == [True, True]
    for killed in told["killed"]:
        # The second process would have ended with another code had it asked for an answer that the log names.
        assert killed.pop("ends") == [-signal.SIGKILL, 0], killed["moment"]
        assert killed == {"moment": killed["moment"], **undisturbed}
