"""`fl-web`: the web predictor's server, as hospital IT runs it."""

from pathlib import Path
from typing import Annotated

import typer

from core.files import private_folder
from core.progress import bars
from core.terminal import run
from webapp import cli_keeping, user_commands

app = typer.Typer(
    help=(
        "The web predictor: clinicians upload a patient's MRI and get an estimate that says how sure it is. Everything "
        "is written under --data; settings are in DATA/web.toml."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(user_commands.app)
for command in cli_keeping.COMMANDS:
    app.command()(command)
Data = Annotated[Path, typer.Option("--data", help="The server's folder.")]


@app.command("run")
def run_(
    data: Data,
    port: Annotated[int, typer.Option("--port", help="On 127.0.0.1, with HTTPS.")] = 8443,
    socket: Annotated[
        Path | None, typer.Option("--socket", help="For Nginx: a Unix socket, instead of a port.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Of one of several servers on one folder: web-2, say.")] = "",
) -> None:
    """Serve, with a worker beside, until stopped; nothing else need be installed.

    Without web.toml: SQLite, and a certificate of its own under DATA/tls. The model is the one that lies approved in
    $FL_HOME, as `fl-client models pull` brings it. SIGHUP makes it read web.toml anew without cutting a request off.
    Several may serve one folder and database, each at a socket and under a name of its own, as back ends of one Nginx;
    their logs are in DATA/servers/NAME/logs.

    Example: fl-web run --data /srv/gliofed-web --port 8443
    """
    from core.records.db import open_database
    from core.supervision import Supervisor
    from webapp.erasure import erase_again
    from webapp.serving import listen, load_web, place_of, processes_of

    private_folder(data)
    config = load_web(data)
    place = private_folder(place_of(config.data, name))
    private_folder(config.files)
    erase_again(open_database(config.database_url), config)  # before anybody is served
    listener = listen(socket) if socket else None
    processes = processes_of(config, port, listener, name)
    where = f"the socket {socket}" if socket else f"https://127.0.0.1:{port}/"
    typer.echo(f"Serving at {where}; logs are in {place / 'logs'}. The first user: fl-web create-user")
    Supervisor(place, processes).run()


@app.command()
def worker(data: Data) -> None:
    """Work off predictions, on a further machine that has the same database and the same DATA folder.

    Example: fl-web worker --data /srv/gliofed-web
    """
    import os

    from webapp.serving import DATA
    from webapp.worker_process import work

    os.environ[DATA] = str(data)
    work()


@app.command("verify-audit")
def verify_audit(data: Data) -> None:
    """Check every event of the log: against its chain, its signed heads, and what the pages show of it.

    The first event that was changed, removed, inserted or moved is named, and the exit code is 11. From then on
    /metrics tells when that was, and whether the log was intact.

    Example: fl-web verify-audit --data /srv/gliofed-web
    """
    from core.records.db import open_database
    from webapp.serving import load_web
    from webapp.verification import verify_whole

    config = load_web(data)
    with bars() as report:
        verified = verify_whole(open_database(config.database_url), config, report)
    typer.echo(f"Intact: {verified.events} events, {verified.checkpoints} signed heads, the last is {verified.head}.")


def main() -> None:
    """Run the command line."""
    run(app)


if __name__ == "__main__":
    main()
