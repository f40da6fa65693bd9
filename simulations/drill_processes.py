"""Faults of a real federation: processes that are killed, lines that are cut, apps and callers that nobody let in.

All happens within one run, a fault a round. Between two faults every trainer stands still, so that each fault meets its
round at the moment that it is meant for: before, during or after an upload.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import FLError
from core.progress import Report
from core.records import audit
from core.records.db import reading
from core.records.rounds import ARRIVED, CLOSED, OPENED, rounds_of
from core.records.runs import run_of
from core.study import Study
from core.supervision import states_of
from simulations.drill import SITES, Fault, Held
from simulations.drill_intruders import run_unapproved, try_every_port
from simulations.local import Running, Side, hospitals_in, running_federation, wait_for
from simulations.weather import Weather, weather

HELD_S = 120.0
KILLED_EXPECTED = "the round counts, with the same weights"
BEFORE, DURING, AFTER = "before", "during", "after"


@dataclass(frozen=True)
class Stage:
    """A federation that a drill plays with.

    Attributes:
        federation: while it runs.
        proxies: each site's way out.
        folder: for whatever a fault needs.
        befalls: which site faults befall.
    """

    federation: Running
    proxies: list[Weather]
    folder: Path
    befalls: int = 0

    @property
    def victim(self) -> Side:
        """The site that faults befall."""
        return self.federation.hospitals[self.befalls]

    @property
    def way(self) -> Weather:
        """Its way out."""
        return self.proxies[self.befalls]

    def pid(self, side: Side, name: str) -> int:
        """Wait for a process of a side and return its number."""
        return wait_for(
            lambda: next((state.pid for state in states_of(side.home) if state.name == name and state.pid), None),
            f"{name} of {side.home.name}",
        )

    def freeze(self) -> None:
        """Let every trainer stand still."""
        for side in self.federation.hospitals:
            os.kill(self.pid(side, "trainer"), signal.SIGSTOP)

    def thaw(self, *sides: Side) -> None:
        """Let these sites' trainers go on, or all."""
        for side in sides or self.federation.hospitals:
            with suppress(ProcessLookupError):
                os.kill(self.pid(side, "trainer"), signal.SIGCONT)

    def await_work(self, side: Side) -> None:
        """Wait until a site's app has a task in its hands."""
        warm = self.pid(side, "warm-app")
        wait_for(lambda: _children(warm), f"a task at {side.home.name}")

    def finish_round(self, number: int) -> dict[str, Any]:
        """Let a round count, and every trainer stand still again; return what the audit log says of its end."""

        def counted() -> list[dict[str, Any]]:
            return [one for one in self.events(CLOSED, number) if one["counted"]]

        if not counted():
            self.thaw()
            wait_for(counted, f"round {number}")
            self.freeze()
        return counted()[0]

    def events(self, action: str, number: int) -> list[dict[str, Any]]:
        """Return what the coordinator's audit log says of a round."""
        with reading(self.federation.records) as session:
            bodies = [json.loads(event.body) for event in audit.events(session, action=action, limit=100_000)]
        return [body for body in bodies if body.get("run") == self.federation.run and body.get("round") == number]

    def lost(self, number: int) -> int:
        """Return how many tries of a round did not count."""
        tries = rounds_of(self.federation.records, self.federation.run)
        return sum(one.round == number and not one.counted for one in tries)

    def has_counted(self, number: int) -> bool:
        """Say whether a round has."""
        return any(one["counted"] for one in self.events(CLOSED, number))

    def pause(self, seconds: float) -> None:
        """Let time pass: what is wrong stays wrong for so long."""
        time.sleep(seconds)

    def has_arrived(self, side: Side, number: int) -> bool:
        """Say whether a site's answer to a round has."""
        return any(body["site"] == side.home.name for body in self.events(ARRIVED, number))


@dataclass(frozen=True)
class Scene:
    """One fault of the processes.

    Attributes:
        fault, expected: as in `Fault`.
        act: does it while a round is open and returns what happened, and whether that was as expected.
        befalls: which site.
    """

    fault: str
    expected: str
    act: Callable[[Stage, int], tuple[str, bool]]
    befalls: int = 0


Props = Callable[[Path, list[Side]], AbstractContextManager[list[Side]]]


