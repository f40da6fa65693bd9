"""What bounds a run beside its rounds: the budget at which it stops, and the hours in which its rounds begin."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from core.cost import load_prices
from core.errors import FederationError
from core.hours import opens_at, waits_sentence
from core.records.budgets import budget_end
from core.records.runs import note_waiting, run_of
from core.study import Study

logger = logging.getLogger(__name__)

# How often to look whether the hours have begun, or somebody has stopped the run meanwhile.
LOOK_S = 2.0


class RunStops(Exception):
    """A run ends before its last round: its budget is spent, or it gets no better.

    Args:
        cause: the sentence that the run is stopped with.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True)
class Bounds:
    """Looks, before and during each round, whether a run may go on.

    Everything is read anew at each look: a process that takes the run up comes to the same end.

    Attributes:
        records: the coordinator's.
        run: the run's name.
        study: its study.
        settings: server.toml, which holds the prices.
        keeps_hours: whether rounds wait for the study's hours; a simulation on one machine does not.
        clock, rest: for tests.
    """

    records: Engine
    run: str
    study: Study
    settings: Path
    keeps_hours: bool = True
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    rest: Callable[[float], None] = time.sleep

    def before_round(self, number: int) -> None:
        """Wait until the study's hours have begun.

        Args:
            number: 1, 2, ...; one more than the study's rounds for the evaluation of the last aggregate.
        Raises:
            RunStops: the budget is spent, or the round would go beyond it.
            ConfigError: the budget cannot be held against the prices.
            FederationError: the run was stopped while it waited.
        """
        self._check_budget(before_a_round=True)
        opens = opens_at(self.study.hours, self.clock()) if self.keeps_hours else None
        if opens is None:
            return
        cause = f"round {number} {waits_sentence(opens, 'the study')}"
        logger.info("%s", cause)
        note_waiting(self.records, self.run, cause)
        while self.clock() < opens:
            self.rest(LOOK_S)
            state = run_of(self.records, self.run).state
            if state != "running":
                raise FederationError(f"The run is {state}", fix="resume it: it goes on from this round")
        note_waiting(self.records, self.run, "")

    def during_round(self) -> None:
        """Look whether what the sites have told by now has reached the budget.

        Raises: RunStops, ConfigError: as `before_round`.
        """
        self._check_budget(before_a_round=False)

    def _check_budget(self, *, before_a_round: bool) -> None:
        if not self.study.budget.is_set:
            return
        prices = load_prices(self.settings)
        cause = budget_end(self.records, self.run, self.study, prices, before_a_round=before_a_round)
        if cause:
            raise RunStops(cause)
