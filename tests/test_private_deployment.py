"""A federation under differential privacy, as processes over TLS: what it spends, what it refuses, what it hides."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from core.records.rounds import rounds_of
from core.study import Study
from simulations.local import Running, Side, finished, hospitals_in, running_federation, started, tiny_study, wait_for
from tests.factories_private import a_private_study

ROUNDS, EPSILON = 3, 3.0
WITHHELD = "withheld: differential privacy"


@dataclass(frozen=True)
class Trained:
    """A federation whose first study has ended; its hospitals still run."""

    running: Running
    version: str
    study: Study


def a_study(public: Path) -> Study:
    """A study of a small head, its public files in the coordinator's home."""
    private = a_private_study(public, epsilon=EPSILON)
    return tiny_study(2, ROUNDS).model_copy(update={"model": private.model, "privacy": private.privacy})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("private")
    study, hospitals = a_study(folder / "coordinator" / "public"), hospitals_in(folder, 2)
    for side in hospitals:
        side.settings["FL_PRIVACY__BUDGET"] = "3.5"
    with running_federation(folder, hospitals, study) as running:
        version = wait_for(lambda: finished(running), "the run to finish")
        yield Trained(running, version, study)


def privacy_of(side: Side) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(side.call("privacy", "--json"))
    return told


def test_every_round_is_set_aside_at_each_site_and_comes_to_what_was_agreed(trained: Trained) -> None:
    for side in trained.running.hospitals:
        told = privacy_of(side)
        assert [(run["study"], run["trainings"]) for run in told["runs"]] == [(trained.study.name, ROUNDS)]
        assert EPSILON - 0.1 < told["epsilon"] <= EPSILON
        assert told["left"] == pytest.approx(3.5 - told["epsilon"], abs=1e-3)


def test_only_the_head_s_noised_weights_have_left(trained: Trained) -> None:
    for side in trained.running.hospitals:
        answers = json.loads(side.call("ledger", "--json"))["departures"]
        assert [one["what"] for one in answers] == ["update"] * ROUNDS, "no evaluation either"
        assert max(one["bytes"] for one in answers) < 5_000
    for row in rounds_of(trained.running.records, trained.running.run):
        assert row.auc is not None, "the coordinator's own, on public cases"
    folder = trained.running.coordinator.home / "runs" / trained.running.run
    for path in folder.glob("try-*.json"):
        for brought in json.loads(path.read_text())["sites"].values():
            assert (brought["validation"], brought["training"], brought["cohort"]) == ({}, {}, {})
            assert brought["examples"] == trained.study.privacy.patients


def test_the_coordinator_never_hears_how_much_work_a_site_had(trained: Trained) -> None:
    with closing(sqlite3.connect(trained.running.coordinator.home / "records.db")) as records:
        assert records.execute("SELECT sum(cpu_s), sum(gpu_s) FROM efforts").fetchone() == (0.0, 0.0)


def test_the_card_says_how_patients_are_protected_and_withholds_the_rest(trained: Trained) -> None:
    card = json.loads((trained.running.coordinator.home / "registry" / trained.version / "card.json").read_text())
    assert card["privacy"]["tier"] == "epsilon 3 (medium)"
    assert card["cohort"] == WITHHELD
    for head in card["heads"].values():
        assert head["trained_on"] == WITHHELD
        assert head["validation_cases"] == "public validation cases"
        assert sum(head["validated_on"].values()) > 0


def test_frozen_weights_came_once_and_are_what_the_study_names(trained: Trained) -> None:
    for side in trained.running.hospitals:
        assert [path.stem for path in (side.home / "public").iterdir()] == [trained.study.model.frozen]
    log = (trained.running.coordinator.home / "logs" / "calls.log").read_text()
    fetched = [line for line in log.splitlines() if f"offers/{trained.study.name}/frozen" in line]
    assert len(fetched) == 2


def test_a_second_study_that_would_exceed_the_budget_is_refused_and_both_sides_know_why(trained: Trained) -> None:
    running = trained.running
    again = trained.study.model_copy(update={"name": "again"})
    path = running.coordinator.home.parent / "again.toml"
    path.write_text(tomli_w.dumps(again.model_dump(mode="json")))
    launched = json.loads(running.coordinator.call("launch", str(path), "--json"))
    for side in running.hospitals:
        side.call("approve", "again", "--yes")

    def causes() -> list[str]:
        told = json.loads(running.coordinator.call("status", "--json"))
        found = [site["cause"] for site in told["sites"] if "privacy budget" in site["cause"]]
        return found if len(found) == 2 else []

    assert wait_for(causes, "both sites to say why they refuse")
    running.coordinator.call("stop", launched["run"])
    for side in running.hospitals:
        assert [run["study"] for run in privacy_of(side)["runs"]] == [trained.study.name], "it has cost nothing"
        assert "privacy budget" in side.call("status")


def test_a_site_that_was_restored_from_a_copy_is_noticed_by_both_sides(trained: Trained) -> None:
    running = trained.running
    side = running.hospitals[0]
    # A home of the same keys, with records as they were before the run.
    restored = Side(side.program, side.home.parent / "restored", side.settings)
    shutil.copytree(side.home, restored.home, ignore=shutil.ignore_patterns("run", "*.db*", "audit", "spool"))
    with ExitStack() as stack:
        stack.enter_context(started([restored]))
        told = wait_for(
            lambda: [
                site["cause"]
                for site in json.loads(running.coordinator.call("status", "--json"))["sites"]
                if "lost events" in site["cause"]
            ],
            "the coordinator to notice",
        )
        assert told
        assert wait_for(lambda: "has lost events" in restored.call("status"), "the site to notice")
