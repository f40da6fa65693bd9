"""Starts runs whose quorum has approved, starts them again when their process has died, and stops those to be stopped.

A GlioFed run outlives Flower's runs: when one has ended without its end being noted, another takes it up where it was.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from core.clock import age_s
from core.errors import FederationError
from core.processes import is_running
from core.records.runs import answers_of, move_run, note_flower_run, offered_study, runs_in
from core.records.tables import Run

logger = logging.getLogger(__name__)

ACTOR = "service"
# A ServerApp that has not come up so long after it was asked for never will.
START_S = 180.0
# How long until SuperLink, which could not start one, is asked again.
REFUSED_S = 10.0
# Starts without a round between them after which something is wrong that another start does not mend.
MOST_STARTS = 5


@dataclass
class Conductor:
    """Looks after the runs of a coordinator.

    Attributes:
        records: the coordinator's.
        bundles: folder with a study's app folder by its name.
        start: starts a Flower run of an app folder for a run's name; returns Flower's name for it.
        stop: stops a Flower run.
    """

    records: Engine
    bundles: Path
    start: Callable[[Path, str], str]
    stop: Callable[[str], None]
    _starts: dict[str, list[int]] = field(default_factory=dict)

    def look(self) -> None:
        """Do what is due for every run; one that cannot be served does not keep the others from it."""
        for run in runs_in(self.records, "offered", "starting", "running", "paused", "failed", "stopped"):
            try:
                self._serve(run)
            except FederationError as error:
                logger.warning("%s: %s", run.id, error.problem)

    def _serve(self, run: Run) -> None:
        if run.wish == "stop":
            self._stop(run)
        elif run.wish == "resume":
            self._starts.pop(run.id, None)
            self._start(run, "it was resumed")
        elif run.state == "offered" and self._has_quorum(run):
            self._start(run, "its quorum has approved")
        elif run.state == "running" and not is_running(run.process or ""):
            self._start(run, "its process had ended")
        elif run.state == "starting" and not run.flower_run and age_s(run.changed_at) > REFUSED_S:
            self._start(run, "SuperLink could not start it")
        elif run.state == "starting" and age_s(run.changed_at) > START_S and not is_running(run.process or ""):
            self._start(run, "it had not come up")

    def _has_quorum(self, run: Run) -> bool:
        answers = answers_of(self.records, run.study).values()
        approved = [answer.site for answer in answers if answer.state == "approved" and answer.site in run.sites]
        return len(approved) >= offered_study(self.records, run.study).federation.quorum

    def _start(self, run: Run, why: str) -> None:
        if run.flower_run:
            self._stop_flower(run.flower_run)
        starts = [*self._starts.get(run.id, []), _tries(Path(run.folder))][-MOST_STARTS:]
        if len(starts) == MOST_STARTS and len(set(starts)) == 1:
            cause = f"its process ended {MOST_STARTS} times in a row without a round between"
            move_run(self.records, run.id, "failed", actor=ACTOR, cause=cause)
            self._starts.pop(run.id)
            return
        logger.info("Starting %s: %s", run.id, why)
        move_run(self.records, run.id, "starting", actor=ACTOR, cause=why, flower_run="", process="")
        flower_run = self.start(self.bundles / run.study, run.id)
        # Not before: what database or SuperLink cannot take now is no start that the run is at fault for.
        self._starts[run.id] = starts
        note_flower_run(self.records, run.id, flower_run)

    def _stop(self, run: Run) -> None:
        # First the record: sites are told to cancel by it, and a ServerApp that comes up late finds it.
        move_run(self.records, run.id, "stopped", actor=ACTOR, cause="the coordinator stopped it")
        if run.flower_run:
            self._stop_flower(run.flower_run)

    def _stop_flower(self, flower_run: str) -> None:
        try:
            self.stop(flower_run)
        except FederationError as error:  # most often it has ended already
            logger.info("Flower's run %s: %s", flower_run, error.problem)


def _tries(folder: Path) -> int:
    return len(list(folder.glob("try-*.json")))
