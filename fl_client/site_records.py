"""A site's own records: what it was offered, what it answered, and its audit log."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.clock import now
from core.errors import FederationError, UpdateRejected
from core.progress import Report, silent
from core.records import audit
from core.records.db import open_database, reading, transaction
from core.records.receipts import check_given, heads_of_coordinator
from core.records.tables import AuditEvent, Offer, StudyBundle
from core.site_protocol import StudyOffer

REASON_CHARACTERS = 500


@dataclass(frozen=True)
class KnownOffer:
    """A study that this site was offered.

    Attributes:
        study: its name.
        state: `pending`, `approved` or `refused`, by this site's people.
        reason: theirs.
        bundle_sha256: of the app bundle that was offered, which the answer is about.
        offered_at, answered_at: text of core.clock.
    """

    study: str
    state: str
    reason: str
    bundle_sha256: str
    offered_at: str
    answered_at: str | None


@dataclass(frozen=True)
class Sent:
    """What was handed to Flower for a run.

    Attributes:
        run, study: of the coordinator.
        answers: how many updates and evaluations.
        round: the last one's.
    """

    run: str
    study: str
    answers: int
    round: int


class SiteRecords:
    """The records of a site in its own database; each change commits with its audit event."""

    def __init__(self, site: str, url: str) -> None:
        self.site = site
        self._engine = open_database(url)

    def append(self, actor: str, action: str, **body: object) -> str:
        """Append an event to the audit log and return the log's new head."""
        with transaction(self._engine) as session:
            return audit.append(session, actor, action, **body)

    def head(self) -> str:
        """Return the audit log's head."""
        with reading(self._engine) as session:
            return audit.head(session)

    def sign_head(self, key: Ed25519PrivateKey, checkpoints: Path) -> None:
        """Sign the audit log's head outside the database.

        Raises: AuditError: the log is not what was signed before.
        """
        audit.sign_head(self._engine, key, checkpoints)

    def verify(self, checkpoints: Path, public: Ed25519PublicKey, report: Report = silent) -> audit.Verified:
        """Check this site's whole audit log.

        Raises: AuditError: naming what is wrong.
        """
        return audit.verify(self._engine, checkpoints, public, report)

    def receipts(self) -> list[str]:
        """Return the heads of the coordinator's audit log that this site's cites, as lines for it to check."""
        with reading(self._engine) as session:
            return [str(receipt) for receipt in heads_of_coordinator(session)]

    def check_receipts(self, given: Path) -> int:
        """Check the heads of this site's audit log that the coordinator has kept, and return how many there are.

        Raises:
            ConfigError: the file holds something else.
            AuditError: naming the first that this log never had.
        """
        return check_given(self._engine, given)

    def sent(self) -> list[Sent]:
        """Return what this site has answered, by run: its updates and evaluations, handed over or handed over again."""
        with reading(self._engine) as session:
            events = session.query(AuditEvent).filter(AuditEvent.action.in_(("update.sent", "evaluation.sent")))
            by_run: dict[str, list[dict[str, Any]]] = {}
            for event in events.order_by(AuditEvent.seq):
                body = json.loads(event.body)
                by_run.setdefault(body["run"], []).append(body)
        return [
            Sent(run, bodies[-1]["study"], len(bodies), max(body["round"] for body in bodies))
            for run, bodies in by_run.items()
        ]

    def offers(self) -> list[KnownOffer]:
        """Return every study that this site was offered, oldest first."""
        with reading(self._engine) as session:
            rows = session.query(Offer, StudyBundle).join(StudyBundle, StudyBundle.name == Offer.study)
            mine = rows.filter(Offer.site == self.site).order_by(Offer.offered_at, Offer.study)
            return [
                KnownOffer(
                    offer.study, offer.state, offer.reason, bundle.bundle_sha256, offer.offered_at, offer.answered_at
                )
                for offer, bundle in mine
            ]

    def learn(self, offer: StudyOffer, bundle: bytes) -> None:
        """Keep a study that this site is offered; where it was known with other settings, its answer is void.

        One that is known already stays as it is, with its answer: the agent and a person's command may both bring it.
        """
        with transaction(self._engine) as session:
            known = session.get(StudyBundle, offer.study)
            if known is not None and known.bundle_sha256 == offer.bundle_sha256:
                return
            session.merge(
                StudyBundle(
                    name=offer.study,
                    bundle_sha256=offer.bundle_sha256,
                    toml=offer.toml,
                    bundle=bundle,
                    created_at=now(),
                )
            )
            session.flush()
            session.merge(
                Offer(
                    study=offer.study,
                    site=self.site,
                    state="pending",
                    reason="",
                    offered_at=offer.offered_at,
                    answered_at=None,
                )
            )
            audit.append(session, "coordinator", "study.offered", study=offer.study, bundle_sha256=offer.bundle_sha256)

    def answer(self, study: str, state: str, reason: str) -> KnownOffer:
        """Note what this site's people answer; a later answer replaces an earlier one.

        Args:
            study: its name.
            state: `approved` or `refused`.
            reason: theirs, which the coordinator will read.
        Raises: FederationError: this site was not offered such a study.
        """
        with transaction(self._engine) as session:
            offer, bundle = session.get(Offer, (study, self.site)), session.get(StudyBundle, study)
            if offer is None or bundle is None:
                raise FederationError(
                    f"This site was not offered a study {study}", fix="see `fl-client status` for the studies there are"
                )
            offer.state, offer.reason, offer.answered_at = state, reason[:REASON_CHARACTERS], now()
            audit.append(
                session, "it", f"study.{state}", study=study, bundle_sha256=bundle.bundle_sha256, reason=offer.reason
            )
            return KnownOffer(study, state, offer.reason, bundle.bundle_sha256, offer.offered_at, offer.answered_at)

    def check_approved(self, study: str, toml: str) -> None:
        """Refuse a study unless this site's people have approved exactly these settings.

        Args:
            study: its name.
            toml: text of study.toml as the task's app holds it.
        Raises: UpdateRejected: it was not offered, is not approved, or is another than the one that was.
        """
        with reading(self._engine) as session:
            offer, bundle = session.get(Offer, (study, self.site)), session.get(StudyBundle, study)
            state = "never offered" if offer is None else offer.state
            known = "" if bundle is None else bundle.toml
        if state != "approved":
            raise UpdateRejected(
                f"This site has not approved the study {study} (it is {state})", fix=f"run `fl-client approve {study}`"
            )
        if known != toml:
            raise UpdateRejected(
                f"The study {study} came with other settings than those that this site approved",
                fix="tell the coordinator; nothing was trained",
            )
