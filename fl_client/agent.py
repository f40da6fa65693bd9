"""The site's word to the coordinator and back: status up, orders down, new offers, a fresh certificate in time.

It runs beside the gate in one process, and nothing that it meets ends it: a coordinator that is away is logged once.
"""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from core.clock import age_s, now, text_of
from core.errors import ConnectionProblem, FLError, RecordsError
from core.hours import opens_at, waits_sentence
from core.records.chain import went_back
from core.signing import load_key
from core.site_protocol import Orders, Status
from core.supervision import states_of
from fl_client.carried import Carried
from fl_client.config import SiteConfig
from fl_client.contact import Contact, write_contact
from fl_client.coordinator import Coordinator
from fl_client.enrollment import renew, renewal_is_due
from fl_client.offers import approve_by_rule, fetch_offers
from fl_client.paths import SiteHome
from fl_client.progress import Progress, read_progress
from fl_client.site_records import SiteRecords
from fl_client.traffic import Passed, Traffic
from fl_client.trainer_socket import stop_runs

logger = logging.getLogger(__name__)

BUSY_S = 1.5
IDLE_S = 5.0
# After a failure: a coordinator that is away may be back any moment, what it refuses it will refuse again.
AWAY_S = 5.0
REFUSED_S = 20.0
# An answer that is handed over leaves within this time, or nothing of it does.
QUIET_S = 10.0
OFFERS_S = 60.0
CHECKPOINT_S = 600.0
RENEWAL_RETRY_S = 3600.0


@dataclass
class _Due:
    """When something that is not done at every beat was done last, in seconds of the monotonic clock."""

    every_s: float
    done: float = float("-inf")

    def is_due(self) -> bool:
        return time.monotonic() - self.done >= self.every_s

    def note(self) -> None:
        self.done = time.monotonic()


