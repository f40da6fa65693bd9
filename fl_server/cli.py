"""`fl-server`: what a coordinator runs."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Column, Table

from core.config import load_config
from core.files import write_atomically
from core.progress import bars
from core.public_files import add_public
from core.records.home import home, public_folder
from core.records.receipts import check_given
from core.records.runs import versions, wish
from core.study import Study
from core.terminal import run as run_command_line
from fl_server import coordinator
from fl_server.passphrase import ask_passphrase

ACTOR = "coordinator"
app = typer.Typer(
    help=(
        "The coordinator's side of GlioFed: enrol hospitals, launch studies, watch runs, approve models. "
        "Everything lies under $FL_HOME."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
SiteName = Annotated[str, typer.Argument(help="The site's name.")]
RunName = Annotated[str, typer.Argument(help="The run's name; `fl-server status` lists them.")]
VersionName = Annotated[str, typer.Argument(help="The model version's name; `fl-server models` lists them.")]


@app.command()
def init(
    address: Annotated[str, typer.Argument(help="Where hospitals reach this coordinator, as fl.example.org:443.")],
    listen: Annotated[
        str, typer.Option(help="Where Nginx listens, as 10.0.0.5:443, where that is not the address itself.")
    ] = "",
    database: Annotated[
        str, typer.Option(help="URL of a MySQL or MariaDB, mysql+pymysql://...; by default SQLite in $FL_HOME.")
    ] = "",
) -> None:
    """Make a federation: its CA, the coordinator's certificate, its signing key, its database and settings.

    The keys of the CA and of the signature are encrypted under a passphrase, which is asked for or read from the file
    that $FL_PASSPHRASE_FILE names. Nothing is started and nothing listens yet.

    Example: fl-server init fl.example.org:443
    """
    settings = coordinator.settings_for(address, listen, database)
    fingerprint = coordinator.initialize(home(), settings, ask_passphrase(new=True))
    print_line(f"The federation's home is {home()}; its CA has the fingerprint {fingerprint}.")
    print_line("Next: `fl-server start`, and `fl-server invite SITE` for each hospital.")


@app.command()
def start() -> None:
    """Run the coordinator until stopped: Nginx, Flower's SuperLink, the site API, and what starts runs.

    Only Nginx listens for others; every other port is on loopback. Needs the passphrase, as init does.
    """
    coordinator.settings_of()  # before anybody types a passphrase
    coordinator.supervisor(home(), ask_passphrase()).run()


@app.command()
def invite(
    site: SiteName,
    days: Annotated[float, typer.Option(min=0.001, help="How long the invitation can be used.")] = 7,
) -> None:
    """Print a one-time invitation for a hospital: one line, to be handed over like a password.

    It holds the address, the CA's fingerprint and a token that can be used once. A new invitation withdraws an older
    one that was not used. The hospital runs `fl-client join LINE`.
    """
    typer.echo(coordinator.invite(home(), site, timedelta(days=days)))


@app.command()
def sites(as_json: AsJson = False) -> None:
    """List the hospitals: invited, enrolled, suspended, revoked or gone, and when each was last heard of."""
    rows = coordinator.list_sites(home())
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table(Column("site", no_wrap=True), "state", "enrolled", "last heard of", "certificate until", "release")
    for row in rows:
        moments = (str(row[name] or "")[:16].replace("T", " ") for name in ("enrolled", "seen", "not_after"))
        table.add_row(row["site"], row["state"], *moments, row["release"] or "")
    Console().print(table)


@app.command()
def suspend(site: SiteName) -> None:
    """Keep a site out until further notice; its certificate stays valid for later."""
    coordinator.suspend(home(), site)
    print_line(f"{site} is suspended from this moment on. `fl-server reinstate {site}` lets it back in.")


@app.command()
def reinstate(site: SiteName) -> None:
    """Let a suspended site back in."""
    coordinator.reinstate(home(), site)
    print_line(f"{site} may take part again.")


@app.command()
def revoke(site: SiteName) -> None:
    """Shut a site out for good: its certificates are refused from this moment on."""
    coordinator.revoke(home(), site)
    print_line(f"{site} is revoked. To come back it needs another name.")


@app.command()
def launch(
    study: Annotated[Path, typer.Argument(help="The study's settings, study.toml.")],
    ask: Annotated[
        str, typer.Option("--sites", help="Whom to ask, comma separated; all enrolled sites if empty.")
    ] = "",
    over_budget: Annotated[
        bool, typer.Option("--over-budget", help="Launch it also where it will cost more than its budget.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Offer a study to hospitals. Its run starts when as many as its quorum have approved it.

    Example: fl-server launch study.toml --sites north,south,east
    """
    # Without this process's variables: every site must read the same study.
    wanted = tuple(name.strip() for name in ask.split(",") if name.strip())
    launched = coordinator.launch_study(home(), load_config(Study, study, {}), wanted, over_budget=over_budget)
    if as_json:
        typer.echo(json.dumps(launched))
        return
    print_line(f"Run {launched['run']} is offered to {', '.join(launched['sites'])}.")
    print_line(f"A round: {launched['closes']}.")
    print_line(f"Privacy: {launched['privacy']}")
    print_line(f"Cost: {' '.join(launched['cost'])}")
    print_line(f"What they approve: bundle {launched['bundle_sha256']}.")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="Frozen weights or public cases, as fl-simulate makes them.")],
) -> None:
    """Keep a file that studies name by its SHA-256, and print that: frozen weights, or public cases to validate on.

    Hospitals fetch the frozen weights of a study that they were offered, once. Public cases stay here.

    Example: fl-server add frozen.safetensors
    """
    coordinator.check_home(home())
    typer.echo(add_public(public_folder(), file))


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show changes as they happen.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every site and run: who trains, how far, since when, what it costs, and what is wrong."""
    from core.records.status import status_of
    from fl_server.status import shown

    records = coordinator.records_of(home())
    if as_json:
        typer.echo(json.dumps(status_of(records, home()).as_json()))
    elif not watch:
        Console().print(shown(status_of(records, home())))
    else:
        with Live(shown(status_of(records, home())), auto_refresh=False) as live:
            while True:
                time.sleep(1)
                live.update(shown(status_of(records, home())), refresh=True)


@app.command()
def stop(run: RunName) -> None:
    """Stop a run: hospitals leave off within a batch, and what is done is kept."""
    wish(coordinator.records_of(home()), run, "stop", actor=ACTOR)
    print_line(f"{run} will stop. `fl-server resume {run}` goes on from its last round.")


@app.command()
def resume(run: RunName) -> None:
    """Let a paused, stopped or failed run go on from its last round."""
    wish(coordinator.records_of(home()), run, "resume", actor=ACTOR)
    print_line(f"{run} will go on.")


@app.command()
def verify(
    receipts: Annotated[
        Path | None, typer.Option(help="What a site's `fl-client receipts` printed: check that too.")
    ] = None,
) -> None:
    """Check the audit log, event by event, and against its signed heads; name the first bad one.

    Example: fl-server verify --receipts north.txt
    """
    with bars() as report:
        verified = coordinator.verify_audit(home(), report)
    print_line(f"Intact: {verified.events} events, {verified.checkpoints} signed heads. Head {verified.head}")
    if receipts:
        checked = check_given(coordinator.records_of(home()), receipts)
        print_line(f"All {checked} heads that the site has kept are in it.")


@app.command()
def receipts(site: SiteName) -> None:
    """Print the heads of a site's audit log that came with its answers: for its `fl-client verify --receipts FILE`.

    A log that was cut back or written anew looks whole to its own side. What the other side has kept tells.

    Example: fl-server receipts north > north.txt
    """
    for line in coordinator.receipts_of(home(), site):
        typer.echo(line)


@app.command()
def models(as_json: AsJson = False) -> None:
    """List the model versions: candidates, approved and retired."""
    rows = [
        {
            "version": row.name,
            "study": row.study,
            "run": row.run,
            "state": row.state,
            "created": row.created_at,
            "wish": row.wish,
            "cause": row.cause,
        }
        for row in versions(coordinator.records_of(home()))
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table(Column("version", no_wrap=True), "state", "created")
    for row in rows:
        told = f"{row['state']} ({row['cause']})" if row["cause"] else row["state"]
        table.add_row(row["version"], told, str(row["created"])[:16].replace("T", " "))
    Console().print(table)


@app.command()
def card(
    version: VersionName,
    out: Annotated[Path, typer.Option("--out", help="Where to: a page if it ends in .html, else Markdown.")],
) -> None:
    """Write a model version's card to read: use, data, figures, limits, and answers to CLAIM 2024 and TRIPOD+AI.

    Example: fl-server card glioma-2 --out card.html
    """
    from core.records.home import registry_folder
    from core.records.registry import load_version
    from fl_server.model_card import page_of, text_of

    coordinator.check_home(home())
    told = load_version(registry_folder() / version).card
    write_atomically(out, (page_of if out.suffix == ".html" else text_of)(told))
    print_line(f"The card of {version} is in {out}.")


@app.command()
def approve(version: VersionName) -> None:
    """Approve and sign a model version: it is current from then on, and hospitals may pull it and predict with it."""
    coordinator.check_home(home())  # before anybody types a passphrase
    coordinator.approve(home(), version, ask_passphrase())
    print_line(f"{version} is approved and signed. Hospitals get it by `fl-client models pull`.")


@app.command()
def retire(version: VersionName) -> None:
    """Withdraw a model version: nobody loads it any more."""
    coordinator.check_home(home())
    coordinator.retire(home(), version, ask_passphrase())
    print_line(f"{version} is retired.")


def print_line(text: str) -> None:
    """Print a sentence without wrapping it: names and fingerprints are copied from it."""
    Console(soft_wrap=True, highlight=False).print(text)


def main() -> None:
    """Run `fl-server`."""
    run_command_line(app)
