"""How far the trainer is and what a run has cost this site: files that the site's other processes read."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from core.clock import after, now
from core.files import private_folder, write_atomically, write_fleeting
from core.progress import Report

# A reader looks once in a second or two; more often would only cost.
INTERVAL_S = 0.25


@dataclass(frozen=True)
class Effort:
    """What a run has cost: seconds of a processor's work, or seconds during which a GPU was held.

    Attributes:
        flower_runs: Flower's numbers of the runs it took, of which there is more than one where it was resumed.
    """

    cpu_s: float = 0.0
    gpu_s: float = 0.0
    flower_runs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Progress:
    """What the trainer does right now.

    Attributes:
        state: `idle`, `training`, `evaluating`, or `uploading` once the answer is handed over.
        run, round: of the task, or of the last one.
        done, total: steps of this state's work.
        progressed_at: when `done` last grew; text of core.clock.
        expected_end: when the task's last step should be over, where that can be told.
        device: where it trains.
        cause: our own sentence for why the last task has no answer, or empty.
        cpu_s, gpu_s, flower_runs: of this run so far, as in `Effort`.
        is_private: whether the task is under differential privacy: what took how long would tell how many patients.
    """

    state: str = "idle"
    run: str = ""
    round: int = 0
    done: int = 0
    total: int = 0
    progressed_at: str = ""
    expected_end: str | None = None
    device: str = ""
    cause: str = ""
    cpu_s: float = 0.0
    gpu_s: float = 0.0
    flower_runs: tuple[int, ...] = ()
    is_private: bool = False


def read_progress(path: Path) -> Progress:
    """Return what the trainer wrote last; where there is nothing to read, that it is idle."""
    try:
        stored = json.loads(path.read_text("utf-8"))
        return Progress(**{**stored, "flower_runs": tuple(stored["flower_runs"])})
    except (OSError, ValueError, TypeError, KeyError):
        return Progress(progressed_at=now())


class ProgressFile:
    """What the trainer writes while it works."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.clock = clock
        self.shown = Progress(progressed_at=now())
        private_folder(path.parent)

    def show(self, progress: Progress) -> None:
        """Write a state at once."""
        self.shown = progress
        write_fleeting(self.path, json.dumps(asdict(progress)))

    def report(self, task: Progress, last_step: str, effort: Callable[[], Effort]) -> Report:
        """Return a report that writes each step of a task, at most four times a second.

        Args:
            task: run, round and device.
            last_step: the step whose end is the task's.
            effort: what the task's run has cost so far.
        """
        step_began, done_before, written, current = self.clock(), 0, -INTERVAL_S, ""

        def write(step: str, done: int, total: int) -> None:
            nonlocal step_began, done_before, written, current
            moment = self.clock()
            if step != current:
                # A task that goes on from a checkpoint begins with what was done before.
                step_began, done_before, current = moment, done, step
            elif moment - written < INTERVAL_S and done < total:
                return
            written, cost = moment, effort()
            here = done - done_before
            left = (moment - step_began) * (total - done) / here if here and step == last_step else None
            self.show(
                replace(
                    task,
                    state=step,
                    done=done,
                    total=total,
                    progressed_at=now(),
                    expected_end=None if left is None else after(left),
                    **asdict(cost),
                )
            )

        return write


class Efforts:
    """What every run has cost this site, also over restarts of the trainer; many threads may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        try:
            stored = json.loads(path.read_text("utf-8"))
            self.runs = {run: _effort(effort) for run, effort in stored.items()}
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            self.runs = {}

    def of(self, run: str) -> Effort:
        """Return what a run has cost so far."""
        return self.runs.get(run, Effort())

    def worked(self, run: str, cpu_s: float, gpu_s: float) -> None:
        """Write what a run has cost so far."""
        self._change(run, lambda cost: replace(cost, cpu_s=cpu_s, gpu_s=gpu_s))

    def came_as(self, run: str, flower_run: int) -> None:
        """Write under which of Flower's numbers a run came."""
        if flower_run and flower_run not in self.of(run).flower_runs:
            self._change(run, lambda cost: replace(cost, flower_runs=(*cost.flower_runs, flower_run)))

    def recover(self, last: Progress) -> None:
        """Count what a trainer that was killed had worked when it wrote its last progress."""
        if last.run and last.cpu_s + last.gpu_s > self.of(last.run).cpu_s + self.of(last.run).gpu_s:
            self.worked(last.run, last.cpu_s, last.gpu_s)

    def _change(self, run: str, change: Callable[[Effort], Effort]) -> None:
        with self._lock:
            self.runs[run] = change(self.of(run))
            write_atomically(self.path, json.dumps({name: asdict(cost) for name, cost in sorted(self.runs.items())}))


def _effort(stored: dict[str, Any]) -> Effort:
    return Effort(stored["cpu_s"], stored["gpu_s"], tuple(stored["flower_runs"]))
