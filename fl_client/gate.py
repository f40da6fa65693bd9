"""The one door between a site's SuperNode and the coordinator.

SuperNode can neither show a certificate nor be told why it is refused. It speaks to the gate on loopback; the gate lets
nothing but Flower's fleet calls through, to nobody but the coordinator, over mutual TLS. What of a call may come in and
go out is fl_client/passage.py's to say. Where the coordinator has no message the gate waits with SuperNode's call and
asks again, so that a task is here a moment after it was sent instead of after SuperNode's own rest of three seconds.

Threads and blocking sockets on purpose: half the CPU of an asynchronous relay for the same bytes, see
docs/decisions/0008-a-fast-round.md.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread

from core.errors import ConnectionProblem, FLError, UpdateRejected
from core.files import write_fleeting
from fl_client.door import Doorway, Request, refusal
from fl_client.fleet_messages import (
    ACTIVATE,
    CONFIRM_MESSAGE,
    DEACTIVATE,
    GET_FAB,
    HEARTBEAT,
    MEDIA_TYPE,
    NO_MESSAGES,
    PREFIX,
    PULL_MESSAGES,
    PULL_OBJECT,
    PUSH_MESSAGES,
    PUSH_OBJECT,
    check_request,
    deactivation,
    is_on_its_way,
)
from fl_client.flower_process import ring
from fl_client.node_signature import NodeSignature
from fl_client.passage import Passage
from fl_client.relay import Answer, Relay
from fl_client.site_error import cause_of
from fl_client.site_records import SiteRecords
from fl_client.traffic import Passed, Traffic, end_silent
from fl_client.verdicts import NOT_ACTIVATED, OK, UNAUTHORIZED, UNAVAILABLE, flower_code, verdict_on

logger = logging.getLogger(__name__)

# A wait costs at most this share of the time waited: pauses grow with it, between two bounds.
SHARE = 1 / 20
PAUSES_S = (0.2, 3.0)
# SuperNode signs the time of its call, which the coordinator believes for 300 s; then 3 s of its rest are 3 %.
HOLD_S = 100.0
# An object that is announced comes within moments, or SuperNode rests a second before it asks again.
OBJECT_HOLD_S = 20.0
OBJECT_PAUSE_S = 0.1
# A coordinator that refuses this site is asked again after such a rest, twice as long each time.
REFUSED_RESTS_S = (20.0, 160.0)
WATCH_S = 5.0
CLOSING_S = 0.1
INSIST_S = 1.0  # between two tries to hand an answer on

_PATH = re.compile(PREFIX + r"([a-z]+(-[a-z]+)*)")
# Calls whose bytes are counted for the run that is at work.
_CARRYING = (PULL_OBJECT, PUSH_MESSAGES, PUSH_OBJECT)
_TYPES = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
_TRY_AGAIN = Answer(UNAVAILABLE, MEDIA_TYPE, b"", (("Retry-After", "1"),))
_SIGN_ANEW = Answer(OK, MEDIA_TYPE, NO_MESSAGES)


@dataclass(frozen=True)
class GateSettings:
    """Where the gate stands.

    Attributes:
        coordinator: host or host:port.
        proxy: URL of the hospital's proxy, or empty.
        pki: folder with gate.crt, gate.key, ca.crt, site.crt, site.key and node.pub.
        port: on loopback; 0 for a free one.
        silence: file that tells SuperNode's process to end, see fl_client/flower_process.py.
        bell: socket that tells SuperExec that a task is here.
        node: file with the number that this site's node has.
    """

    coordinator: str
    proxy: str
    pki: Path
    port: int
    silence: Path
    bell: Path
    node: Path


class Gate:
    """Lets SuperNode's calls through and waits with those that would come back empty."""

    def __init__(self, relay: Relay, traffic: Traffic, records: SiteRecords, settings: GateSettings) -> None:
        self.relay = relay
        self.traffic = traffic
        self.settings = settings
        self.passage = Passage(records, traffic, self.insist)
        self.closing = Event()
        self._signature = NodeSignature(settings.pki / "node.pub")
        self._headers: dict[str, str] = {}
        self._node = _read_node(settings.node)
        self._rests_until = 0.0
        self._rest_s = 0.0

    def answer(self, request: Request) -> Answer:
        """Answer one call of SuperNode's."""
        path, signed = _PATH.fullmatch(request.path), self._signature.of(request.headers)
        if path is None or signed is None:
            logger.warning("The gate refused a call that is none of SuperNode's")
            return refusal()
        call, request = path[1], replace(request, headers={**_TYPES, **signed})
        try:
            self._met(check_request(call, request.body), signed)
            if call not in (HEARTBEAT, PULL_MESSAGES):
                self.traffic.act()
            with self.traffic.call(call):
                return self._answer(call, request)
        except UpdateRejected as error:
            logger.warning("The gate stopped %s: %s", call, error.problem)
            if call in (PUSH_MESSAGES, PUSH_OBJECT) and self.passage.custody.is_new:
                self._begin_anew(request)
            return refusal()
        except FLError as error:
            self.traffic.fail(error.problem, error.fix, cause_of(error))
            return _TRY_AGAIN

    def insist(self, call: str, body: bytes, until: float) -> Answer:
        """Pass on a call of the gate's own until there is an answer, by the newest signature that SuperNode has made.

        Args:
            call, body: of it.
            until: when nobody waits for it any more, in seconds since 1970.
        Raises: ConnectionProblem: the gate is closing.
        """
        while True:
            answer = self._ask(call, Request(PREFIX + call, {**_TYPES, **self._headers}, body, lambda: False))
            if answer.status != UNAVAILABLE or time.time() > until:
                return answer
            if self.closing.wait(INSIST_S):
                raise ConnectionProblem("The gate is closing", fix="nothing: SuperNode tries again")

    def _answer(self, call: str, request: Request) -> Answer:
        if call == PULL_MESSAGES:
            return self._await_message(request)
        if call == PULL_OBJECT:
            return self._await_object(request)
        if call == PUSH_MESSAGES:
            return Answer(OK, MEDIA_TYPE, self.passage.announce(request.body))
        if call == PUSH_OBJECT:
            return Answer(OK, MEDIA_TYPE, self.passage.push(request.body))
        answer = self._ask(call, request)
        if answer.status == OK and call == GET_FAB:
            self.passage.check_bundle(answer.body)
        if answer.status == OK and call == CONFIRM_MESSAGE:
            ring(self.settings.bell)  # all of the message has arrived: a ClientApp that starts now waits for nothing
        return answer

    def _await_message(self, request: Request) -> Answer:
        until, signed_long_ago = time.monotonic() + HOLD_S, False
        while True:
            answer = self._ask(PULL_MESSAGES, request, signed_long_ago)
            if answer is _SIGN_ANEW:
                return answer
            if answer.status == OK:
                self.traffic.polled(brought := self.passage.admit(answer.body))
                if brought:
                    return answer
                answer = replace(answer, body=NO_MESSAGES)
            if answer.status not in (OK, UNAVAILABLE) or request.is_gone():
                return answer
            if self.closing.wait(pause_s(self.traffic.idle_s())) or time.monotonic() > until:
                return answer
            signed_long_ago = True

    def _await_object(self, request: Request) -> Answer:
        until = time.monotonic() + OBJECT_HOLD_S
        while True:
            answer = self._ask(PULL_OBJECT, request)
            if answer.status == OK and not is_on_its_way(answer.body):
                self.passage.came(request.body, answer.body)
                return answer
            if answer.status != OK or time.monotonic() > until or request.is_gone():
                return answer
            self.closing.wait(OBJECT_PAUSE_S)

    def _ask(self, call: str, request: Request, signed_long_ago: bool = False) -> Answer:
        """Pass a call on once; what SuperNode could not bear becomes a failure that it tries again after."""
        if time.monotonic() < self._rests_until:
            return _TRY_AGAIN
        try:
            answer = self._post(call, request)
        except ConnectionProblem as error:
            self.traffic.fail(error.problem, error.fix)
            return _TRY_AGAIN
        if signed_long_ago and answer.status == UNAUTHORIZED:
            return _SIGN_ANEW  # nothing else is wrong: SuperNode asks once more
        verdict = verdict_on(call, answer)
        self._note(verdict.refused)
        if verdict.problem:
            self.traffic.fail(verdict.problem, verdict.fix)
        else:
            self.traffic.succeed()
            run = self.passage.flower_run if call in _CARRYING else None
            self.traffic.count(run, Passed(len(request.body), len(answer.body)))
        return _TRY_AGAIN if verdict.status == UNAVAILABLE else replace(answer, status=verdict.status)

    def _post(self, call: str, request: Request) -> Answer:
        answer = self.relay.post(request.path, request.headers, request.body)
        if call == ACTIVATE and self._node and flower_code(answer.body) == NOT_ACTIVATED:
            # SuperLink holds a node that was killed to be there for a minute more, unless it is told.
            self.relay.post(PREFIX + DEACTIVATE, request.headers, deactivation(self._node))
            answer = self.relay.post(request.path, request.headers, request.body)
        return answer

    def _begin_anew(self, request: Request) -> None:
        """Let the coordinator hear that an answer is dropped here, before SuperNode asks for the next task.

        SuperLink refuses to activate a node that is there already; the coordinator's edge sees that it was tried.
        """
        with suppress(ConnectionProblem):
            self.relay.post(PREFIX + ACTIVATE, request.headers, b"")

    def _met(self, node: int, headers: dict[str, str]) -> None:
        """Remember who asks, and with which signature: it is good for any call for some minutes."""
        self._headers = headers
        if node and node != self._node:
            self._node = node
            with suppress(OSError):  # on a full disk: it only spares a killed SuperNode a minute
                write_fleeting(self.settings.node, str(node))

    def _note(self, refused: bool) -> None:
        shortest, longest = REFUSED_RESTS_S
        self._rest_s = min(max(2 * self._rest_s, shortest), longest) if refused else 0.0
        self._rests_until = time.monotonic() + self._rest_s


