"""The commands with which a hospital answers studies, and sees what has left for them."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from core.errors import ConfigError
from fl_client.config import load_site
from fl_client.paths import this_home

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Study = Annotated[str, typer.Argument(help="The study's name; `fl-client status` lists them.")]


def approve(
    study: Study,
    yes: Annotated[bool, typer.Option("--yes", help="Approve what the card shows without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as a JSON object; approve nothing.")] = False,
) -> None:
    """Show what a study is, what it reads and sends; then let this site train on it, with exactly these settings.

    Asks first, and does nothing unless you say yes. A study that changes must be approved again; until then nothing of
    it is trained here. `[policy]` in site.toml can approve by rule.

    Example: fl-client approve mgmt-2026
    """
    from fl_client.coordinator import Coordinator  # loads httpx: not for `--help`
    from fl_client.offers import answer_offer, fetch_offers
    from fl_client.site_records import SiteRecords
    from fl_client.status import sites_asked
    from fl_client.study_card import card_lines, card_of

    if yes and as_json:
        raise ConfigError("--json approves nothing", fix="leave out either --yes or --json")
    home = this_home()
    site = load_site(home)
    records = SiteRecords(site.site.name, home.records)
    with Coordinator(site, home) as coordinator:
        if study not in {offer.study for offer in records.offers()}:
            fetch_offers(coordinator, records, home)
        offer = records.offer_of(study)
        card = card_of(
            offer,
            site,
            sites=sites_asked(home, offer),
            last=records.last_approved(study),
            was_refused=records.a_person_refused(study),
        )
        if as_json:
            typer.echo(json.dumps(card.as_json()))
            return
        for line in card_lines(card):
            typer.echo(line)
        if not yes and not _wanted(study):
            typer.echo(f"Nothing was answered. `fl-client refuse {study}` tells the coordinator no.")
            return
        answer_offer(records, coordinator, study, "approved", "", card.bundle_sha256)
    typer.echo(f"{study} is approved; the coordinator knows.")


def refuse(
    study: Study,
    reason: Annotated[str, typer.Option(help="For the coordinator to read.")] = "",
) -> None:
    """Do not let this site train on a study, or no more; the coordinator sees the reason.

    Example: fl-client refuse mgmt-2026 --reason "the ethics vote is open"
    """
    from fl_client.coordinator import Coordinator  # as above
    from fl_client.offers import answer_offer, fetch_offers
    from fl_client.site_records import SiteRecords

    home = this_home()
    site = load_site(home)
    records = SiteRecords(site.site.name, home.records)
    with Coordinator(site, home) as coordinator:
        if study not in {offer.study for offer in records.offers()}:
            fetch_offers(coordinator, records, home)
        answer_offer(records, coordinator, study, "refused", reason)
    typer.echo(f"{study} is refused; the coordinator knows.")


def ledger(
    study: Annotated[str, typer.Option("--study", help="Only what left for this study.")] = "",
    as_json: AsJson = False,
) -> None:
    """List what has left this site, oldest first: when, how much, for which study; and what the gate held back.

    Weights are named by the first digits of their SHA-256. `fl-client verify` proves that nothing was struck out.

    Example: fl-client ledger --study mgmt-2026
    """
    from fl_client.ledger import ledger_lines, totals
    from fl_client.site_records import SiteRecords

    home = this_home()
    listed = SiteRecords(load_site(home).site.name, home.records).ledger()
    departures = [departure for departure in listed if study in ("", departure.study)]
    if as_json:
        told = {"departures": list(map(asdict, departures)), "totals": list(map(asdict, totals(departures)))}
        typer.echo(json.dumps(told))
        return
    for line in ledger_lines(departures):
        typer.echo(line)


def _wanted(study: str) -> bool:
    """Ask the person at the terminal.

    Raises: ConfigError: there is none.
    """
    if not sys.stdin.isatty():
        raise ConfigError(
            f"Nothing was approved: there is no terminal to ask whether {study} is wanted",
            fix=f"read the card, then run `fl-client approve {study} --yes`",
        )
    return typer.confirm("Approve?", default=False)


def privacy(as_json: AsJson = False) -> None:
    """Show what this site's patients' privacy has been spent on, and what is left of the budget in site.toml.

    An epsilon bounds what anybody can learn of one patient from all that ever left: small is strong. The ledger is part
    of the audit log and kept for good; a training that was cut short counts as one that was done.

    Example: fl-client privacy
    """
    from fl_client.privacy_ledger import PrivacyLedger  # loads PyTorch: not for `--help`
    from fl_client.privacy_report import privacy_report, report_lines

    home = this_home()
    report = privacy_report(PrivacyLedger.of_home(home), load_site(home).privacy)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
        return
    for line in report_lines(report):
        typer.echo(line)


COMMANDS = (approve, refuse, ledger, privacy)
