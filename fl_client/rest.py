"""A site's own hours: outside of them its trainer rests, before a task or in the middle of one."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from core.hours import HoursSettings, is_open

# How often to look whether the hours have begun, or nobody wants the task any more.
LOOK_S = 1.0


@dataclass(frozen=True)
class Rest:
    """Waits for a site's hours.

    Attributes:
        hours: the site's.
        clock, sleep: for tests.
    """

    hours: HoursSettings
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep

    @property
    def is_due(self) -> bool:
        """Whether it is outside the hours now."""
        return not is_open(self.hours, self.clock())

    def take(self, check: Callable[[], None]) -> None:
        """Wait until the hours begin; at once where they have.

        Args:
            check: called at each look; what it raises ends the wait.
        """
        while self.is_due:
            check()
            self.sleep(LOOK_S)
