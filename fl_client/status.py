"""What hospital IT wants to know: what runs, how far it is, what left the building, what waits for an answer."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from core.certificates import not_after
from core.clock import age_s, moment_of, text_of
from core.hours import opens_at
from core.study import closing_sentence, study_of
from core.supervision import ProcessState, states_of
from fl_client.carried import read_carried
from fl_client.config import SiteConfig
from fl_client.contact import Contact, read_contact
from fl_client.known_studies import KnownOffer
from fl_client.ledger import Sent
from fl_client.paths import SiteHome
from fl_client.progress import Progress, read_progress
from fl_client.site_records import SiteRecords
from fl_client.study_bundle import printable
from fl_client.study_card import why_it_waits
from fl_client.traffic import Passed


@dataclass(frozen=True)
class OfferTold:
    """A study and how it was answered.

    Attributes:
        study, state, reason, answered_at: as in `KnownOffer`.
        sites: all that were asked.
        rounds_close: in one sentence.
        settings: the file with every setting.
        waits: why the site's policy leaves it to a person; empty once it is answered.
    """

    study: str
    state: str
    reason: str
    answered_at: str | None
    sites: list[str]
    rounds_close: str
    settings: str
    waits: list[str]


@dataclass(frozen=True)
class SiteStatus:
    """A site at one moment.

    Attributes:
        site: its name.
        coordinator: its address.
        certificate_until: text of core.clock; empty where the site is not enrolled.
        processes: what `fl-client start` keeps running; none where it does not run.
        contact: when the coordinator answered last.
        progress: what the trainer does.
        waits_until: when this site's own hours begin; None within them. Text of core.clock.
        sent: by run, what was handed to Flower.
        carried: by run, bytes over the wire.
        offers: studies, and how they were answered.
    """

    site: str
    coordinator: str
    certificate_until: str
    processes: list[ProcessState]
    contact: Contact
    progress: Progress
    waits_until: str | None
    sent: list[Sent]
    carried: dict[str, Passed]
    offers: list[OfferTold]

    def as_json(self) -> dict[str, Any]:
        """Return all of it, ready for JSON, with the age of the last progress and contact in seconds."""
        told = asdict(self)
        told["progress"]["age_s"] = _age(self.progress.progressed_at)
        told["contact"]["age_s"] = _age(self.contact.reached_at)
        return told


def site_status(site: SiteConfig, home: SiteHome) -> SiteStatus:
    """Read what a site's processes have written; nothing is asked over the network.

    Raises: RecordsError: the site's database cannot be used.
    """
    records = SiteRecords(site.site.name, home.records)
    opens = opens_at(site.hours, datetime.now(UTC))
    enrolled = home.certificate.exists()
    return SiteStatus(
        site=site.site.name,
        coordinator=site.coordinator.address,
        certificate_until=not_after(home.certificate.read_text("ascii")) if enrolled else "",
        processes=states_of(home.root),
        contact=read_contact(home.contact),
        progress=_progress(home),
        waits_until=None if opens is None else text_of(opens),
        sent=records.sent(),
        carried=read_carried(home.carried),
        offers=[_told(offer, home, _waits(offer, records, site)) for offer in records.offers()],
    )


def status_lines(status: SiteStatus) -> list[str]:
    """Return a site's status as lines to read."""
    return [
        f"{status.site} at {status.coordinator or 'no coordinator'}, certificate {_until(status.certificate_until)}",
        *_process_lines(status.processes),
        _contact_line(status.contact),
        _progress_line(status.progress),
        *_hours_lines(status.waits_until),
        *_sent_lines(status),
        *(line for offer in status.offers for line in _offer_lines(offer)),
    ]


def sites_asked(home: SiteHome, offer: KnownOffer) -> list[str] | None:
    """Return every site that was asked with an offer; None where the file beside it is missing or of another."""
    try:
        came = json.loads((home.studies / offer.study / "offer.json").read_text("utf-8"))
        names = [printable(str(name)) for name in came["sites"]]
        return names if came["bundle_sha256"] == offer.bundle_sha256 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


