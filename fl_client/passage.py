"""What comes into the site and what leaves it: tasks of approved studies, and answers that are what a study may send.

An answer is held until all of it is here, unpacked, checked, written to the site's event log, and only then sent on.
One that may not leave is answered for by an error code, and so is a task whose app bundle is not approved here.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from core.errors import UpdateRejected
from core.messages import HELD_BACK
from fl_client.custody import Answering, Custody, Held
from fl_client.fleet_messages import (
    GET_RUN,
    NOT_APPROVED,
    PUSH_MESSAGES,
    PUSH_OBJECT,
    STORED,
    Envelope,
    announced,
    answer_in,
    bundle_in,
    bundle_of,
    error_reply,
    message_in,
    object_in,
    pulled_object,
    pushed_object,
    run_question,
    wanted_in,
    was_stored,
)
from fl_client.inspection import Inspected
from fl_client.relay import Answer
from fl_client.site_records import SiteRecords
from fl_client.traffic import Traffic
from fl_client.verdicts import OK

logger = logging.getLogger(__name__)

ACTOR = "gate"
# Objects that go out side by side: Flower's own number.
AT_ONCE = 2
# How often SuperLink may have forgotten what was announced to it.
TRIES = 5

Ask = Callable[[str, bytes], Answer]


class Passage:
    """Lets tasks in and answers out.

    Args:
        records: this site's: what is approved, and what has left.
        traffic: shown to people.
        ask: asks the coordinator until it answers.
    """

    def __init__(self, records: SiteRecords, traffic: Traffic, ask: Ask) -> None:
        self.records = records
        self.traffic = traffic
        self.custody = Custody(records.site)
        self.flower_run: int | None = None
        self._ask = ask
        self._bundles: dict[int, str] = {}
        self._refused: set[str] = set()

    def admit(self, pulled: bytes) -> bool:
        """Say whether an answer to pull-messages brings a task that may come in; any other is answered for.

        Raises: UpdateRejected: the message cannot be read.
        """
        envelope = message_in(pulled)
        if envelope is None:
            return False
        bundle = self._bundle(envelope)
        study = self.records.approved_study(bundle) if bundle else None
        if study is None:
            if bundle:
                self._refuse(bundle)
                self._answer_for(envelope, NOT_APPROVED)
            return False
        self.flower_run = envelope.run
        self.custody.take(Held(envelope, study, bundle))
        return True

    def came(self, body: bytes, answer: bytes) -> None:
        """Keep a piece of the task."""
        found = pulled_object(body, answer)
        if found:
            self.custody.add(*found)

    def check_bundle(self, answer: bytes) -> None:
        """Refuse an app bundle that this site's people have not approved.

        Raises: UpdateRejected: they have not.
        """
        bundle = bundle_in(answer)
        if self.records.approved_study(bundle) is None:
            self._refuse(bundle)
            raise UpdateRejected("An app bundle that is not approved here", fix="see `fl-client status`")

    def announce(self, body: bytes) -> bytes:
        """Open an answer and return what SuperNode is told: all of its objects are wanted.

        Raises: UpdateRejected: it is no answer to the task in hand.
        """
        envelope = answer_in(body)
        return announced(envelope, self.custody.announce(body, envelope).session)

    def push(self, body: bytes) -> bytes:
        """Keep an object of an answer; with its last one, check the answer and send it on.

        Raises:
            UpdateRejected: the object belongs to nothing.
            RecordsError: what leaves cannot be noted, so nothing does.
            ConnectionProblem: the gate is closing.
        """
        held = self.custody.receive(*object_in(body))
        if held is not None and held.answer is not None:
            try:
                self._let_out(held, held.answer)
                self.custody.release(held)
            finally:
                held.answer.is_leaving = False  # where it has not left, SuperNode sends the object again
        return STORED

    def _let_out(self, held: Held, answer: Answering) -> None:
        try:
            found = self._looked_through(held, answer)
        except UpdateRejected as error:
            self._hold_back(held, error)
            return
        if not answer.is_noted:
            self._note(
                f"{found.kind}.sent", held, run=found.run, weights_sha256=found.weights_sha256, bytes=answer.size
            )
            answer.is_noted = True
        if found.kind == "error":
            self._answer_for(held.envelope, answer.code)
        else:
            self._send(answer.envelope.message.metadata.src_node_id, held.envelope.run, answer.call, answer.objects)

    def _looked_through(self, held: Held, answer: Answering) -> Inspected:
        if self.records.approved_study(held.bundle_sha256) is None:
            raise UpdateRejected("The study is no longer approved here", fix="`fl-client approve` it, or refuse it")
        if answer.envelope.error is not None:
            return Inspected("error", "", 0, "")
        return self.custody.look_through(held, answer)

    def _hold_back(self, held: Held, error: UpdateRejected) -> None:
        logger.warning("An answer was held back: %s", error.problem)
        self.traffic.warn(f"The gate held an answer to {held.study.name} back: {error.problem}", error.fix)
        self._note("reply.refused", held, run="", reason=error.problem)
        self._answer_for(held.envelope, HELD_BACK)

    def _note(self, action: str, held: Held, **body: object) -> None:
        """Write to the site's event log what becomes of an answer."""
        code = held.answer.code if action == "error.sent" and held.answer else None
        told = body if code is None else {**body, "code": code, "bytes": 0}
        self.records.append(ACTOR, action, study=held.study.name, round=_round_of(held.envelope), **told)

    def _answer_for(self, task: Envelope, code: int) -> None:
        """Answer a task with an error code."""
        call, name, content = error_reply(task, code, time.time())
        self._send(task.message.metadata.dst_node_id, task.run, call, {name: content})

    def _send(self, node: int, run: int, call: bytes, objects: dict[str, bytes]) -> None:
        for _ in range(TRIES):
            told = self._ask(PUSH_MESSAGES, call)
            if told.status != OK:
                return  # the run is over, or goes on without this answer
            session, wanted = wanted_in(told.body)
            if not objects.keys() >= set(wanted):
                raise UpdateRejected(
                    "The coordinator wants objects that were not announced", fix="tell the coordinator"
                )

            def hand_over(name: str, session: str = session) -> Answer:
                return self._ask(PUSH_OBJECT, pushed_object(node, run, session, name, objects[name]))

            with ThreadPoolExecutor(AT_ONCE) as pool:
                answers = list(pool.map(hand_over, wanted))
            if all(answer.status == OK and was_stored(answer.body) for answer in answers):
                return
        logger.warning("The coordinator did not take an answer; it asks again")

    def _bundle(self, envelope: Envelope) -> str:
        """Return the SHA-256 of the app bundle of a message's run; empty where the run is over."""
        run = envelope.run
        if run not in self._bundles:
            answer = self._ask(GET_RUN, run_question(envelope.message.metadata.dst_node_id, run))
            if answer.status != OK:
                return ""
            self._bundles[run] = bundle_of(answer.body)
        return self._bundles[run]

    def _refuse(self, bundle: str) -> None:
        self.traffic.warn(
            f"The gate refused the app bundle {bundle[:16]}: it is not approved here",
            "`fl-client status` lists the studies that wait for an answer",
        )
        if bundle not in self._refused:
            self._refused.add(bundle)
            logger.warning("The app bundle %s is not approved here and was refused", bundle)
            self.records.append(ACTOR, "bundle.refused", bundle_sha256=bundle)


def _round_of(task: Envelope) -> int:
    text = task.message.metadata.group_id
    return int(text) if text.isdecimal() and len(text) < 10 else 0
