"""What comes into the site and what leaves it: tasks of approved studies, and answers that are what a study may send.

An answer is held until all of it is here, unpacked and checked; then the gate writes the answer that leaves itself, of
what it has checked, notes it in the site's event log, and only then sends it. One that may not leave is answered for by
an error code, and so is a task whose app bundle is not approved here.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from core.errors import ConnectionProblem, FLError, RecordsError, UpdateRejected
from core.messages import HELD_BACK, SITE_ERROR
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
    message_in,
    object_in,
    pulled_object,
    pushed_object,
    run_question,
    wanted_in,
    was_stored,
)
from fl_client.fleet_objects import content_of
from fl_client.fleet_replies import Reply, content_reply, error_reply
from fl_client.inspection import inspect, most_bytes
from fl_client.relay import Answer
from fl_client.site_error import cause_of
from fl_client.site_records import SiteRecords
from fl_client.traffic import Traffic
from fl_client.verdicts import OK

logger = logging.getLogger(__name__)

ACTOR = "gate"
# Objects that go out side by side: Flower's own number.
AT_ONCE = 2
# How often SuperLink may have forgotten what was announced to it.
TRIES = 5

# Codes that an error may leave with: Flower's own, and ours for each kind of error.
CODES = (*range(1, 9), *range(SITE_ERROR, SITE_ERROR + 14))

Ask = Callable[[str, bytes, float], Answer]


class Passage:
    """Lets tasks in and answers out.

    Args:
        records: this site's: what is approved, and what has left.
        traffic: shown to people.
        ask: asks the coordinator until it answers, or until a moment in seconds since 1970.
    """

    def __init__(self, records: SiteRecords, traffic: Traffic, ask: Ask) -> None:
        self.records = records
        self.traffic = traffic
        self.custody = Custody()
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
        try:
            bundle = self._bundle(envelope)
            if bundle is None:
                return False  # the run is over
            study = self.records.approved_study(bundle)
            if study is None:
                self._refuse(envelope, bundle)
                return False
        except RecordsError as error:  # nobody else would answer for this task any more
            self.traffic.fail(error.problem, error.fix, cause_of(error))
            self._send(envelope, error_reply(envelope, SITE_ERROR + error.exit_code, time.time()))
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
        """Refuse an app bundle that is another than the task in hand is of, and answer for that task.

        Where this gate knows of no task, SuperNode has one from before it was started: then any approved bundle will
        do, since the answer to that task is dropped.

        Raises: UpdateRejected: it is another.
        """
        held, bundle = self.custody.held(), bundle_in(answer)
        if bundle == held.bundle_sha256 if held else self.records.approved_study(bundle):
            return
        if held:
            self._refuse(held.envelope, bundle)
            self.custody.release(held)
        raise UpdateRejected("An app bundle that is not approved here", fix="see `fl-client status`")

    def announce(self, body: bytes) -> bytes:
        """Open an answer and return what SuperNode is told: all of its objects are wanted.

        Raises: UpdateRejected: it is no answer to the task in hand.
        """
        envelope = answer_in(body)
        return announced(envelope, self.custody.announce(envelope).session)

    def push(self, body: bytes) -> bytes:
        """Keep an object of an answer; with its last one, check the answer and send on what may leave of it.

        Raises:
            UpdateRejected: the object belongs to nothing.
            RecordsError: what leaves cannot be noted, so nothing does.
            ConnectionProblem: the coordinator does not take it now, or the gate is closing.
        """
        complete = self.custody.receive(*object_in(body))
        if complete is not None:
            held, answer = complete
            try:
                answer.reply = answer.reply or self._looked_through(held, answer)
                self._send(held.envelope, answer.reply)
                self.custody.release(held)
            finally:
                self.custody.stay(answer)  # where it has not left, SuperNode hands the object over again
        return STORED

    def _looked_through(self, held: Held, answer: Answering) -> Reply:
        """Return what leaves in the place of an answer, noted."""
        try:
            return self._checked(held, answer)
        except UpdateRejected as error:
            return self._held_back(held, error)
        except FLError:
            raise
        except Exception:  # an edge: the bytes are whatever an app has made
            logger.exception("An answer could not be looked through")
            unreadable = UpdateRejected("The answer cannot be read", fix="see this site's log of the service")
            return self._held_back(held, unreadable)

    def _checked(self, held: Held, answer: Answering) -> Reply:
        task, moment = held.envelope, time.time()
        if self.records.approved_study(held.bundle_sha256) is None:
            raise UpdateRejected("The study is no longer approved here", fix="`fl-client approve` it, or refuse it")
        if answer.envelope.error is not None:
            code = answer.envelope.error if answer.envelope.error in CODES else SITE_ERROR
            reply = error_reply(task, code, moment)
            self._note("error.sent", held, code=code, bytes=reply.size)
            return reply
        if answer.is_too_large:
            raise UpdateRejected("The answer is larger than the study's model", fix="see this site's trainer's log")
        most = most_bytes(held.study)
        found = inspect(
            task.kind,
            content_of(answer.envelope.id, answer.objects, most),
            content_of(task.id, held.objects, most),
            held.study,
            self.records.site,
            self.records.has_been_head,
        )
        reply = content_reply(task, found.content, moment)
        self._note(f"{found.kind}.sent", held, run=found.run, weights_sha256=found.weights_sha256, bytes=reply.size)
        return reply

    def _held_back(self, held: Held, error: UpdateRejected) -> Reply:
        logger.warning("An answer was held back: %s", error.problem)
        # Not why: what is wrong with an answer must not leave as this site's status either.
        self.traffic.warn(f"The gate held an answer to {held.study.name} back", "`fl-client ledger` says why")
        self._note("reply.refused", held, reason=error.problem)
        return error_reply(held.envelope, HELD_BACK, time.time())

    def _note(self, action: str, held: Held, **body: object) -> None:
        """Write to the site's event log what becomes of an answer."""
        told = {"study": held.study.name, "run": "", "round": _round_of(held.envelope), **body}
        self.records.append(ACTOR, action, **told)

    def _send(self, task: Envelope, reply: Reply) -> None:
        """Send an answer.

        Raises: ConnectionProblem: it was not taken, though its task still waits.
        """
        node = task.message.metadata.dst_node_id
        for _ in range(TRIES):
            told = self._ask(PUSH_MESSAGES, reply.call, task.ends)
            if told.status != OK:
                return  # the run is over, or goes on without this answer
            session, wanted = wanted_in(told.body)
            if not reply.objects.keys() >= set(wanted):
                raise UpdateRejected(
                    "The coordinator wants objects that were not announced", fix="tell the coordinator"
                )

            def hand_over(name: str, session: str = session) -> Answer:
                call = pushed_object(node, task.run, session, name, reply.objects[name])
                return self._ask(PUSH_OBJECT, call, task.ends)

            with ThreadPoolExecutor(AT_ONCE) as pool:
                answers = list(pool.map(hand_over, wanted))
            if all(answer.status == OK and was_stored(answer.body) for answer in answers):
                return
        if time.time() < task.ends:
            raise ConnectionProblem("The coordinator does not take an answer", fix="it is tried again")

    def _bundle(self, task: Envelope) -> str | None:
        """Return the SHA-256 of the app bundle of a message's run; None where the run is over."""
        run = task.run
        if run not in self._bundles:
            answer = self._ask(GET_RUN, run_question(task.message.metadata.dst_node_id, run), task.ends)
            if answer.status != OK:
                return None
            self._bundles[run] = bundle_of(answer.body)
        return self._bundles[run]

    def _refuse(self, task: Envelope, bundle: str) -> None:
        """Tell people and the coordinator that a task's app bundle is not approved here."""
        self.traffic.warn(
            f"The gate refused the app bundle {bundle[:16]}: it is not approved here",
            "`fl-client status` lists the studies that wait for an answer",
        )
        if bundle not in self._refused:
            self._refused.add(bundle)
            logger.warning("The app bundle %s is not approved here and was refused", bundle)
            self.records.append(ACTOR, "bundle.refused", bundle_sha256=bundle)
        self._send(task, error_reply(task, NOT_APPROVED, time.time()))


def _round_of(task: Envelope) -> int:
    text = task.message.metadata.group_id
    return int(text) if text.isdecimal() and len(text) < 10 else 0
