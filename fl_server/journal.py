"""What has arrived in the round that is open, written down before it is acted on, so that no process need outlive it.

RUN/objects/<sha256>.npy    float32 [parameters], an update's weights under their own SHA-256
RUN/objects/<sha256>.json   all else of an answer, as canonical JSON under the SHA-256 of the file

A file is on disk before the event that names it is in the audit log (`core.records.rounds`), and that event before the
answer counts. Whoever takes the round up reads the events, and asks only those sites whose answers are not there. The
files go once the round's state is on disk; the hashes stay in the log.

FedAvg has no state but the weights, whose hash is in each `round.closed`. The server draws no random numbers: all
seeds follow from the study's seed, the site, the round and the epoch. So there is no more to write down.
"""

import errno
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from core.errors import AuditError, FederationError, RecordsError
from core.files import write_atomically
from core.messages import Evaluation, Flat, Update
from core.npy import npy_array, npy_bytes, sha256_of
from core.records.rounds import Arrival, Question, arrivals_of, ask_sites, note_arrival, open_round
from core.signing import canonical

logger = logging.getLogger(__name__)

NOTHING = np.empty(0, np.float32)
# What a disk can come to, without anybody's mistake.
_FULL, _UNWRITABLE = (errno.ENOSPC, errno.EDQUOT), (errno.EIO, errno.EROFS)


@contextmanager
def writing() -> Iterator[None]:
    """Turn what a full or failing disk or database raises into what a person can mend and resume from.

    Raises: FederationError: the disk is full or fails, or the database cannot be used now.
    """
    try:
        yield
    except AuditError:  # which no waiting mends
        raise
    except RecordsError as error:
        raise FederationError(error.problem, fix=error.fix) from error
    except OSError as error:
        if error.errno not in _FULL + _UNWRITABLE:
            raise
        state = "is full" if error.errno in _FULL else f"cannot be written to ({error.strerror})"
        raise FederationError(
            f"The coordinator's disk {state}", fix="mend that; if the run is paused, resume it: what arrived is kept"
        ) from error


