"""Faults drawn at random, and how what came of them is told."""

import json
import subprocess
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from simulations.altered_python import altered_python
from simulations.cli import app
from simulations.drill import SITES, Fault
from simulations.drill_weather import Size, drawn, growth, summary


def text_of(table: Table) -> list[list[str]]:
    console = Console(width=200, record=True, file=StringIO())
    console.print(table)
    rows = [line.strip("│").split("│") for line in console.export_text().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in row] for row in rows]


def test_the_same_seed_draws_the_same_weather_and_another_seed_another() -> None:
    def told(seed: int) -> list[tuple[str, int]]:
        return [(scene.fault, scene.befalls) for scene in drawn(30, seed)]

    assert told(1) == told(1)
    assert told(1) != told(2)
    assert told(1)[:10] == [(scene.fault, scene.befalls) for scene in drawn(10, 1)]


def test_in_much_weather_every_process_dies_at_every_moment_and_every_site_suffers() -> None:
    weather = drawn(1000, 3)
    kinds = {scene.fault for scene in weather}
    assert len([kind for kind in kinds if "killed" in kind]) == 21
    assert any("network" in kind for kind in kinds)
    assert {scene.befalls for scene in weather} == set(range(SITES))


def test_a_summary_counts_each_kind_what_passed_and_what_was_lost() -> None:
    faults = [
        Fault("a", "", "", 0, passed=True),
        Fault("b", "", "", 2, passed=False),
        Fault("a", "", "", 1, passed=False),
        Fault("a", "", "", 0, passed=True),
    ]
    assert text_of(summary(faults)) == [["a", "3", "2", "1"], ["b", "1", "0", "2"], ["in all", "4", "2", "3"]]


def test_growth_shows_each_look() -> None:
    looks = [Size(1, "site-1", 400.4, 50, 0.71), Size(9, "site-1", 401.6, 51, 0.94)]
    assert text_of(growth(looks)) == [["1", "site-1", "400", "50", "0.7"], ["9", "site-1", "402", "51", "0.9"]]


def test_a_night_of_two_faults_loses_nothing_and_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FL_HOME", raising=False)
    outcome = CliRunner().invoke(app, ["drill", "--weather", "2", "--json", str(tmp_path / "night.json")])
    assert outcome.exit_code == 0, outcome.output
    night = json.loads((tmp_path / "night.json").read_text())
    assert [one["passed"] for one in night["faults"]] == [True, True]
    assert all("as undisturbed" in one["happened"] and one["rounds_lost"] == 0 for one in night["faults"])
    assert {(one["round"], one["side"]) for one in night["growth"]} == {
        (number, side) for number in (1, 2) for side in ("coordinator", "site-1", "site-2")
    }
    assert all(one["memory_mb"] > 100 and one["open_files"] > 10 and one["disk_mb"] > 0.1 for one in night["growth"])


def test_an_altered_module_is_altered_in_whatever_that_python_starts(tmp_path: Path) -> None:
    python = altered_python(
        tmp_path, {"core.clock": "true_now = now\ndef now():\n    return 'altered ' + true_now()\n"}
    )
    look = "from core.clock import now; print(now())"
    again = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {look!r}], check=True)"
    for code in (look, again):
        told = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout
        assert told.startswith("altered 20"), told
