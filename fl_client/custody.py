"""The task that SuperNode has in hand, and its answer until it is complete.

SuperNode works on one message at a time, so one task is kept, with its weights: how far an answer moved them is looked
at. A gate that is started anew knows of no task; the answer to it is dropped and the coordinator asks again, which
costs a transfer and no training.
"""

import secrets
from dataclasses import dataclass, field
from threading import Lock

from core.errors import UpdateRejected
from core.study import Study
from fl_client.fleet_messages import Envelope
from fl_client.fleet_replies import Reply
from fl_client.inspection import most_bytes


@dataclass
class Answering:
    """An answer as it is handed over.

    Attributes:
        envelope: what it was announced with; nothing of that leaves.
        session: ours, by which SuperNode's objects belong to it.
        objects: what has arrived, by name.
        is_too_large: it has more bytes than any answer of its study.
        is_leaving: whether somebody is sending it on.
        reply: what leaves in its place, once it has been looked through and noted.
    """

    envelope: Envelope
    session: str = field(default_factory=lambda: secrets.token_hex(16))
    objects: dict[str, bytes] = field(default_factory=dict)
    is_too_large: bool = False
    is_leaving: bool = False
    reply: Reply | None = None

    def take(self, name: str, content: bytes, most: int) -> None:
        """Keep an object; of an answer that is too large, nothing."""
        self.objects[name] = content
        self.is_too_large = self.is_too_large or sum(map(len, self.objects.values())) > most
        if self.is_too_large:
            self.objects.clear()

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.is_too_large or self.reply is not None or len(self.objects) == len(self.envelope.objects)


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
    """Keeps a task and its answer; the gate's threads use it side by side.

    Attributes:
        is_new: no task has come in yet: SuperNode may have one from before.
    """

    def __init__(self) -> None:
        self.is_new = True
        self._lock = Lock()
        self._held: Held | None = None
        self._done = ""  # session of the last answer that has left: what SuperNode hands over of it again is known

    def take(self, task: Held) -> None:
        """Keep a task in the place of the last one."""
        with self._lock:
            self._held, self.is_new = task, False

    def add(self, name: str, content: bytes) -> None:
        """Keep a piece of the task."""
        with self._lock:
            if self._held is not None and name in self._held.envelope.objects:
                self._held.objects[name] = content

    def held(self) -> Held | None:
        """Return the task in hand."""
        return self._held

    def announce(self, envelope: Envelope) -> Answering:
        """Open an answer to the task in hand; the same one again goes on where it was.

        Raises: UpdateRejected: it answers no task, or tells other things of it than the task does.
        """
        with self._lock:
            held = self._held
            if held is None or held.envelope.id != envelope.answers:
                raise UpdateRejected("An answer to no task that came in", fix="nothing: the coordinator asks again")
            asked, told = held.envelope.message.metadata, envelope.message.metadata
            if (told.run_id, told.src_node_id, told.dst_node_id, told.group_id, told.message_type) != (
                (asked.run_id, asked.dst_node_id, asked.src_node_id, asked.group_id, asked.message_type)
            ):
                raise UpdateRejected("An answer's address is not its task's", fix="nothing: the coordinator asks again")
            if held.answer is None or held.answer.envelope.id != envelope.id:
                held.answer = Answering(envelope)
            return held.answer

    def receive(self, session: str, name: str, content: bytes) -> tuple[Held, Answering] | None:
        """Keep an object of the answer, and return task and answer once all of it is here, to one caller only.

        Raises: UpdateRejected: the object belongs to no answer.
        """
        with self._lock:
            held = self._held
            if session and session == self._done:
                return None
            if held is None or held.answer is None or held.answer.session != session:
                raise UpdateRejected("An object of no answer that was announced", fix="nothing: it is asked again")
            answer = held.answer
            if name not in answer.envelope.objects:
                raise UpdateRejected("An object that was not announced", fix="nothing: it is asked again")
            if not answer.is_complete:
                answer.take(name, content, most_bytes(held.study))
            if answer.is_leaving or not answer.is_complete:
                return None
            answer.is_leaving = True
            return held, answer

    def stay(self, answer: Answering) -> None:
        """Note that an answer has not left: its next object, or the same again, tries once more."""
        with self._lock:
            answer.is_leaving = False

    def release(self, held: Held) -> None:
        """Forget a task that is answered."""
        with self._lock:
            if self._held is held:
                self._held, self._done = None, held.answer.session if held.answer else ""
