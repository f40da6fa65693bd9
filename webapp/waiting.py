"""Requests that wait for an answer: one thread looks at the database for all of them."""

import threading
import time
from contextlib import suppress

from sqlalchemy import Engine, select

from core.errors import RecordsError
from core.records.db import reading
from core.records.web_tables import Prediction

_LOOK_S = 0.1
_ENDED = ("done", "failed", "withdrawn")


class Waiting:
    """Lets threads sleep until their prediction has ended.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._wanted: dict[str, int] = {}
        self._ended: set[str] = set()
        self._looking = False

    def until_ended(self, identifier: str, seconds: float) -> None:
        """Return when a prediction has ended, or after so many seconds."""
        deadline = time.monotonic() + seconds
        with self._changed:
            self._wanted[identifier] = self._wanted.get(identifier, 0) + 1
            if not self._looking:
                self._looking = True
                threading.Thread(target=self._look, name="waiting", daemon=True).start()
            try:
                while identifier not in self._ended and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
            finally:
                self._wanted[identifier] -= 1
                if not self._wanted[identifier]:
                    del self._wanted[identifier]
                    self._ended.discard(identifier)

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            with self._changed:
                wanted = [one for one in self._wanted if one not in self._ended]
                if not self._wanted:
                    self._looking = False
                    return
            ended = Prediction.id.in_(wanted), Prediction.state.in_(_ENDED)
            with suppress(RecordsError), reading(self._engine) as session:  # else the next look is soon
                found = session.scalars(select(Prediction.id).where(*ended)).all()
                with self._changed:
                    self._ended.update(found)
                    self._changed.notify_all()
