"""Requests in the hands of several servers: uploads that are half sent, clients that note what becomes of each."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.deploy.factories_back_ends import TwoBackEnds, uploads_at
from tests.webapp.factories_running import DistinctCases, sign_in, trusting

ZIP = {"Content-Type": "application/zip"}


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Do all of these at the same moment, and return what came of each."""
    begin, came = threading.Barrier(len(works)), [None] * len(works)

    def do(place: int) -> None:
        begin.wait()
        came[place] = works[place]()

    threads = [threading.Thread(target=do, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return came


@dataclass
class Asked:
    """A request.

    Attributes:
        began, ended: by the clock that only goes forward.
        status: of its answer; -1: the connection broke.
    """

    method: str
    began: float
    ended: float = float("inf")
    status: int = -1


class Noting(httpx.Client):
    """A client that notes what it asks."""

    def __init__(self, noted: list[Asked], **settings: Any) -> None:
        super().__init__(**settings)
        self._noted = noted

    def request(self, method: str, url: Any, **more: Any) -> httpx.Response:
        """Ask."""
        one = Asked(method, time.monotonic())
        self._noted.append(one)
        try:
            answer = super().request(method, url, **more)
            one.status = answer.status_code
        finally:
            one.ended = time.monotonic()
        return answer


@dataclass
class Entrance:
    """Clients that come in by Nginx, signed in, and all that they ask."""

    site: TwoBackEnds
    asked: list[Asked] = field(default_factory=list)
    _signed_in: dict[str, httpx.Client] = field(default_factory=dict)

    def sign_in(self, *names: str) -> None:
        """Sign these users in."""
        server = self.site.server
        for name in names:
            client = Noting(self.asked, base_url=self.site.front.url, verify=trusting(server.config.data), timeout=600)
            sign_in(client, name, server.secrets[name])
            self._signed_in[name] = client

    def client(self, name: str) -> httpx.Client:
        """The client of a user who is signed in."""
        return self._signed_in[name]


class Held:
    """An upload of which half is sent; `finish` sends the rest."""

    def __init__(self, client: httpx.Client, body: bytes, key: str = "") -> None:
        self.body, self.headers = body, {**ZIP, **({"Idempotency-Key": key} if key else {})}
        self._client, self._go_on = client, threading.Event()
        self._answer: httpx.Response | None = None
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> "Held":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._go_on.set()
        self._thread.join()

    def finish(self) -> httpx.Response:
        """Send the rest and return the answer."""
        self._go_on.set()
        self._thread.join()
        assert self._answer is not None
        return self._answer

    def _send(self) -> None:
        def pieces() -> Iterator[bytes]:
            yield self.body[: len(self.body) // 2]
            self._go_on.wait()
            yield self.body[len(self.body) // 2 :]

        headers = {**self.headers, "Content-Length": str(len(self.body))}
        self._answer = self._client.post("/predict", content=pieces(), headers=headers)


def until_both_hold_one(site: TwoBackEnds, client: httpx.Client, cases: DistinctCases, stack: ExitStack) -> list[Held]:
    """Begin uploads until each server has at least one in its hands, and return them."""
    held: list[Held] = []
    while not all(uploads_at(server) for server in site.servers):
        number = 1000 + len(held)
        held.append(stack.enter_context(Held(client, cases.zipped(number), f"held-{number}")))
        while sum(uploads_at(server) for server in site.servers) < len(held):
            time.sleep(0.05)
    return held
