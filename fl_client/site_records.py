"""A site's own records: what it was offered, what it answered, and its audit log."""

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.clock import now
from core.errors import FederationError, UpdateRejected
from core.progress import Report, silent
from core.records import audit
from core.records.chain import LOST, end_of, went_back
from core.records.db import open_database, reading, transaction
from core.records.receipts import check_given, heads_of_coordinator
from core.records.tables import AuditEvent, Offer, StudyBundle
from core.site_protocol import StudyOffer
from core.study import Study, study_of
from fl_client.known_studies import Approved, KnownOffer
from fl_client.ledger import ACTIONS, Departure, Sent, departure_of, sent_by_run
from fl_client.persons import COHORT

REASON_CHARACTERS = 500
BY_RULE = "by this site's policy"
# The actor of what people at this site decide.
PERSON = "it"


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
        return self.end()[1]

    def end(self) -> tuple[int, str]:
        """Return how many events the audit log has, but for those that name patients, and its head.

        One event names some hundred patients; their number would tell how many there are. Each is written together with
        a reservation, so that no two heads have the same number.
        """
        with reading(self._engine) as session:
            events, head = end_of(session)
            named = select(func.count()).where(AuditEvent.action == COHORT)
            return events - (session.scalar(named) or 0), head

    def has_lost_events(self) -> bool:
        """Say whether the coordinator has ever seen further than this audit log goes."""
        with reading(self._engine) as session:
            return bool(audit.events(session, action=LOST, limit=1))

    def demand_head(self, head: str) -> None:
        """Check that the audit log has had a head that the coordinator has heard of, and note it where it has not.

        Raises: AuditError: it has not: it was cut back or restored from a copy, and this site's privacy ledger with it.
        """
        if self.has_been_head(head):
            return
        if not self.has_lost_events():
            self.append("agent", LOST, seen=head)
        raise went_back()

    def has_been_head(self, receipt: str) -> bool:
        """Say whether the audit log ever had this head."""
        with reading(self._engine) as session:
            return audit.cites(session, receipt)

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
        return sent_by_run(self.ledger())

    def ledger(self) -> list[Departure]:
        """Return what has left this site and what its gate held back, oldest first."""
        with reading(self._engine) as session:
            events = session.query(AuditEvent).filter(AuditEvent.action.in_(ACTIONS)).order_by(AuditEvent.seq)
            return [departure_of(event.at, event.action, json.loads(event.body)) for event in events]

    def offers(self) -> list[KnownOffer]:
        """Return every study that this site was offered, oldest first."""
        with reading(self._engine) as session:
            rows = session.query(Offer, StudyBundle).join(StudyBundle, StudyBundle.name == Offer.study)
            mine = rows.filter(Offer.site == self.site).order_by(Offer.offered_at, Offer.study)
            return [_known(offer, bundle) for offer, bundle in mine]

    def offer_of(self, study: str) -> KnownOffer:
        """Return a study that this site was offered.

        Raises: FederationError: it was not.
        """
        with reading(self._engine) as session:
            return _known(*self._offered(session, study))

    def last_approved(self, study: str) -> Approved | None:
        """Return the version of a study that was approved here last; of any study where it never was, or none at all.

        The audit log tells: an offer's row is replaced when the study comes with other settings, and a file can be
        edited.
        """
        with reading(self._engine) as session:
            events = session.query(AuditEvent).filter(AuditEvent.action == "study.approved")
            approved = [
                Approved(body["study"], event.at, body["bundle_sha256"], body["settings"])
                for event in events.order_by(AuditEvent.seq.desc())
                if "settings" in (body := json.loads(event.body))
            ]
        return next((one for one in approved if one.study == study), next(iter(approved), None))

    def a_person_refused(self, study: str) -> bool:
        """Whether the last answer that people here gave to a study, in this version or another, was to refuse it."""
        with reading(self._engine) as session:
            answers = session.query(AuditEvent).filter(
                AuditEvent.actor == PERSON, AuditEvent.action.in_(("study.approved", "study.refused"))
            )
            its = [e.action for e in answers.order_by(AuditEvent.seq) if json.loads(e.body)["study"] == study]
        return its[-1:] == ["study.refused"]

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

    def answer(self, study: str, state: str, reason: str, bundle_sha256: str = "") -> KnownOffer:
        """Note what this site's people answer; a later answer replaces an earlier one.

        Args:
            study: its name.
            state: `approved` or `refused`.
            reason: theirs, which the coordinator will read.
            bundle_sha256: of the bundle that they have looked at; empty: whichever is offered.
        Raises: FederationError: this site was not offered such a study, or meanwhile another bundle of it.
        """
        with transaction(self._engine) as session:
            offer, bundle = self._offered(session, study)
            if bundle_sha256 not in ("", bundle.bundle_sha256):
                raise FederationError(
                    f"The study {study} was offered with other settings meanwhile; nothing was answered",
                    fix=f"look at it again: `fl-client approve {study}`",
                )
            return _decide(session, offer, bundle, state, reason[:REASON_CHARACTERS], actor=PERSON)

    def approve_by_rule(self, study: str, bundle_sha256: str, rules: list[str]) -> KnownOffer | None:
        """Note that the site's policy approves a study that nobody has answered.

        Args:
            study: its name.
            bundle_sha256: of the bundle that the rules were applied to.
            rules: those that held, for the audit log.
        Returns: the study; None where meanwhile a person has answered, or another bundle is offered.
        Raises: FederationError: this site was not offered such a study.
        """
        with transaction(self._engine) as session:
            offer, bundle = self._offered(session, study)
            if offer.state != "pending" or bundle.bundle_sha256 != bundle_sha256:
                return None
            return _decide(session, offer, bundle, "approved", BY_RULE, actor="policy", rules=rules)

    def _offered(self, session: Session, study: str) -> tuple[Offer, StudyBundle]:
        offer, bundle = session.get(Offer, (study, self.site)), session.get(StudyBundle, study)
        if offer is None or bundle is None:
            raise FederationError(
                f"This site was not offered a study {study}", fix="see `fl-client status` for the studies there are"
            )
        return offer, bundle

    def approved_study(self, bundle_sha256: str) -> Study | None:
        """Return the study that an app bundle is of, where this site's people have approved just this bundle."""
        wanted = ("approved", bundle_sha256)
        return next((study_of(o.toml) for o in self.offers() if (o.state, o.bundle_sha256) == wanted), None)

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


def _known(offer: Offer, bundle: StudyBundle) -> KnownOffer:
    return KnownOffer(
        study=offer.study,
        state=offer.state,
        reason=offer.reason,
        bundle_sha256=bundle.bundle_sha256,
        offered_at=offer.offered_at,
        answered_at=offer.answered_at,
        toml=bundle.toml,
        bundle=bundle.bundle,
    )


def _decide(
    session: Session, offer: Offer, bundle: StudyBundle, state: str, reason: str, *, actor: str, **told: object
) -> KnownOffer:
    offer.state, offer.reason, offer.answered_at = state, reason, now()
    if state == "approved":  # what a later version is compared with
        told["settings"] = study_of(bundle.toml).model_dump(mode="json")
    audit.append(
        session,
        actor,
        f"study.{state}",
        study=offer.study,
        bundle_sha256=bundle.bundle_sha256,
        reason=reason,
        **told,
    )
    return _known(offer, bundle)