class Agent:
    """What the site says and hears, one beat at a time.

    Args:
        site: the site's settings.
        home: its home.
        traffic: what the gate in this process counts.
    Raises: RecordsError: the site's database cannot be used.
    """

    def __init__(self, site: SiteConfig, home: SiteHome, traffic: Traffic) -> None:
        self.site = site
        self.home = home
        self.traffic = traffic
        self.records = SiteRecords(site.site.name, home.records)
        self.carried = Carried(home.carried, traffic)
        self._coordinator: Coordinator | None = None
        self._contact = Contact()
        self._told = "idle"
        self._known_offers: set[str] = set()
        self._offers, self._renewal = _Due(OFFERS_S), _Due(RENEWAL_RETRY_S)
        self._checkpoint = _Due(CHECKPOINT_S)
        self._moved = (Passed(), time.monotonic())

    def beat(self) -> float:
        """Do what is due, and return after how many seconds to beat again.

        Raises: FLError: what went wrong; the next beat tries again.
        """
        self._sign_head()
        status = self.status()
        try:
            orders = self._reached().status(status)
            self._told = status.state
            self._obey(orders)
            self._fetch(orders)
            self._renew()
        except FLError:
            self.close()
            raise
        return BUSY_S if orders.active or status.state != "idle" else IDLE_S

    def close(self) -> None:
        """End the connection to the coordinator; the next beat opens another, with the certificate there is then."""
        if self._coordinator is not None:
            self._coordinator.close()
            self._coordinator = None

    def status(self) -> Status:
        """Return what this site does right now, as the coordinator is told."""
        progress = read_progress(self.home.progress)
        passed = self.carried.of(progress.run, progress.flower_runs)
        events, head = self.records.end()
        state, opens = self._state(progress, passed), opens_at(self.site.hours, datetime.now(UTC))
        expected_end = progress.expected_end
        if progress.is_private and state in ("evaluating", "training"):
            # A step takes as long as the patients that it draws: neither steps nor their pace leave.
            state, expected_end = "training", None
            progress = replace(progress, done=0, total=0, progressed_at=now())
        cause = self._cause(progress)
        if opens is not None and state != "uploading":
            # Work that was begun rests: see fl_client.rest.
            state, expected_end = "idle", text_of(opens)
            cause = cause or waits_sentence(opens, "the site")
        return Status(
            state=state,
            run=progress.run,
            round=progress.round,
            done=progress.done,
            total=progress.total,
            progressed_at=progress.progressed_at,
            expected_end=expected_end,
            device=progress.device,
            cause=cause[:500],
            sent_bytes=passed.sent,
            received_bytes=passed.received,
            cpu_s=0.0 if progress.is_private else progress.cpu_s,
            gpu_s=0.0 if progress.is_private else progress.gpu_s,
            receipt=head,
            events=events,
        )

    def note(self, error: FLError | None) -> None:
        """Note that something is wrong, or that all is well; the log has the same thing once."""
        before = self._contact
        if error is None:
            self._contact = Contact(now(), state=self._told)
        else:
            self._contact = replace(before, problem=error.problem, fix=error.fix)
        with suppress(OSError):  # where the disk is full, the log says so
            write_contact(self.home.contact, self._contact)
        if self._contact.problem != before.problem:
            if error is None:
                logger.info("All is well again with the coordinator")
            else:
                logger.warning("%s: %s", error.problem, error.fix)

    def _reached(self) -> Coordinator:
        if self._coordinator is None:
            self._coordinator = Coordinator(self.site, self.home)
        return self._coordinator

    def _state(self, progress: Progress, passed: Passed) -> str:
        """Return the trainer's state; an upload is over once nothing has left for a while."""
        if passed != self._moved[0]:
            self._moved = (passed, time.monotonic())
        if progress.state != "uploading":
            return progress.state
        moves = time.monotonic() - self._moved[1] < QUIET_S
        return "uploading" if moves or age_s(progress.progressed_at) < QUIET_S else "idle"

    def _cause(self, progress: Progress) -> str:
        if self.records.has_lost_events():
            return went_back().problem
        for process in states_of(self.home.root):
            if process.pid is None:
                return f"the process {process.name} ended with exit code {process.last_exit} and is started again"
        if self.traffic.cause is not None:
            return self.traffic.cause.told
        return progress.cause

    def _obey(self, orders: Orders) -> None:
        if orders.seen:
            self.records.demand_head(orders.seen)
        if orders.active:
            self.traffic.act()  # a task may come soon: the gate asks more often
        try:
            # At every beat: a trainer that was started anew knows of nothing that was stopped.
            stop_runs(self.home.trainer, orders.cancel)
        except ConnectionProblem:
            logger.debug("The trainer does not run: there is nothing to stop")

    def _fetch(self, orders: Orders) -> None:
        if self._offers.is_due() or not set(orders.pending_offers) <= self._known_offers:
            self._offers.note()
            new = fetch_offers(self._reached(), self.records, self.home)
            approved = approve_by_rule(self._reached(), self.records, self.site.policy)
            for study in approved:
                logger.info("The study %s was approved by this site's policy", study)
            for study in (study for study in new if study not in approved):
                logger.info("The study %s waits for an answer: fl-client approve %s", study, study)
            self._known_offers = {offer.study for offer in self.records.offers()}

    def _renew(self) -> None:
        if self._renewal.is_due() and renewal_is_due(self.home):
            self._renewal.note()
            renew(self._reached(), self.records, self.home, self.site.site.name)
            logger.info("The certificate was renewed")
            self.close()  # the next connection shows the new one

    def _sign_head(self) -> None:
        if self._checkpoint.is_due():
            self._checkpoint.note()
            self.records.sign_head(load_key(self.home.audit_key), self.home.checkpoints)


async def attend(agent: Agent) -> None:
    """Let the agent beat until this task is cancelled."""
    try:
        while True:
            await asyncio.sleep(await asyncio.to_thread(_beat, agent))
    finally:
        agent.close()


def _beat(agent: Agent) -> float:
    try:
        rest = agent.beat()
    except FLError as error:
        agent.note(error)
        return AWAY_S if isinstance(error, ConnectionProblem) else REFUSED_S
    except OSError as error:
        agent.note(RecordsError(f"This site's disk takes nothing ({error.strerror})", fix="make room on it"))
        return AWAY_S
    except Exception:  # the edge: the gate beside it must go on whatever happens here
        logger.exception("The agent met an unexpected error and goes on")
        return REFUSED_S
    agent.note(None)
    return rest
