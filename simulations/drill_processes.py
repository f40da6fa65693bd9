"""Faults of a real federation: processes that are killed, lines that are cut, apps and callers that nobody let in.

All happens within one run, a fault a round. Between two faults every trainer stands still, so that each fault meets its
round at the moment that it is meant for: before, during or after an upload.
"""

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from core.errors import FLError
from core.progress import Report
from core.records.rounds import ARRIVED, ASKED, OPENED
from core.records.runs import run_of
from fl_client.paths import SiteHome
from fl_client.spool import Spool
from simulations.drill import SITES, Fault, Held
from simulations.drill_intruders import run_unapproved, try_every_port
from simulations.drill_stage import Stage
from simulations.local import Side, wait_for

HELD_S = 120.0
KILLED_EXPECTED = "the round counts, with the same weights"
BEFORE, DURING, AFTER = "before", "during", "after"


@dataclass(frozen=True)
class Scene:
    """One fault of the processes.

    Attributes:
        fault, expected: as in `Fault`.
        act: does it while a round is open and returns what happened, and whether that was as expected.
        check: looks once the round has counted, and returns what was done over that need not have been, or nothing.
        befalls: which site.
    """

    fault: str
    expected: str
    act: Callable[[Stage, int], tuple[str, bool]]
    check: Callable[[Stage, int], str] = lambda stage, number: ""
    befalls: int = 0


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
            for left in scenes[number:]:
                yield Held(Fault(left.fault, left.expected, "not played", 0, passed=False), 0, "")
            return
        report(f"drill: {scene.fault}", number, len(scenes))


def _played(stage: Stage, scene: Scene, number: int) -> Held:
    wait_for(lambda: stage.events(OPENED, number), f"round {number} to open")
    happened, as_expected = scene.act(stage, number)
    over = time.monotonic()
    closed = stage.finish_round(number)
    lost = stage.lost(number)
    counted = len(closed["weights"])
    wrong = scene.check(stage, number)
    told = f"{happened}; {counted} sites counted {time.monotonic() - over:.0f} s later" + (
        f", {wrong}" if wrong else ""
    )
    passed = as_expected and not lost and not wrong and counted == SITES
    return Held(Fault(scene.fault, scene.expected, told, lost, passed), number, closed["aggregate_sha256"])


def hold(stage: Stage) -> bool:
    """Let the victim train and hold its upload in the middle; say whether there came one."""
    stage.way.hold_upload()
    stage.thaw(stage.victim)
    return stage.way.held.wait(HELD_S)


def killed(what: str, when: str) -> Scene:
    """Return the scene of a kill at a moment of the victim's upload."""
    in_an_epoch = (what, when) == ("trainer", BEFORE)

    def act(stage: Stage, number: int) -> tuple[str, bool]:
        if when == DURING:
            if not hold(stage):
                stage.way.let_go()
                return "no upload came", False
        else:
            stage.await_work(stage.victim)
        if when == AFTER:
            stage.thaw(stage.victim)
            wait_for(lambda: stage.has_arrived(stage.victim, number), "the victim's answer")
        if in_an_epoch:
            stage.thaw(stage.victim)
            await_checkpoint(stage.victim)
        stage.signal(lambda: PROCESSES[what](stage), signal.SIGKILL)
        stage.way.let_go()
        return "SIGKILL after an epoch" if in_an_epoch else "SIGKILL", True

    return Scene(f"{what} killed {when} an upload", KILLED_EXPECTED, act, went_on if in_an_epoch else did_no_work_twice)


def await_checkpoint(side: Side) -> None:
    """Wait until a site's trainer has trained for an epoch, and look so often that it has not trained for all."""
    checkpoint = Spool(SiteHome(side.home).spool).checkpoint("trial")
    gives_up = time.monotonic() + HELD_S
    while not checkpoint.exists() and time.monotonic() < gives_up:
        time.sleep(0.002)


def went_on(stage: Stage, number: int) -> str:
    """Say what is wrong where training was not taken up where it was, unless it was over when the signal came."""
    is_fine = stage.went_on(stage.victim, number) or stage.trained(stage.victim, number) == 1
    return "" if is_fine else "the epoch that was done was TRAINED AGAIN"


def did_no_work_twice(stage: Stage, number: int) -> str:
    """Say what is wrong where a site trained again, or was asked again for what had arrived."""
    trained = stage.trained(stage.victim, number)
    if trained != 1:
        return f"the site TRAINED {trained} TIMES"
    arrived = min(one["seq"] for one in stage.events(ARRIVED, number) if one["site"] == stage.victim.home.name)
    again = any(one["seq"] > arrived and stage.victim.home.name in one["sites"] for one in stage.events(ASKED, number))
    return "the site was ASKED AGAIN for what had arrived" if again else ""


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
