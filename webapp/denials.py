"""Which denials become an event each, and which are only counted, so that a flood fills neither log nor disk.

One user or address has so many events a minute, and all who have not signed in have so many together; what is beyond is
answered alike, and told of in one event that says how many there were.
"""

import time
from collections import Counter
from threading import Lock

EACH, UNKNOWN_TOGETHER = 20, 60
_MINUTE_S = 60


class Denials:
    """The denials of this process, in the minute that runs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._minute = -1
        self._noted: Counter[str] = Counter()
        self._unknown = 0
        self._counted = 0

    def has_room(self, key: str, *, known: bool) -> bool:
        """Say whether a denial is to be noted by itself; else it is counted.

        Args:
            key: the user, or the address.
            known: whether it is a user.
        """
        with self._lock:
            minute = int(time.monotonic()) // _MINUTE_S
            if minute != self._minute:
                self._minute, self._unknown = minute, 0
                self._noted.clear()
            if self._noted[key] >= EACH or not (known or self._unknown < UNKNOWN_TOGETHER):
                self._counted += 1
                return False
            self._noted[key] += 1
            self._unknown += not known
            return True

    def take_counted(self, *, at_once: bool = False) -> int:
        """Return how many were counted and not told of yet, once their minute is over."""
        with self._lock:
            if self._counted and (at_once or int(time.monotonic()) // _MINUTE_S != self._minute):
                counted, self._counted = self._counted, 0
                return counted
            return 0

    def put_back(self, counted: int) -> None:
        """Count again what could not be told."""
        with self._lock:
            self._counted += counted
