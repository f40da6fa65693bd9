"""The commands with which a hospital joins a federation, takes part, sees what happens, and leaves.

Those about studies are in `fl_client.cli_studies`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from core.progress import bars
from fl_client.config import load_site
from fl_client.paths import SiteHome, this_home

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def join(
    invite: Annotated[str, typer.Argument(help="The coordinator's invitation: the line itself, or a file with it.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the scans; by default $FL_HOME/data.")] = None,
    prepared: Annotated[Path | None, typer.Option(help="Folder for prepared cases; else $FL_HOME/prepared.")] = None,
    proxy: Annotated[str, typer.Option(help="http://host:port, where only a proxy may go out.")] = "",
) -> None:
    """Join a federation with an invitation: make this site's keys, write site.toml, enroll.

    The keys are made here and never leave. The invitation works once and is handed over like a password. A join that
    was interrupted or refused can be run again with a fresh invitation.

    Example: fl-client join gliofed-eyJhZGRyZXNz... --data /srv/scans --prepared /srv/prepared
    """
    from fl_client import enrollment  # loads httpx and cryptography: not for `--help`

    home = this_home()
    invitation = enrollment.join(invite, home, data, prepared, proxy)
    typer.echo(f"Enrolled as {invitation.site} at {invitation.address}. Settings: {home.settings}")
    typer.echo("Next: `fl-client prepare`, `fl-client check`, `fl-client start`.")


def check(
    as_json: AsJson = False,
    profile: Annotated[
        Path | None, typer.Option(help="Also trace some training steps into this file, for Perfetto or about:tracing.")
    ] = None,
) -> None:
    """Check everything that this site needs to take part, and say how to mend what is wrong.

    Settings, certificate, clock, coordinator, transfer, disk, memory, scans, prepared cases, device, and one training
    step on noise. Sends 8 MB of noise and receives as much. Ends with exit code 0 only if nothing is wrong. With
    --profile also says on what a training step is spent here.

    Example: fl-client check --profile trace.json
    """
    from fl_client.check import check_site

    home = this_home()
    findings = []
    for finding in check_site(home):
        findings.append(finding)
        if not as_json:
            typer.echo(f"{'ok' if finding.ok else 'PROBLEM':9}{finding.name:13}{finding.told}")
            if not finding.ok:
                typer.echo(f"{'':9}{'':13}Fix: {finding.fix}")
    wrong = [finding for finding in findings if not finding.ok]
    spent = _profiled(home, profile, as_json) if profile and findings[-1] not in wrong else None
    if as_json:
        told = {"ok": not wrong, "checks": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(told | ({"profile": spent} if spent else {})))
    elif not wrong:
        typer.echo("Nothing is in the way: `fl-client start`.")
    if wrong:
        raise typer.Exit(wrong[0].exit_code)


def start(
    install: Annotated[bool, typer.Option("--install-service", help="Run as a systemd service, from now on.")] = False,
) -> None:
    """Take part until stopped: answers tasks of studies that were approved here, and nothing else.

    Only connects out, to the coordinator; listens on this machine alone. Each process has its log in $FL_HOME/logs and
    is started again when it ends. Stop with Ctrl-C or SIGTERM.

    Example: fl-client start --install-service
    """
    home = this_home()
    if install:
        from fl_client.unit import install_service

        installed = install_service(load_site(home), home)
        typer.echo(f"Written: {installed.path}")
        if installed.commands:
            typer.echo("systemd does not run here. Where it does, type:")
            for command in installed.commands:
                typer.echo(f"    {command}")
        return
    from fl_client.start import supervisor  # loads cryptography: not for `--help`

    supervising = supervisor(home)
    typer.echo(f"Started; logs are in {home.logs}, `fl-client status` says more. Ctrl-C stops.")
    supervising.run()


def status(as_json: AsJson = False) -> None:
    """Show what runs here, the last progress and its age, what left the building, and which studies wait for an answer.

    Example: fl-client status --json
    """
    from fl_client.status import site_status, status_lines

    home = this_home()
    told = site_status(load_site(home), home)
    if as_json:
        typer.echo(json.dumps(told.as_json()))
        return
    for line in status_lines(told):
        typer.echo(line)


def leave() -> None:
    """Leave the federation: this site's certificate is void and its keys are deleted.

    Settings, prepared cases, models and the audit log stay. Stop `fl-client start` first.

    Example: fl-client leave
    """
    from core.errors import FederationError
    from core.supervision import states_of
    from fl_client import enrollment

    home = this_home()
    site = load_site(home)
    if states_of(home.root):
        raise FederationError("This site is running", fix="stop `fl-client start` or its service first")
    enrollment.leave(site, home)
    typer.echo(f"{site.site.name} has left {site.coordinator.address}. What stays is in {home.root}.")


def verify(
    receipts: Annotated[
        Path | None, typer.Option(help="What the coordinator's `fl-server receipts SITE` printed: check that too.")
    ] = None,
) -> None:
    """Check this site's audit log: that no event was changed, removed or inserted since it was written.

    Example: fl-client verify --receipts north.txt
    """
    from core.signing import load_public
    from fl_client.site_records import SiteRecords

    home = this_home()
    with bars() as report:
        records = SiteRecords(load_site(home).site.name, home.records)
        verified = records.verify(home.checkpoints, load_public(home.audit_public), report)
    typer.echo(f"Intact: {verified.events} events, {verified.checkpoints} signed heads. Head: {verified.head}")
    if receipts:
        typer.echo(f"All {records.check_receipts(receipts)} heads that the coordinator has kept are in it.")


def receipts() -> None:
    """Print the heads of the coordinator's audit log that came with its tasks: for its `fl-server verify`.

    A log that was cut back or written anew looks whole to its own side. What the other side has kept tells.

    Example: fl-client receipts > north.txt
    """
    from fl_client.site_records import SiteRecords

    home = this_home()
    for line in SiteRecords(load_site(home).site.name, home.records).receipts():
        typer.echo(line)


def _profiled(home: SiteHome, path: Path, as_json: bool) -> dict[str, float]:
    """Trace training here, and say on what a step is spent: seconds by part."""
    from fl_client.trial import profiled  # loads PyTorch: not for `--help`

    found = profiled(load_site(home), path)
    if not as_json:
        whole = sum(found.spent.values())
        for part, seconds in sorted(found.spent.items(), key=lambda one: -one[1]):
            typer.echo(f"{'':9}{part:13}{seconds * 1e3:9.1f} ms a step, {seconds / whole:4.0%}")
        typer.echo(f"Slowest in a training step: {found.slowest}. Trace: {path}")
    return found.spent


COMMANDS = (join, check, start, status, leave, verify, receipts)
