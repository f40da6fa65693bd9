"""A run in this process whose sites tell what they have worked, under a budget and in hours."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from flwr.app import Context, Message, RecordDict
from sqlalchemy import Engine

from core.errors import FederationError
from core.learning.weights import flatten, unnamed
from core.records import audit
from core.records.db import open_database, reading, transaction
from core.records.registry import approve_version, list_versions, load_version
from core.records.runs import create_run, move_run, offer_study, run_of, wish
from core.records.tables import Effort, Run
from core.signing import make_key
from core.study import Study, settings_to_share
from fl_server import exchange, server_app
from fl_server.bounds import Bounds, RunStops
from fl_server.config import database_url
from fl_server.server_app import make_server_app
from tests.fl_server.factories_answers import SITES, Answer, a_grid
from tests.fl_server.factories_runs import MANIFEST, MODEL, STUDY, answer
from tests.killed import in_a_process
from tests.simulations.factories_federation import write_study

# Of three sites of 100 s each a round, at 0.01 EUR for 10 s: 0.30 EUR a round.
WORK_S = 100.0
SETTINGS = '[coordinator]\naddress = "fl.example.org:443"\n[prices]\ngpu_hour = 3.6\n'


@pytest.fixture(autouse=True)
def home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FL_HOME", str(tmp_path))
    (tmp_path / "server.toml").write_text(SETTINGS)


def records() -> Engine:
    return open_database(database_url())


def with_budget(**budget: object) -> Study:
    return Study.model_validate({**STUDY.model_dump(), "budget": budget})


def working(site: str, task: Message) -> list[Message]:
    """Answer, once the coordinator was told what that has cost."""
    with transaction(records()) as session:
        row = session.get(Effort, ("r", site))
        before = row.gpu_s if row else 0.0
        session.merge(Effort(run="r", site=site, sent_bytes=0, received_bytes=0, cpu_s=0.0, gpu_s=before + WORK_S))
    return answer(site, task)


def serve(folder: Path, study: Study, answer: Answer = working) -> Run:
    """Let the ServerApp of this study take up the run, and return how it ends."""
    create_run(records(), run="r", study=study.name, folder=str(folder / "run"), sites=[*SITES], actor="coordinator")
    move_run(records(), "r", "starting", actor="service")
    make_server_app(write_study(folder, study), waits=False, has_edge=False)(
        a_grid(answer), Context(1, 1, {}, RecordDict(), {"run": "r"})
    )
    return run_of(records(), "r")


def events() -> list[tuple[str, str]]:
    with reading(records()) as session:
        told = [(event.action, json.loads(event.body)) for event in audit.events(session)]
    return [(action, body.get("cause", "")) for action, body in told if action.startswith("run.")]


CAUSE = "the budget of 0.70 EUR is spent: 0.60 EUR after 2 of 3 rounds, and one more would come to 0.90 EUR"


def test_a_run_stops_before_the_round_that_its_budget_does_not_cover_and_leaves_its_best_model(tmp_path: Path) -> None:
    row = serve(tmp_path, with_budget(money="0.70"))
    (name,) = list_versions(tmp_path / "registry")
    assert (row.state, row.cause, row.version) == ("stopped", CAUSE, name)
    assert events()[-1] == ("run.stopped", CAUSE)
    version = load_version(tmp_path / "registry" / name)
    # Round 1's aggregate, which round 2 has validated: (10 * 1 + 20 * 2 + 30 * 6) / 60 beyond the first weights.
    assert version.card["best_round"] == 1
    step = unnamed(MANIFEST, version.tensors) - flatten(MODEL)
    np.testing.assert_allclose(step, np.full(MANIFEST.size, 230 / 60), rtol=1e-5)
    key = make_key(tmp_path / "signing.key", tmp_path / "signing.pub")
    approve_version(tmp_path / "registry", name, key)


def test_a_budget_that_is_not_reached_changes_nothing(tmp_path: Path) -> None:
    row = serve(tmp_path, with_budget(money=5, gpu_hours=1))
    assert (row.state, row.cause) == ("finished", "")


def test_a_budget_of_gpu_hours_needs_no_prices(tmp_path: Path) -> None:
    (tmp_path / "server.toml").unlink()
    row = serve(tmp_path, with_budget(gpu_hours="0.17"))  # 612 s
    assert row.state == "stopped"
    assert "0.17 GPU hours after 2 of 3 rounds" in row.cause


def test_a_run_that_is_resumed_stops_again_as_long_as_prices_are_what_they_were(tmp_path: Path) -> None:
    study = with_budget(money="0.70")
    first = serve(tmp_path, study)
    wish(records(), "r", "resume", actor="coordinator")
    again = serve(tmp_path, study, lambda *_: pytest.fail("a site was asked"))
    assert (again.state, again.cause, again.version) == ("stopped", CAUSE, first.version)
    (tmp_path / "server.toml").write_text(SETTINGS.replace("3.6", "0.36"))
    assert serve(tmp_path, study).state == "finished"
    assert len(list_versions(tmp_path / "registry")) == 2


def test_a_run_whose_first_round_takes_all_of_it_stops_in_the_middle_without_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "LOOK_S", 0.0)

    def endless(site: str, task: Message) -> list[Message]:
        return working(site, task)[: site == "site-a"]

    study = with_budget(money="0.20")
    create_run(records(), run="r", study=study.name, folder=str(tmp_path / "run"), sites=[*SITES], actor="coordinator")
    move_run(records(), "r", "starting", actor="service")
    make_server_app(write_study(tmp_path, study), has_edge=False)(
        a_grid(endless), Context(1, 1, {}, RecordDict(), {"run": "r"})
    )
    row = run_of(records(), "r")
    assert (row.state, row.version) == ("stopped", None)
    assert row.cause == (
        "the budget of 0.20 EUR is spent: 0.30 EUR after 0 of 3 rounds; no model of it was validated, so it leaves none"
    )
    assert not list((tmp_path / "run" / "objects").iterdir())


@pytest.mark.parametrize("place", ["load_state", "add_version", "register_version"])
def test_a_coordinator_that_is_killed_as_the_budget_ends_stops_just_so_when_it_is_back(
    tmp_path: Path, place: str
) -> None:
    study = with_budget(money="0.70")

    def killed() -> None:
        setattr(server_app, place, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        serve(tmp_path, study)

    assert in_a_process(killed) == -signal.SIGKILL
    assert run_of(records(), "r").state == "running"
    row = serve(tmp_path, study, lambda *_: pytest.fail("a site was asked"))
    (name,) = list_versions(tmp_path / "registry")
    assert (row.state, row.cause, row.version) == ("stopped", CAUSE, name)


@dataclass
class Clock:
    """Time that passes while somebody rests, and what happens meanwhile."""

    now: datetime = datetime(2026, 11, 24, 19, 59, 55, tzinfo=UTC)
    rested: int = 0
    meanwhile: Callable[[], None] = field(default=lambda: None)

    def rest(self, seconds: float) -> None:
        self.rested += 1
        self.now += timedelta(seconds=seconds)
        self.meanwhile()


def bounds(clock: Clock, **settings: object) -> Bounds:
    study = Study.model_validate({**STUDY.model_dump(), "hours": {"windows": ["20:00-06:00"]}})
    create_run(records(), run="r", study=study.name, folder="f", sites=[*SITES], actor="c", state="running")
    return Bounds(records(), "r", study, Path("none"), clock=lambda: clock.now, rest=clock.rest, **settings)


def test_a_round_begins_when_the_study_s_hours_do_and_the_run_says_what_it_waits_for() -> None:
    clock, causes = Clock(), []
    clock.meanwhile = lambda: causes.append(run_of(records(), "r").cause)
    bounds(clock).before_round(4)
    assert clock.rested == 3
    assert set(causes) == {"round 4 waits until 2026-11-24 20:00 UTC: the study's own hours"}
    assert (run_of(records(), "r").state, run_of(records(), "r").cause) == ("running", "")
    assert [action for action, _ in events()] == ["run.running", "run.waits", "run.goes-on"]
    bounds(clock).before_round(5)
    assert clock.rested == 3


def test_a_wish_that_comes_while_a_round_waits_is_kept_and_a_run_that_was_stopped_waits_no_more() -> None:
    clock = Clock()

    def stop() -> None:
        if clock.rested == 1:
            wish(records(), "r", "stop", actor="c")
        elif run_of(records(), "r").wish == "stop":
            move_run(records(), "r", "stopped", actor="service")

    clock.meanwhile = stop
    with pytest.raises(FederationError, match="The run is stopped"):
        bounds(clock).before_round(1)
    assert clock.rested == 2


def test_a_simulation_waits_for_no_hours() -> None:
    clock = Clock()
    bounds(clock, keeps_hours=False).before_round(1)
    assert not clock.rested


def test_only_what_is_reached_ends_a_round_that_is_under_way(tmp_path: Path) -> None:
    study = with_budget(gpu_hours="0.1")  # 360 s
    offer_study(
        records(), study=study.name, toml=tomli_w.dumps(settings_to_share(study)), bundle=b"", bundle_sha256="a" * 64,
        sites=[*SITES], actor="c",
    )  # fmt: skip
    create_run(records(), run="r", study=study.name, folder="f", sites=[*SITES], actor="c", state="running")
    bound = Bounds(records(), "r", study, tmp_path / "server.toml")
    for told, ends in ((359.0, False), (360.0, True)):
        with transaction(records()) as session:
            session.merge(Effort(run="r", site="site-a", sent_bytes=0, received_bytes=0, cpu_s=0.0, gpu_s=told))
        if ends:
            with pytest.raises(RunStops, match="GPU hours is spent"):
                bound.during_round()
        else:
            bound.during_round()