def _read_node(path: Path) -> int:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 0


def pause_s(idle_s: float) -> float:
    """Return how long to wait before asking again, where nothing has gone on for so many seconds."""
    shortest, longest = PAUSES_S
    return min(max(idle_s * SHARE, shortest), longest)


@contextmanager
def open_gate(settings: GateSettings, traffic: Traffic, records: SiteRecords) -> Iterator[int]:
    """Let calls through while the block runs.

    Args:
        settings: where the gate stands.
        traffic: what counts.
        records: this site's, which say what is approved and where it is noted what leaves.
    Returns: the port it listens on.
    Raises: ConfigError: the address, the proxy or a certificate cannot be used.
    """
    relay = Relay(settings.coordinator, settings.pki, settings.proxy)
    gate = Gate(relay, traffic, records, settings)
    doorway = Doorway(settings.port, settings.pki, gate.answer)
    listening = Thread(target=doorway.serve_forever, args=(CLOSING_S,), name="gate", daemon=True)
    listening.start()
    try:
        yield int(doorway.server_address[1])
    finally:
        gate.closing.set()
        doorway.shutdown()
        doorway.server_close()
        relay.close()


async def serve(
    settings: GateSettings, traffic: Traffic, records: SiteRecords, opened: Callable[[int], None] = lambda port: None
) -> None:
    """Let calls through, and tell a SuperNode that works no more to end, until this task is cancelled.

    Args:
        settings: where the gate stands.
        traffic: what counts, for whoever else runs in this process.
        records: this site's.
        opened: is told the port once the gate listens.
    Raises: ConfigError: as `open_gate`.
    """
    with open_gate(settings, traffic, records) as port:
        opened(port)
        while True:
            await asyncio.sleep(WATCH_S)
            end_silent(settings.silence, traffic)