def _progress(home: SiteHome) -> Progress:
    """Return what the trainer wrote last; it does not see an upload's end, which the agent does."""
    progress = read_progress(home.progress)
    is_over = progress.state == "uploading" and read_contact(home.contact).state == "idle"
    return replace(progress, state="idle") if is_over else progress


def _until(certificate_until: str) -> str:
    if not certificate_until:
        return "none: not enrolled"
    left = -age_s(certificate_until)
    return f"valid until {certificate_until[:10]}" + (f" ({duration(left)} left)" if left > 0 else ": EXPIRED")


def _process_lines(processes: list[ProcessState]) -> list[str]:
    if not processes:
        return ["Not running: `fl-client start`"]
    return [
        f"  {process.name:10} "
        + (f"since {process.since[:19]}" if process.pid else f"ended with exit code {process.last_exit}, restarting")
        + (f", restarted {process.restarts} times" if process.restarts else "")
        for process in processes
    ]


def _contact_line(contact: Contact) -> str:
    reached = f"reached {_ago(contact.reached_at)}" if contact.reached_at else "not reached yet"
    return f"Coordinator {reached}" + (f". Problem: {contact.problem}. Fix: {contact.fix}" if contact.problem else "")


def _progress_line(progress: Progress) -> str:
    if not progress.run:
        return "Trainer idle: no task yet"
    if progress.state == "idle" and not progress.cause:
        return f"Trainer idle since round {progress.round} of run {progress.run}, {_ago(progress.progressed_at)}"
    steps = f", {progress.done} of {progress.total} steps" if progress.total else ""
    end = f", done in about {duration(-age_s(progress.expected_end))}" if progress.expected_end else ""
    cause = f". Problem: {progress.cause}; see logs/trainer.log" if progress.cause else ""
    return (
        f"Trainer {progress.state} on {progress.device}: run {progress.run}, round {progress.round}{steps}{end}; "
        f"last progress {_ago(progress.progressed_at)}{cause}"
    )


def _hours_lines(waits_until: str | None) -> list[str]:
    if waits_until is None:
        return []
    opens = moment_of(waits_until).astimezone()
    return [f"Outside this site's hours: nothing trains before {opens:%a %H:%M}, in {duration(-age_s(waits_until))}"]


def _sent_lines(status: SiteStatus) -> list[str]:
    lines = []
    for sent in status.sent:
        passed = status.carried.get(sent.run, Passed())
        lines.append(
            f"  {sent.run}: {sent.answers} answers up to round {sent.round}; {passed.sent / 1e6:.1f} MB out, "
            f"{passed.received / 1e6:.1f} MB in"
        )
    return ["Answers that left the building:", *lines] if lines else ["No answer has left the building"]


def _waits(offer: KnownOffer, records: SiteRecords, site: SiteConfig) -> list[str]:
    return why_it_waits(offer, site.policy, records.a_person_refused(offer.study))


def _told(offer: KnownOffer, home: SiteHome, waits: list[str]) -> OfferTold:
    sites = sites_asked(home, offer) or []
    closes = closing_sentence(study_of(offer.toml), len(sites)) if sites else ""
    settings = str(home.studies / offer.study / "study.toml")
    return OfferTold(offer.study, offer.state, offer.reason, offer.answered_at, sites, closes, settings, waits)


def _offer_lines(offer: OfferTold) -> list[str]:
    if offer.state != "pending":
        reason = f" ({offer.reason})" if offer.reason else ""
        return [f"Study {offer.study}: {offer.state} at {(offer.answered_at or '')[:19]}{reason}"]
    return [
        f"Study {offer.study} WAITS for an answer: `fl-client approve {offer.study}`, or refuse",
        f"  asked: {', '.join(offer.sites)}; a round: {offer.rounds_close}",
        f"  read first: the card that it shows, or every setting in {offer.settings}",
        *(f"  not approved by rule: {reason}" for reason in offer.waits),
    ]


def _ago(moment: str) -> str:
    return f"{duration(age_s(moment))} ago"


def _age(moment: str) -> float | None:
    return round(age_s(moment), 1) if moment else None
