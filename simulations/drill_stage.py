"""A federation of processes as the drill plays with it: whom it can stop and kill, and what the records say of it."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from core.records import audit
from core.records.db import open_database, reading
from core.records.rounds import ARRIVED, CLOSED, rounds_of
from core.study import Study
from core.supervision import states_of
from fl_client.paths import SiteHome
from simulations.drill import SITES
from simulations.local import Running, Side, hospitals_in, running_federation, wait_for
from simulations.weather import Weather, weather


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
            self.signal(partial(self.pid, side, "trainer"), signal.SIGSTOP)

    def signal(self, pid: Callable[[], int], number: signal.Signals) -> None:
        """Send a signal to a process, also where another has just taken its place."""

        def sent() -> bool:
            with suppress(ProcessLookupError):
                os.kill(pid(), number)
                return True
            return False

        wait_for(sent, "a process that takes a signal")

    def thaw(self, *sides: Side) -> None:
        """Let these sites' trainers go on, or all."""
        for side in sides or self.federation.hospitals:
            self.signal(partial(self.pid, side, "trainer"), signal.SIGCONT)

    def await_work(self, side: Side) -> None:
        """Wait until a site's app has a task in its hands."""
        warm = self.pid(side, "warm-app")
        wait_for(lambda: children_of(warm), f"a task at {side.home.name}")

    def finish_round(self, number: int) -> dict[str, Any]:
        """Let a round count, and every trainer stand still again; return what the audit log says of its end."""

        def counted() -> list[dict[str, Any]]:
            return [one for one in self.events(CLOSED, number) if one["counted"]]

        self.thaw()
        closed = wait_for(counted, f"round {number}")[0]
        self.freeze()
        return closed

    def events(self, action: str, number: int) -> list[dict[str, Any]]:
        """Return what the coordinator's audit log says of a round, with the number of each event as `seq`."""
        return self._events_in(self.federation.records, action, number)

    def lost(self, number: int) -> int:
        """Return how many tries of a round did not count."""
        tries = rounds_of(self.federation.records, self.federation.run)
        return sum(one.round == number and not one.counted for one in tries)

    def has_arrived(self, side: Side, number: int) -> bool:
        """Say whether a site's answer to a round has."""
        return any(body["site"] == side.home.name for body in self.events(ARRIVED, number))

    def trained(self, side: Side, number: int) -> int:
        """Return how often a site began to train for a round."""
        records = open_database(SiteHome(side.home).records)
        try:
            return len(self._events_in(records, "task.received", number))
        finally:
            records.dispose()

    def went_on(self, side: Side, number: int) -> bool:
        """Say whether a site's training for a round went on after an epoch instead of beginning anew."""
        log = (side.home / "logs" / "trainer.log").read_text("utf-8")
        return "goes on after epoch" in log.partition(f"Round {number} of ")[2]

    def _events_in(self, records: Engine, action: str, number: int) -> list[dict[str, Any]]:
        with reading(records) as session:
            found = audit.events(session, action=action, limit=100_000)
            bodies = [{**json.loads(event.body), "seq": event.seq} for event in found]
        return [body for body in bodies if body.get("run") == self.federation.run and body.get("round") == number]


Props = Callable[[Path, list[Side]], AbstractContextManager[list[Side]]]


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


def processes_of(side: Side) -> list[int]:
    """Return every process of a side: those that its parent keeps running, and all that they have started."""

    def with_descendants(pid: int) -> list[int]:
        return [pid, *(below for child in children_of(pid) for below in with_descendants(child))]

    return [pid for state in states_of(side.home) if state.pid for pid in with_descendants(state.pid)]


def children_of(pid: int) -> list[int]:
    """Return what a process has started, as far as that lives."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    return []
