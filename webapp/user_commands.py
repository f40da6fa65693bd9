"""`fl-web create-user`, `users`, `reset-user`, `disable-user`, `enable-user`: accounts, from the machine itself.

They need no sign-in, so that an administrator who is locked out gets in again; the log tells of them as of `console`.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import ConfigError
from core.files import private_folder

app = typer.Typer()
Data = Annotated[Path, typer.Option("--data", help="The server's folder.")]
Name = Annotated[str, typer.Argument(help="The user's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command("create-user")
def create_user(
    name: Annotated[str, typer.Argument(help="Small letters, digits, dots, dashes.")],
    role: Annotated[str, typer.Option("--role", help="clinician, auditor, coordinator or administrator.")],
    data: Data,
    as_json: AsJson = False,
) -> None:
    """Make a user. The password is asked for, or read from standard input; the second factor is shown once.

    Example: fl-web create-user anna --role administrator --data /srv/gliofed-web
    """
    from core.records.db import open_database
    from webapp import accounts
    from webapp.journal import CONSOLE
    from webapp.serving import load_web
    from webapp.vault import Vault

    config = load_web(private_folder(data))
    accounts.check_new_user(name, role)
    password = _password()
    engine, vault = open_database(config.database_url), Vault(config.keys_path)
    made = accounts.create_user(engine, vault, name, role, password, by=CONSOLE)
    if as_json:
        typer.echo(json.dumps({"name": made.name, "role": role, "totp_uri": made.totp_uri}))
        return
    typer.echo(f"{name} may sign in as {role}.")
    _show(made.totp_uri)


@app.command()
def users(data: Data, as_json: AsJson = False) -> None:
    """List who may sign in, as what, and who is locked or disabled.

    Example: fl-web users --data /srv/gliofed-web
    """
    from sqlalchemy import select

    from core.records.db import open_database, reading
    from core.records.web_tables import User
    from webapp.resources.users import told
    from webapp.serving import load_web

    config = load_web(data)
    with reading(open_database(config.database_url)) as session:
        rows = [told(row) for row in session.scalars(select(User).order_by(User.name))]
    if as_json:
        typer.echo(json.dumps({"users": rows}))
        return
    for row in rows:
        state = "disabled" if row["disabled"] else "locked" if row["locked"] else "active"
        typer.echo(f"{row['name']:<24} {row['role']:<14} {state:<9} {row['signs_in_with']}")
    if not rows:
        typer.echo("Nobody yet: fl-web create-user")


@app.command("reset-user")
def reset_user(
    name: Name,
    data: Data,
    password: Annotated[bool, typer.Option("--password", help="Another password, asked for.")] = False,
    second_factor: Annotated[bool, typer.Option("--second-factor", help="Another second factor.")] = False,
    as_json: AsJson = False,
) -> None:
    """Unlock a user; with an option, give another password or second factor, which ends sessions and tokens.

    Example: fl-web reset-user anna --second-factor --data /srv/gliofed-web
    """
    change: dict[str, object] = {"unlock": True, "renew_second_factor": second_factor}
    if password:
        change["password"] = _password()
    uri = _change(data, name, change)
    if as_json:
        typer.echo(json.dumps({"name": name, **({"totp_uri": uri} if uri else {})}))
        return
    typer.echo(f"{name} is not locked" + (", and has another password." if password else "."))
    if uri:
        _show(uri)


@app.command("disable-user")
def disable_user(name: Name, data: Data) -> None:
    """Let a user sign in no more; sessions and tokens end at once, predictions and the log stay.

    Example: fl-web disable-user anna --data /srv/gliofed-web
    """
    _change(data, name, {"disabled": True})
    typer.echo(f"{name} cannot sign in any more.")


@app.command("enable-user")
def enable_user(name: Name, data: Data) -> None:
    """Let a disabled user sign in again.

    Example: fl-web enable-user anna --data /srv/gliofed-web
    """
    _change(data, name, {"disabled": False})
    typer.echo(f"{name} can sign in again.")


def _change(data: Path, name: str, change: dict[str, object]) -> str:
    from core.records.db import open_database
    from webapp.accounts import Change, change_user
    from webapp.journal import CONSOLE
    from webapp.serving import load_web
    from webapp.vault import Vault

    config = load_web(data)
    made = Change(**change)  # type: ignore[arg-type]
    return change_user(open_database(config.database_url), Vault(config.keys_path), name, made, by=CONSOLE)


def _show(uri: str) -> None:
    """Show what an authenticator app takes the second factor from: to a person as a picture that it can read."""
    typer.echo("Add this to an authenticator app now; it is not shown again:")
    if sys.stdout.isatty():
        import segno

        segno.make(uri, error="l").terminal(compact=True)
    typer.echo(uri)


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise ConfigError("No password was given", fix="type it, or send it on standard input")
    return password