class Journal(Mapping[str, Update]):
    """The updates of the round that is open, by site; their weights are read from disk at each look.

    Args:
        records: the coordinator's, which hold the audit log.
        folder: the run's objects.

    Attributes:
        answers: by site, what counts so far, without weights: updates, or evaluations where the round asks for those.
        arrivals: by site, what the audit log says of it.
        trouble: why nothing could be written down when it was last tried, or empty.
    """

    def __init__(self, records: Engine, folder: Path) -> None:
        self.answers: dict[str, Update | Evaluation] = {}
        self.arrivals: dict[str, Arrival] = {}
        self._records = records
        self._folder = folder
        self._question = Question("", 0, "", "")
        self.trouble = ""

    def open(self, question: Question, sites: tuple[str, ...], *, strategy: str, seed: int) -> str:
        """Begin a try of a round, or take up one that another process has left open.

        Args:
            question: what the sites will be asked.
            sites: those that take part; an answer of a site that has left since does not count.
            strategy, seed: see `core.records.rounds.open_round`.
        Returns: the head of the audit log, which the round's tasks cite.
        Raises: RecordsError: the database cannot be used.
        """
        head = open_round(self._records, question, sites=len(sites), strategy=strategy, seed=seed)
        self._question = question
        self.answers, self.arrivals = {}, {}
        for site, arrival in arrivals_of(self._records, question).items():
            if site in sites:
                self._take_up(arrival)
        self._sweep()
        if self.answers:
            logger.info("Round %d goes on with what %s sent before", question.round, ", ".join(self.answers))
        return head

    def ask(self, sites: list[str]) -> None:
        """Write down who is about to be asked.

        Raises: FederationError: it cannot be written now.
        """
        with self._told_once():
            ask_sites(self._records, self._question, sites)

    def keep(self, answer: Update | Evaluation) -> None:
        """Write down an accepted answer, from when on it counts; a later one of the same site takes its place.

        Raises: FederationError: it cannot be written now, and does not count.
        """
        try:
            with self._told_once():
                arrival = self._write(answer)
                note_arrival(self._records, self._question, arrival)
        except FederationError:
            self._sweep()  # half an answer takes the room that the next needs
            raise
        self.arrivals[answer.site] = arrival
        self.answers[answer.site] = _without_weights(answer)

    def clear(self) -> None:
        """Forget every answer and its files, also those that a process which ended has left."""
        self.answers, self.arrivals = {}, {}
        self._sweep()

    def __getitem__(self, site: str) -> Update:
        """Return a site's update with its weights.

        Raises: FederationError: they are not what was written.
        """
        answer = self.answers[site]
        if not isinstance(answer, Update):
            raise KeyError(site)
        try:
            return replace(answer, weights=self._weights(self.arrivals[site]))
        except (OSError, ValueError):
            raise FederationError(
                f"The update of {site} in {self._folder} is damaged", fix="resume the run: the site is asked again"
            ) from None

    def __iter__(self) -> Iterator[str]:
        """Go through the sites whose updates count, in the order of their names."""
        return (site for site, answer in sorted(self.answers.items()) if isinstance(answer, Update))

    def __len__(self) -> int:
        """Return how many updates count."""
        return sum(isinstance(answer, Update) for answer in self.answers.values())

    @contextmanager
    def _told_once(self) -> Iterator[None]:
        try:
            with writing():
                yield
        except FederationError as error:
            if error.problem != self.trouble:
                logger.warning("%s; %s", error.problem, error.fix)
            self.trouble = error.problem
            raise
        self.trouble = ""

    def _write(self, answer: Update | Evaluation) -> Arrival:
        weights = answer.weights if isinstance(answer, Update) else NOTHING
        fields = asdict(_without_weights(answer))
        fields.pop("weights", None)
        text = canonical(fields).encode()
        arrival = Arrival(
            site=answer.site,
            answer_sha256=sha256(text).hexdigest(),
            weights_sha256=sha256_of(weights) if weights.size else "",
            bytes=len(text),
            receipt=answer.receipt,
        )
        if weights.size:
            array = npy_bytes(weights)
            arrival = replace(arrival, bytes=len(text) + len(array))
            write_atomically(self._folder / _weights_file(arrival), array)
        write_atomically(self._folder / _answer_file(arrival), text)
        return arrival

    def _take_up(self, arrival: Arrival) -> None:
        """Let an answer count that another process has written down; one that is not whole is not there."""
        try:
            text = (self._folder / _answer_file(arrival)).read_bytes()
            _check(sha256(text).hexdigest(), arrival.answer_sha256)
            fields = json.loads(text)
            if arrival.weights_sha256:
                self._weights(arrival)
                answer: Update | Evaluation = Update(**fields, weights=NOTHING)
            else:
                answer = Evaluation(**fields)
        except (OSError, ValueError, TypeError) as error:
            logger.warning(
                "What %s sent for round %d is not whole on disk (%s), so the site is asked again",
                arrival.site,
                self._question.round,
                type(error).__name__,
            )
            return
        self.answers[arrival.site], self.arrivals[arrival.site] = answer, arrival

    def _weights(self, arrival: Arrival) -> Flat:
        weights: Flat = npy_array((self._folder / _weights_file(arrival)).read_bytes())
        _check(sha256_of(weights), arrival.weights_sha256)
        return weights

    def _sweep(self) -> None:
        """Delete every file that belongs to no answer that counts."""
        wanted = {name(arrival) for arrival in self.arrivals.values() for name in (_answer_file, _weights_file)}
        for path in self._folder.glob("*"):
            if path.name not in wanted:
                path.unlink()


def _without_weights(answer: Update | Evaluation) -> Update | Evaluation:
    return replace(answer, weights=NOTHING) if isinstance(answer, Update) else answer


def _answer_file(arrival: Arrival) -> str:
    return f"{arrival.answer_sha256}.json"


def _weights_file(arrival: Arrival) -> str:
    return f"{arrival.weights_sha256}.npy"


def _check(found: str, expected: str) -> None:
    if found != expected:
        raise ValueError("a file does not hold what its name says")
