"""`fl-web`: the web predictor's server, as hospital IT runs it."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import ConfigError
from core.files import private_folder
from core.progress import bars
from core.terminal import run
from webapp import cli_keeping

app = typer.Typer(
    help=(
        "The web predictor: clinicians upload a patient's MRI and get an estimate that says how sure it is. Everything "
        "is written under --data; settings are in DATA/web.toml."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in cli_keeping.COMMANDS:
    app.command()(command)
Data = Annotated[Path, typer.Option("--data", help="The server's folder.")]


@app.command("run")
def run_(
    data: Data,
    port: Annotated[int, typer.Option("--port", help="On 127.0.0.1, with HTTPS.")] = 8443,
    socket: Annotated[str, typer.Option("--socket", help="A Unix socket for Nginx, instead of a port.")] = "",
) -> None:
    """Serve, with a worker beside, until stopped; nothing else need be installed.

    Without web.toml: SQLite, and a certificate of its own under DATA/tls. The model is the one that lies approved in
    $FL_HOME, as `fl-client models pull` brings it.

    Example: fl-web run --data /srv/gliofed-web --port 8443
    """
    from core.records.db import open_database
    from core.supervision import Supervisor
    from webapp.erasure import erase_again
    from webapp.serving import load_web, processes_of

    private_folder(data)
    config = load_web(data)
    private_folder(config.files)
    erase_again(open_database(config.database_url), config)  # before anybody is served
    processes = processes_of(config, port, socket=socket)
    where = f"the socket {socket}" if socket else f"https://127.0.0.1:{port}/"
    typer.echo(f"Serving at {where}; logs are in {config.data / 'logs'}. The first user: fl-web create-user")
    Supervisor(config.data, processes).run()


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


@app.command("create-user")
def create_user(
    name: Annotated[str, typer.Argument(help="Small letters, digits, dots, dashes.")],
    role: Annotated[str, typer.Option("--role", help="clinician, auditor, coordinator or administrator.")],
    data: Data,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Make a user. The password is asked for, or read from standard input; the second factor is shown once.

    Example: fl-web create-user anna --role administrator --data /srv/gliofed-web
    """
    from core.records.db import open_database
    from webapp import accounts
    from webapp.serving import load_web
    from webapp.vault import Vault

    config = load_web(private_folder(data))
    accounts.check_new_user(name, role)
    password = _password()
    engine, vault = open_database(config.database_url), Vault(config.keys_path)
    made = accounts.create_user(engine, vault, name, role, password, by="service")
    if as_json:
        typer.echo(json.dumps({"name": made.name, "role": role, "totp_uri": made.totp_uri}))
        return
    typer.echo(f"{name} may sign in as {role}. Add this to an authenticator app now; it is not shown again:")
    typer.echo(made.totp_uri)


@app.command("verify-audit")
def verify_audit(data: Data) -> None:
    """Check every event of the log: against its chain, its signed heads, and what the pages show of it.

    The first event that was changed, removed, inserted or moved is named, and the exit code is 11.

    Example: fl-web verify-audit --data /srv/gliofed-web
    """
    from core.records.db import open_database
    from webapp import log
    from webapp.checkpoints import head_signer
    from webapp.serving import load_web

    config = load_web(data)
    signer = head_signer(config)
    with bars() as report:
        verified = log.verify(open_database(config.database_url), signer.checkpoints, signer.public, report)
    typer.echo(f"Intact: {verified.events} events, {verified.checkpoints} signed heads, the last is {verified.head}.")


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise ConfigError("No password was given", fix="type it, or send it on standard input")
    return password


def main() -> None:
    """Run the command line."""
    run(app)


if __name__ == "__main__":
    main()
