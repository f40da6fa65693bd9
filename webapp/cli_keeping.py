"""The commands that keep a server's state: keys, backups, restores and their drill, tables."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import ConfigError
from core.files import private_folder
from core.progress import bars

Data = Annotated[Path, typer.Option("--data", help="The server's folder.")]


def rotate_keys(data: Data) -> None:
    """Seal all patient data in the database with a new key and remove the old one, while the server serves.

    Where it was ended in the middle, the next one goes on. Then export the keys anew and make a backup: those from
    before need the export from before.

    Example: fl-web rotate-keys --data /srv/gliofed-web
    """
    from core.records.db import open_database
    from webapp.rotation import rotate
    from webapp.serving import load_web

    config = load_web(data)
    with bars() as report:
        done = rotate(open_database(config.database_url), config.keys_path, report)
    how = "went on with a rotation that had been ended in the middle" if done.resumed else "made a new key"
    typer.echo(f"Rotated ({how}): {done.values} values were sealed anew, all with key {done.newest} now.")
    typer.echo("Next: fl-web export-keys, then fl-web backup. Older backups need the older export.")


def export_keys(file: Annotated[Path, typer.Argument(help="The new file.")], data: Data) -> None:
    """Write the server's keys into a file for the safe, encrypted under a passphrase; no backup holds them.

    The passphrase is asked for, or read from standard input. File and passphrase belong apart from the backups, and
    apart from one another.

    Example: fl-web export-keys /media/usb/web-2026-11.keys --data /srv/gliofed-web
    """
    from webapp.checkpoints import head_signer
    from webapp.key_export import export_keys as export
    from webapp.rotation import keys_held
    from webapp.serving import load_web
    from webapp.vault import read_keys

    config = load_web(data)
    read_keys(config.keys_path)  # before anybody types a passphrase
    with keys_held(config.keys_path):
        head_signer(config)
        export(config.keys_path, file, _passphrase(new=True))
    typer.echo(f"All keys of this server are in {file}, and it opens with the passphrase: it was tried.")


def import_keys(file: Annotated[Path, typer.Argument(help="What export-keys wrote.")], data: Data) -> None:
    """Put exported keys where a server looks for them, before a restore; keys that are there stay beside them.

    Example: fl-web import-keys /media/usb/web-2026-11.keys --data /srv/gliofed-web
    """
    from webapp.key_export import import_keys as bring
    from webapp.key_export import read_export
    from webapp.rotation import keys_held
    from webapp.serving import settings_in

    keys = settings_in(private_folder(data.expanduser().absolute())).keys_path
    found = read_export(file, _passphrase(new=False))
    private_folder(keys.parent)
    with keys_held(keys):
        bring(keys, found)
    typer.echo(f"The keys are in {keys.parent}. Next: fl-web restore BACKUP --data {data}")


def backup(to: Annotated[Path, typer.Option("--to", help="The new file.")], data: Data) -> None:
    """Write the whole state of a server, which may be running, into one encrypted file; its keys are not in it.

    Database, scans and results, settings, certificates and signed heads. It is read again before it gets its name. Its
    key is DATA/keys/backup.key, which export-keys takes along.

    Example: fl-web backup --data /srv/gliofed-web --to /mnt/backups/web-$(date +%F).backup
    """
    from webapp.backup import make_backup
    from webapp.key_export import is_exported
    from webapp.serving import load_web

    config = load_web(data)
    with bars() as report:
        about, counts = make_backup(config, to, report)
    size = to.stat().st_size / 1e6
    typer.echo(f"Written and read again: {to}, {size:.1f} MB, {sum(counts.rows.values())} rows, {counts.files} files.")
    typer.echo(f"It holds the log up to event {about.events}{_of(about.last_event_at)}.")
    if not is_exported(config.keys_path):
        typer.echo("Warning: these keys were never exported, and without them it opens for nobody: fl-web export-keys")


def restore(
    file: Annotated[Path, typer.Argument(help="What `fl-web backup` wrote.")],
    data: Data,
    heads: Annotated[
        Path | None, typer.Option("--heads", help="The lost server's audit/checkpoints.jsonl, if it is still there.")
    ] = None,
    drill: Annotated[bool, typer.Option("--drill", help="Only try it, elsewhere, and throw it away.")] = False,
    database: Annotated[
        str, typer.Option("--database", envvar="FL_DRILL_DATABASE", help="URL of an empty database, for a drill.")
    ] = "",
) -> None:
    """Restore a backup into an empty folder, which holds the keys, and an empty database; or see that it could be.

    A web.toml in the folder goes before the backup's, FL_SITE__DATABASE before both. The log is checked against its
    chain and its signed heads, everything sealed is opened, and whoever was erased since is erased again, before
    anybody is served. A drill's exit code is 0 where the backup can be relied on.

    Example: fl-web restore /mnt/backups/web-2026-11-27.backup --data /srv/gliofed-web --drill
    """
    from webapp.restore import drill as try_it
    from webapp.restore import restore as bring_back

    if database and not drill:
        raise ConfigError(
            "--database is for a drill", fix="name the database in DATA/web.toml ([site] database) or FL_SITE__DATABASE"
        )
    with bars() as report:
        done = try_it(file, data, database, report) if drill else bring_back(file, data, heads, report)
    about = done.about
    typer.echo(
        f"{'The backup can be relied on' if drill else 'Restored'}: made at {about.made_at} by {about.release}, "
        f"{about.events} events{_of(about.last_event_at)}, {done.predictions} predictions, {done.patients} patients."
    )
    typer.echo(
        f"The log is intact and agrees with {done.checkpoints} signed heads; {done.readable.values} sealed values and "
        f"{done.readable.files} files were read; {done.erased} patients were erased again."
    )
    if done.lost:
        typer.echo(f"{done.lost} events after it, which the lost server had signed, are not in it; the log says so.")
    if not drill:
        typer.echo(f"Next: fl-client models pull, fl-web run --data {data}. What came after {about.made_at} is lost.")


def upgrade_database(
    database: Annotated[
        str, typer.Option("--database", envvar="FL_OWNER_DATABASE", help="URL, of the account that owns the tables.")
    ],
) -> None:
    """Make the tables of any side's database, or bring them up to this release, with the account that may.

    For MariaDB or MySQL, where the account that programs run with may not; elsewhere they do it by themselves. It needs
    no folder. A URL with a password belongs into FL_OWNER_DATABASE, since everybody can read a command line.

    Example: fl-web upgrade-database --database 'mysql+pymysql://gliofed-owner@localhost/gliofed?unix_socket=FILE'
    """
    from core.records.db import open_database
    from core.records.migrate import HEAD

    engine = open_database(database)
    typer.echo(f"The tables of {engine.url.database} are of revision {HEAD}, which this release needs.")
    engine.dispose()


def accept_restore(data: Data) -> None:
    """After the database alone was restored to an earlier moment: go on from there, with the log saying so.

    With the server stopped. The log must be whole and agree with every signed head up to its end. Heads of events that
    are lost are moved to a file beside the others, and the event `backup.restored` keeps how many there were.

    Example: fl-web accept-restore --data /srv/gliofed-web
    """
    from webapp.rewound import accept
    from webapp.serving import load_web

    config = load_web(data)
    with bars() as report:
        done = accept(config, report)
    typer.echo(f"The log is intact up to event {done.events} and agrees with {done.checkpoints} signed heads.")
    if done.aside:
        typer.echo(f"{done.lost} events after it had been signed and are lost; their heads are kept in {done.aside}.")


COMMANDS = (rotate_keys, export_keys, import_keys, backup, restore, upgrade_database, accept_restore)


def _of(at: str) -> str:
    return f", of {at}" if at else ""


def _passphrase(*, new: bool) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Passphrase of the exported keys", hide_input=True, confirmation_prompt=new))
    passphrase = sys.stdin.readline().rstrip("\n")
    if not passphrase:
        raise ConfigError("No passphrase was given", fix="type it, or send it on standard input")
    return passphrase
