"""What passes the gate, counted, and what can be told from it of SuperNode's health.

Flower's own health calls say "serving" also when SuperNode's loop has ended or has never reached anybody. What the gate
sees is the truth: SuperNode's loop asks for messages unless it works on one, and a thread of its own sends a heartbeat
every 20 seconds, which ends with the loop.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from core.clock import now
from core.files import write_atomically
from fl_client.fleet_messages import ACTIVATE, HEARTBEAT, PULL_MESSAGES, PUSH_MESSAGES

logger = logging.getLogger(__name__)

# Longer than SuperNode ever rests between two tries (20 s) and takes to start.
SILENCE_S = 120.0
# How long people are shown what the gate refused.
WARNING_S = 600.0


@dataclass(frozen=True)
class Cause:
    """What is wrong between this site and the coordinator.

    Attributes:
        problem, fix: ours, or the coordinator's own words where it refused.
        told: what the coordinator hears of it: where files lie, which may name anybody, is for people here.
        since: when it began; text of core.clock.
    """

    problem: str
    fix: str
    told: str
    since: str = field(default_factory=now, compare=False)


@dataclass(frozen=True)
class Passed:
    """Bytes of fleet calls' bodies that passed the gate: out to the coordinator and in from it."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: "Passed") -> "Passed":
        return Passed(self.sent + other.sent, self.received + other.received)


class Traffic:
    """The counters; the gate's threads write them, anybody in the process reads them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._watched_since = self._heart_at = self._loop_at = self._active_at = clock()
        self._open = 0
        # Unknown yet: a gate that was restarted finds SuperNode at work, perhaps for hours.
        self._working = True
        self._runs: dict[int, Passed] = {}
        self.passed = Passed()
        self.polled_at = ""
        self._cause: Cause | None = None
        self._warning: tuple[Cause, float] | None = None

    @property
    def cause(self) -> Cause | None:
        """What is wrong now, or else what the gate refused of late."""
        if self._cause is None and self._warning and self._clock() - self._warning[1] < WARNING_S:
            return self._warning[0]
        return self._cause

    def of_run(self, run: int) -> Passed:
        """Return what passed for a run that Flower numbers so."""
        return self._runs.get(run, Passed())

    @contextmanager
    def call(self, call: str) -> Iterator[None]:
        """Note that SuperNode makes a call, which is open while the block runs."""
        beats = call == HEARTBEAT
        with self._lock:
            if beats or call == ACTIVATE:
                self._heart_at = self._clock()
            if not beats:
                self._loop_at = self._clock()
                self._open += 1
            if call in (PULL_MESSAGES, PUSH_MESSAGES):
                self._working = False
        try:
            yield
        finally:
            if not beats:
                with self._lock:
                    self._open -= 1
                    self._loop_at = self._clock()

    def count(self, run: int | None, passed: Passed) -> None:
        """Add what a call brought and took."""
        with self._lock:
            self.passed += passed
            if run is not None:
                self._runs[run] = self.of_run(run) + passed

    def polled(self, brought: bool) -> None:
        """Note that the coordinator was asked for messages and answered, with one or without."""
        self.polled_at = now()
        if brought:
            self._working = True
            self.act()

    def act(self) -> None:
        """Note that something goes on, so that the next message may come soon."""
        self._active_at = self._clock()

    def idle_s(self) -> float:
        """Return for how many seconds nothing has gone on."""
        return self._clock() - self._active_at

    def fail(self, problem: str, fix: str, told: str | None = None) -> None:
        """Note, and log once, what is wrong; it stands until a call succeeds.

        Args:
            problem, fix: for people here.
            told: for the coordinator; the problem itself where None.
        """
        cause = Cause(problem, fix, problem if told is None else told)
        if cause != self._cause:
            logger.warning("%s; %s", problem, fix)
            self._cause = cause

    def warn(self, problem: str, fix: str) -> None:
        """Note what the gate refused; the coordinator hears of it with the site's status."""
        self._warning = Cause(problem, fix, problem), self._clock()

    def succeed(self) -> None:
        """Note that the coordinator answered as it should."""
        if self._cause is not None:
            logger.info("The coordinator answers again")
            self._cause = None

    def is_silent(self) -> bool:
        """Say whether SuperNode lives on without doing its work, so that only a new one helps."""
        with self._lock:
            heart = self._clock() - max(self._heart_at, self._watched_since)
            loop = self._clock() - max(self._loop_at, self._watched_since)
            return heart > SILENCE_S or (loop > SILENCE_S and not self._open and not self._working)

    def watch_anew(self) -> None:
        """Give a SuperNode that was told to end the time to start again."""
        self._watched_since = self._clock()


def end_silent(silence: Path, traffic: Traffic) -> None:
    """Tell SuperNode's process to end where it lives on without working."""
    if traffic.is_silent():
        logger.warning("SuperNode has fallen silent and is started anew")
        write_atomically(silence, "")
        traffic.watch_anew()