def play(stage: Stage, scenes: list[Scene], report: Report) -> Iterator[Held]:
    """Play scenes one after another, each in a round of its own.

    Args:
        stage: whose study has at least as many rounds.
        scenes: what to play.
        report: told after each.
    Yields: what came of each; every trainer stands still meanwhile.
    """
    stage.freeze()
    for number, scene in enumerate(scenes, start=1):
        try:
            yield _played(replace(stage, befalls=scene.befalls), scene, number)
        except FLError as error:  # the federation does not go on, so no later scene can be played
            yield Held(Fault(scene.fault, scene.expected, error.problem, 1, passed=False), 0, "")
            return
        report(f"drill: {scene.fault}", number, len(scenes))


@contextmanager
def a_stage(folder: Path, study: Study, props: Props | None = None) -> Iterator[Stage]:
    """Keep a federation running behind a proxy a site while the block runs."""
    with ExitStack() as open_:
        proxies = open_.enter_context(weather(SITES))
        homes = folder / "federation"
        sides = [
            replace(side, proxy=proxy.url) for side, proxy in zip(hospitals_in(homes, SITES), proxies, strict=True)
        ]
        if props:
            sides = open_.enter_context(props(homes, sides))
        federation = open_.enter_context(running_federation(homes, sides, study))
        stage = Stage(federation, proxies, folder)
        open_.callback(stage.thaw)
        yield stage


def _played(stage: Stage, scene: Scene, number: int) -> Held:
    wait_for(lambda: stage.events(OPENED, number), f"round {number} to open")
    happened, as_expected = scene.act(stage, number)
    over = time.monotonic()
    closed = stage.finish_round(number)
    lost = stage.lost(number)
    counted = len(closed["weights"])
    told = f"{happened}; {counted} sites counted {time.monotonic() - over:.0f} s later"
    passed = as_expected and not lost and counted == SITES
    return Held(Fault(scene.fault, scene.expected, told, lost, passed), number, closed["aggregate_sha256"])


def hold(stage: Stage) -> bool:
    """Let the victim train and hold its upload in the middle; say whether there came one."""
    stage.way.hold_upload()
    stage.thaw(stage.victim)
    return stage.way.held.wait(HELD_S)


def killed(what: str, when: str) -> Scene:
    """Return the scene of a kill at a moment of the victim's upload."""

    def act(stage: Stage, number: int) -> tuple[str, bool]:
        if when == DURING:
            if not hold(stage):
                return "no upload came", False
        else:
            stage.await_work(stage.victim)
        if when == AFTER:
            stage.thaw(stage.victim)
            wait_for(lambda: stage.has_arrived(stage.victim, number), "the victim's answer")
        os.kill(PROCESSES[what](stage), signal.SIGKILL)
        stage.way.let_go()
        return "SIGKILL", True

    return Scene(f"{what} killed {when} an upload", KILLED_EXPECTED, act)


def _server_app(stage: Stage) -> int:
    process = wait_for(lambda: run_of(stage.federation.records, stage.federation.run).process, "the ServerApp")
    return int(process.partition(":")[0])


def _of_victim(name: str) -> Callable[[Stage], int]:
    return lambda stage: stage.pid(stage.victim, name)


def _of_coordinator(name: str) -> Callable[[Stage], int]:
    return lambda stage: stage.pid(stage.federation.coordinator, name)


PROCESSES: dict[str, Callable[[Stage], int]] = {
    "SuperLink": _of_coordinator("superlink"),
    "ServerApp": _server_app,
    "SuperNode": _of_victim("supernode"),
    "trainer": _of_victim("trainer"),
    "gate": _of_victim("service"),
    "site API": _of_coordinator("service"),
    "Nginx": _of_coordinator("nginx"),
}
UNAPPROVED = Scene(
    "an app that no hospital approved",
    "no site runs it, each says so, and its coordinator sees it",
    lambda stage, number: run_unapproved(
        stage.federation, stage.folder / "unapproved", lambda: stage.finish_round(number)
    ),
)
INTRUDER = Scene(
    "an intruder on every port", "no call is answered", lambda stage, _number: try_every_port(stage.federation)
)
QUICK = [killed("trainer", BEFORE), killed("gate", DURING), UNAPPROVED, INTRUDER]
EVERY_KILL = [killed(name, when) for name in PROCESSES for when in (BEFORE, DURING, AFTER)]


def _children(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return []
