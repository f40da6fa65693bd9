"""The task that SuperNode has in hand, and its answer until it is complete, looked through and noted.

SuperNode works on one message at a time, so one task is kept, with its weights: how far an answer moved them is looked
at. A gate that is started anew knows of no task; the answer to it is dropped and the coordinator asks again, which
costs a transfer and no training.
"""

import secrets
from dataclasses import dataclass, field
from threading import Lock

from core.errors import UpdateRejected
from core.messages import SITE_ERROR
from core.study import Study
from fl_client.fleet_messages import Envelope, metadata_in
from fl_client.fleet_objects import body_of, content_of
from fl_client.inspection import Inspected, inspect, most_bytes


@dataclass
class Answering:
    """An answer on its way.

    Attributes:
        call: the push-messages call that announced it.
        envelope: what that call says.
        session: ours, by which SuperNode's objects belong to it.
        objects: what has arrived, by name.
        is_leaving: whether somebody is sending it on.
        is_noted: whether it stands in the site's event log.
    """

    call: bytes
    envelope: Envelope
    session: str = field(default_factory=lambda: secrets.token_hex(16))
    objects: dict[str, bytes] = field(default_factory=dict)
    is_leaving: bool = False
    is_noted: bool = False

    @property
    def size(self) -> int:
        """Bytes of what has arrived."""
        return sum(map(len, self.objects.values()))

    @property
    def code(self) -> int:
        """The error code that goes out in the place of whatever error it is: Flower's or ours, else that of a bug."""
        code = self.envelope.error or 0
        return code if 0 < code < SITE_ERROR + 100 else SITE_ERROR


@dataclass
class Held:
    """A task in SuperNode's hands.

    Attributes:
        envelope: the message that brought it.
        study: as this site approved it.
        bundle_sha256: the app bundle of its run.
        objects: what it carries, by name, as far as it has arrived.
        answer: its answer, once it is announced.
    """

    envelope: Envelope
    study: Study
    bundle_sha256: str
    objects: dict[str, bytes] = field(default_factory=dict)
    answer: Answering | None = None


class Custody:
    """Keeps a task and its answer; the gate's threads use it side by side."""

    def __init__(self, site: str) -> None:
        self.site = site
        self._lock = Lock()
        self._held: Held | None = None

    def take(self, task: Held) -> None:
        """Keep a task in the place of the last one."""
        with self._lock:
            self._held = task

    def add(self, name: str, content: bytes) -> None:
        """Keep a piece of the task."""
        with self._lock:
            if self._held is not None and name in self._held.envelope.objects:
                self._held.objects[name] = content

    def held_for(self, answers: str) -> Held:
        """Return the task that an answer names.

        Raises: UpdateRejected: this gate has not passed it in.
        """
        with self._lock:
            if self._held is None or self._held.envelope.id != answers:
                raise UpdateRejected("An answer to no task that came in", fix="nothing: the coordinator asks again")
            return self._held

    def announce(self, call: bytes, envelope: Envelope) -> Answering:
        """Open an answer to the task in hand; the same one again goes on where it was.

        Raises: UpdateRejected: it answers no task, or tells other things of it than the task does.
        """
        held = self.held_for(envelope.answers)
        asked, told = held.envelope.message.metadata, envelope.message.metadata
        # Task numbers are SuperNode's own.
        same = (
            (told.run_id, told.src_node_id, told.dst_node_id, told.group_id, told.message_type)
            == (asked.run_id, asked.dst_node_id, asked.src_node_id, asked.group_id, asked.message_type)
            and told.created_at >= asked.created_at
            and told.created_at + told.ttl <= asked.created_at + asked.ttl + 1
        )
        if not same:
            raise UpdateRejected("An answer's address is not its task's", fix="nothing: the coordinator asks again")
        with self._lock:
            if held.answer is None or held.answer.envelope.id != envelope.id:
                held.answer = Answering(call, envelope)
            return held.answer

    def receive(self, session: str, name: str, content: bytes) -> Held | None:
        """Keep an object of the answer, and return the task once all of them are here, to one caller only.

        Raises: UpdateRejected: the object belongs to no answer, or is too much.
        """
        with self._lock:
            held = self._held
            if held is None or held.answer is None or held.answer.session != session:
                raise UpdateRejected("An object of no answer that was announced", fix="nothing: it is asked again")
            answer = held.answer
            if name not in answer.envelope.objects:
                raise UpdateRejected("An object that was not announced", fix="nothing: it is asked again")
            answer.objects[name] = content
            if answer.size > most_bytes(held.study):
                answer.objects.clear()
                raise UpdateRejected("An answer larger than the study's model", fix="see this site's trainer's log")
            if answer.is_leaving or len(answer.objects) < len(answer.envelope.objects):
                return None
            answer.is_leaving = True
            return held

    def release(self, held: Held) -> None:
        """Forget a task that is answered."""
        with self._lock:
            if self._held is held:
                self._held = None

    def look_through(self, held: Held, answer: Answering) -> Inspected:
        """Unpack an answer and check it against its task and study.

        Raises: UpdateRejected: it may not leave.
        """
        envelope = answer.envelope
        metadata = metadata_in(bytes(body_of(answer.objects[envelope.id], "Message")), envelope.id)
        if metadata != envelope.message.metadata:
            raise UpdateRejected("An answer tells two things of itself", fix="nothing: the coordinator asks again")
        content = content_of(envelope.id, answer.objects)
        asked = content_of(held.envelope.id, held.objects)
        return inspect(envelope.kind, content, asked, held.study, self.site)
