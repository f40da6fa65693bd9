"""What each patient's privacy has been spent on at this site, for good: a reservation before any training begins.

Typed events in the site's one audit log:

privacy.cohort     who a set of patients is, by keyed pseudonyms; one event or more
privacy.reserved   a round of a run on such a set, with its noise, sampling rate and steps; without noise, once a run

A spend follows patients, not sets: whoever shares a pseudonym or pixels with a patient of an earlier set goes on with
what that one has spent. A reservation is never given back, so whatever ends a process can only make it count too much.

Source: Feldman and Zrnic 2021 (accounting for each individual); docs/decisions/0011-differential-privacy.md.
"""

import hashlib
import hmac
import math
import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import AuditError, PrivacySpent, UpdateRejected
from core.files import sync_folder, write_private
from core.learning.privacy import PrivacyBudget, Spend, epsilon_of
from core.records.chain import LOST, went_back
from core.records.db import open_database
from core.records.following import Event, Follower
from core.signing import load_public
from fl_client.paths import SiteHome
from fl_client.persons import COHORT, Handles, Persons

ACTOR = "ledger"
RESERVED, SENT = "privacy.reserved", "update.sent"
ACTIONS = (COHORT, RESERVED, SENT, LOST)
KEY_BYTES = 32
# Of a keyed pseudonym: 80 bits, of which no two patients in a billion share one.
HANDLE_DIGITS = 20
# Patients in one event, which has room for more.
AT_ONCE = 500


@dataclass(frozen=True)
class Reservation:
    """What was set aside before a training.

    Attributes:
        at: when; text of core.clock.
        study, run, round: what it is for; round 0 stands for a whole run without noise.
        cohort: digest of the patients.
        spend: the most that the training can cost each of them.
    """

    at: str
    study: str
    run: str
    round: int
    cohort: str
    spend: Spend


@dataclass(frozen=True)
class Request:
    """A round of training that wants its privacy set aside.

    Attributes:
        study, run, round: the task's.
        patients: everybody whose data it reads.
        spend: what the round costs each of them.
        all_rounds: what all of the run's rounds cost, asked for where a run begins; it must fit as well.
        of_study: what all runs of the study may cost a patient: its own limit, which people here approved, and the
            site's floor.
        of_site: what all studies together may cost a patient, for good.
    """

    study: str
    run: str
    round: int
    patients: tuple[Handles, ...]
    spend: Spend
    all_rounds: Spend
    of_study: tuple[PrivacyBudget, ...] = ()
    of_site: PrivacyBudget = field(default=PrivacyBudget(math.inf, 1e-5))


