"""A drill: clients ask for predictions and do not give up, while what serves them is killed; then all is counted."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import func, select

from core.errors import RecordsError
from core.records.db import open_database, reading
from core.records.web_tables import LogEntry, Prediction
from tests.factories_mariadb import MariaDB
from tests.webapp.factories_running import DistinctCases, Running
from webapp import log
from webapp.checkpoints import head_signer

# What a request that has failed so is worth sending again for.
_AGAIN = (429, 503)
_BREATH_S = 0.5
# MariaDB's options, without which a killed server loses what it has committed.
DURABLE = ("--innodb-flush-log-at-trx-commit=1", "--innodb-flush-method=fsync")


@dataclass
class Clients:
    """Clients that send one distinct case after the other until so many are answered; each request until it is.

    Attributes:
        server: asked.
        cases: sent.
        wanted: how many predictions.
        accepted: the predictions that a case's requests were told of; it should be one each.
        answers: how many answers there were by status; -1: the connection broke.
        sending: cases whose upload is on its way.
        wrong: what must not happen.
    """

    server: Running
    cases: DistinctCases
    wanted: int
    accepted: dict[int, set[str]] = field(default_factory=dict)
    answers: "Counter[int]" = field(default_factory=Counter)
    sending: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    answered: int = 0
    _begun: int = 0
    _working: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def at_work(self, names: list[str]) -> Iterator[None]:
        """Let a client of each name work beside the block, and wait until all are done."""
        self._working = len(names)
        threads = [threading.Thread(target=self._work, args=(self.server.client(name),), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join()

    def until(self, answered: int, timeout: float | None = None) -> bool:
        """Return when so many are answered or nobody asks any more, or after some seconds; say whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self.answered >= answered or not self._working, timeout)

    def until_sending(self) -> None:
        """Return when an upload is on its way, or nobody asks any more."""
        with self._changed:
            self._changed.wait_for(lambda: self.sending or not self._working)

    def _work(self, client: httpx.Client) -> None:
        try:
            self._ask_on(client)
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def _ask_on(self, client: httpx.Client) -> None:
        with closing(client):
            while (number := self._next()) is not None:
                body = self.cases.zipped(number)
                headers = {"Idempotency-Key": f"case-{number}", "Content-Type": "application/zip", "Prefer": "wait=60"}
                answer = self._ask(client, number, "POST", "/predict", content=body, headers=headers)
                while answer.get("state") in ("queued", "running"):
                    path = f"/predict/{answer['id']}"
                    answer = self._ask(client, number, "GET", path, headers={"Prefer": "wait=60"})
                with self._changed:
                    self.answered += 1
                    if answer.get("state") != "done":
                        self.wrong.append(f"case {number}: {answer}")
                    self._changed.notify_all()

    def _next(self) -> int | None:
        with self._changed:
            if self._begun == self.wanted:
                return None
            self._begun += 1
            return self._begun

    def _ask(self, client: httpx.Client, number: int, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Ask until there is an answer that is no request to come again, and return it."""
        while True:
            try:
                self._note_sending(number, sending=method == "POST")
                answer = client.request(method, path, **more)
                status = answer.status_code
            except httpx.TransportError:
                status = -1
            finally:
                self._note_sending(number, sending=False)
            with self._changed:
                self.answers[status] += 1
            if status in (200, 202):
                told: dict[str, Any] = answer.json()
                with self._changed:
                    self.accepted.setdefault(number, set()).add(told["id"])
                return told
            if status != -1 and status not in _AGAIN:
                return {"state": f"status {status}", "told": answer.text[:300]}
            time.sleep(_BREATH_S)  # a client's patience

    def _note_sending(self, number: int, *, sending: bool) -> None:
        with self._changed:
            (self.sending.add if sending else self.sending.discard)(number)
            self._changed.notify_all()


def until_one_runs(server: Running, clients: Clients) -> None:
    """Return when a prediction is being worked on, or all are answered."""
    engine = open_database(server.config.database_url)
    while not clients.until(clients.wanted, 0.05):
        with suppress(RecordsError), reading(engine) as session:
            if session.scalar(select(Prediction.id).where(Prediction.state == "running", Prediction.step == "prepare")):
                break
    engine.dispose()


def strike(server: Running, database: MariaDB, kind: str) -> bool:
    """Kill `web`, one of its `web child`ren, the `worker` or the `database`, which comes again; say whether it ran."""
    if kind == "database":
        database.crash()
        return True
    return server.kill(kind.removesuffix(" child"), child=kind.endswith(" child"))


def shortcomings(server: Running, clients: Clients) -> list[str]:
    """Start the server once more, stop it, and return everything that is not as if nothing had happened.

    Raises: AuditError: the log or its signed heads do not verify.
    """
    server.stop()
    server.start()
    server.stop()
    found = list(clients.wrong)
    found += [
        f"case {number} became {len(ids)} predictions" for number, ids in clients.accepted.items() if len(ids) > 1
    ]
    accepted = {one for ids in clients.accepted.values() for one in ids}
    engine = open_database(server.config.database_url)
    with reading(engine) as session:
        states = dict(session.execute(select(Prediction.id, Prediction.state)).all())
        counting = select(LogEntry.prediction, func.count()).where(LogEntry.action == "prediction.made")
        made = dict(session.execute(counting.group_by(LogEntry.prediction)).all())
    found += [f"{one}: accepted, and lost" for one in accepted - states.keys()]
    found += [f"{one}: nobody was told of it" for one in states.keys() - accepted]
    found += [f"{one}: stuck as {state}" for one, state in states.items() if state != "done"]
    found += [f"{one}: {made.get(one, 0)} events that it was made" for one in states if made.get(one) != 1]
    kept = {path.name for path in server.config.files.iterdir()}
    found += [f"{one}: its files are gone" for one in states.keys() - kept]
    found += [f"files/{name}: left over" for name in kept - states.keys()]
    places = (server.config.site.scratch, server.config.data / "scratch")
    found += [f"{left}: left over" for place in places if place.is_dir() for left in sorted(place.iterdir())]
    signer = head_signer(server.config)
    verified = log.verify(engine, signer.checkpoints, signer.public)
    found += [] if verified.checkpoints else ["no head of the log was signed"]
    engine.dispose()
    return found