class PatientKey:
    """The site's secret, without which a pseudonym in the log says nothing, whoever gets to read it.

    Args:
        path: where it lies; made where there is none.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            _make(path)
        self._key = path.read_bytes()
        self.fingerprint = self.handle("fingerprint", "")

    def handle(self, kind: str, value: str) -> str:
        """Return the keyed pseudonym of a value: 20 hexadecimal digits."""
        return hmac.new(self._key, f"{kind} {value}".encode(), hashlib.sha256).hexdigest()[:HANDLE_DIGITS]


def _make(path: Path) -> None:
    """Make the key, once, however many processes begin at the same moment."""
    new = path.with_name(f".{secrets.token_hex(4)}.partial")
    try:
        write_private(new, secrets.token_bytes(KEY_BYTES))
        with suppress(FileExistsError):
            path.hardlink_to(new)
        sync_folder(path.parent)
    finally:
        new.unlink(missing_ok=True)


class PrivacyLedger:
    """A site's ledger; several processes may use it side by side, each with an object of its own.

    Args:
        follower: of the site's audit log, for `ACTIONS`.
        key: the site's.
    """

    def __init__(self, follower: Follower, key: PatientKey) -> None:
        self.key = key
        self._follower = follower
        self._cohorts: dict[str, list[Handles]] = defaultdict(list)
        self._sent: set[tuple[str, int]] = set()
        self._last = 0
        self.reservations: list[Reservation] = []

    @classmethod
    def of_home(cls, home: SiteHome) -> "PrivacyLedger":
        """Return the ledger of a site's home.

        Raises: RecordsError: the site's database cannot be used.
        """
        public = load_public(home.audit_public) if home.audit_public.exists() else None
        follower = Follower(open_database(home.records), ACTIONS, home.checkpoints if public else None, public)
        return cls(follower, PatientKey(home.patients_key))

    def read(self) -> None:
        """Take in what has been appended.

        Raises: AuditError: the log was changed, or is of another key than this site's.
        """
        for event in self._follower.news():
            self._take(event)

    def reserve(self, request: Request) -> float:
        """Set a round's privacy aside; on disk when this returns.

        Returns: the epsilon that the patient who has spent most has then come to.
        Raises:
            PrivacySpent: it would exceed what the study or the site may spend.
            UpdateRejected: the round's update has left already, and there must never be a second draw of its noise.
            AuditError: as `read`.
        """
        while True:
            self.read()
            epsilon = self._check(request)
            if self._has(request) or self._follower.append(ACTOR, self._events(request, epsilon), last=self._last):
                return epsilon

    def spends_of(self, patients: Sequence[Handles]) -> list[tuple[Reservation, ...]]:
        """Return what each patient's privacy was set aside for, in the patients' order."""
        person = Persons([*patients, *(one for cohort in self._cohorts.values() for one in cohort)])
        members = {name: {person.of(one) for one in cohort} for name, cohort in self._cohorts.items()}
        return [
            tuple(one for one in self.reservations if person.of(patient) in members[one.cohort]) for patient in patients
        ]

    def patients(self) -> list[Handles]:
        """Return everybody of whom the ledger knows, each once."""
        known = [one for cohort in self._cohorts.values() for one in cohort]
        person = Persons(known)
        return list({person.of(one): one for one in known}.values())

    def _take(self, event: Event) -> None:
        body, self._last = event.body, event.seq
        if event.action == LOST:
            raise went_back()
        if event.action == SENT:
            self._sent.add((body["run"], body["round"]))
        elif event.action == COHORT:
            if body["key"] != self.key.fingerprint:
                raise AuditError(
                    "The privacy ledger was written with another key than this site's keys/patients.key: nobody could "
                    "tell which patients have spent what",
                    fix="restore that file from the backup that the database is of",
                )
            self._cohorts[body["cohort"]] += [tuple(one.split()) for one in body["patients"]]
        else:
            spend = Spend(body["noise"], body["sampling_rate"], body["steps"])
            self.reservations.append(
                Reservation(event.at, body["study"], body["run"], body["round"], body["cohort"], spend)
            )

    def _check(self, request: Request) -> float:
        if request.round and (request.run, request.round) in self._sent:
            raise UpdateRejected(
                f"Round {request.round} of {request.run} was answered before, and its answer is not kept any more: a "
                "second draw of noise would undo the first",
                fix="nothing here: the coordinator has that answer",
            )
        histories = set(self.spends_of(request.patients))
        # By value: patients who were in the same rounds have spent the same.
        begins = not any(one.run == request.run for history in histories for one in history)
        asked = request.all_rounds if begins else request.spend
        of_study = {tuple(one for one in history if one.study == request.study) for history in histories}
        for budget in request.of_study:
            _demand(_most(of_study, asked, budget.delta), budget, f"the study {request.study}")
        _demand(_most(histories, asked, request.of_site.delta), request.of_site, "all studies of this site")
        return _most(histories, request.spend, request.of_site.delta)

    def _has(self, request: Request) -> bool:
        """Say whether a run without noise is entered for these patients already: once is as much as always."""
        mine = (request.run, self._digest(request.patients))
        return request.spend.noise <= 0 and any((one.run, one.cohort) == mine for one in self.reservations)

    def _events(self, request: Request, epsilon: float) -> list[tuple[str, dict[str, object]]]:
        digest, events = self._digest(request.patients), list[tuple[str, dict[str, object]]]()
        if digest not in self._cohorts:
            told = [" ".join(patient) for patient in request.patients]
            events = [
                (COHORT, {"cohort": digest, "key": self.key.fingerprint, "patients": told[start : start + AT_ONCE]})
                for start in range(0, len(told), AT_ONCE)
            ]
        reserved = {
            "cohort": digest,
            "study": request.study,
            "run": request.run,
            "round": request.round,
            "noise": request.spend.noise,
            "sampling_rate": request.spend.sampling_rate,
            "steps": request.spend.steps,
            "epsilon_after": None if math.isinf(epsilon) else round(epsilon, 4),
        }
        return [*events, (RESERVED, reserved)]

    def _digest(self, patients: tuple[Handles, ...]) -> str:
        return self.key.handle("cohort", "\n".join(" ".join(one) for one in sorted(patients)))


def _most(histories: Iterable[tuple[Reservation, ...]], asked: Spend, delta: float) -> float:
    """Return the largest epsilon that anybody comes to who spends what is asked beside what they have spent."""
    spent = {tuple(one.spend for one in history) for history in histories}
    return max((epsilon_of([*history, asked], delta) for history in spent), default=0.0)


def _demand(epsilon: float, budget: PrivacyBudget, whose: str) -> None:
    if epsilon <= budget.epsilon:
        return
    reached = "without any bound" if math.isinf(epsilon) else f"of epsilon {epsilon:.2f}"
    raise PrivacySpent(
        f"A patient here would have a privacy loss {reached}; {whose} may come to {budget.epsilon:g}",
        fix="see `fl-client privacy`; a person who accepts more raises [privacy] in site.toml, or refuses the study",
    )
