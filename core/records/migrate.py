"""Bring a database's tables up to this release, by the migrations in core/records/migrations.

Alembic is loaded only where there is something to do. In a deployment the program's account may not change tables: the
owner's does, by `fl-web upgrade-database`, and the program starts where there is nothing left to do.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import OperationalError

from core.errors import RecordsError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0006"
# A table that is there for as long as a backup is being loaded: nobody takes the others for whole.
RESTORING = "restoring"
_WAIT_S = 120
# MySQL's and MariaDB's numbers for a statement on a database or a table that this account has no right to.
_DENIED = {1044, 1142}


def migrate(engine: Engine) -> None:
    """Bring the tables up to this release; processes that do so at once wait for one another.

    Raises: RecordsError: a newer release has made them, or this account may not change them.
    """
    found = revision_of(engine)
    if found == HEAD:
        return
    if found == RESTORING:
        raise RecordsError(
            f"A backup is being restored into the database {engine.url.database}, or was and did not come to its end",
            fix="wait for it; where it was ended in the middle, restore again, which begins anew",
        )
    from alembic import command
    from alembic.util import CommandError

    try:
        with locked(engine) as connection:
            command.upgrade(settings_of(connection), HEAD)
    except CommandError:
        raise RecordsError(
            f"The database {engine.url.database} is not of this release", fix="install the release that last used it"
        ) from None
    except OperationalError as error:
        if error.orig is None or error.orig.args[0] not in _DENIED:
            raise
        state = f"are of revision {found}, this release needs {HEAD}," if found else "are not there yet"
        raise RecordsError(
            f"The tables of the database {engine.url.database} {state} and this account may not change them",
            fix="stop the programs, run fl-web upgrade-database with the owner's account, and start them again",
        ) from None


def settings_of(connection: Connection) -> "Config":
    """Return Alembic's settings for our migrations over this connection."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", "core.records:migrations")
    settings.attributes["connection"] = connection
    return settings


@contextmanager
def locked(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction which is the only one that changes tables while the block runs."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":  # BEGIN IMMEDIATE is the lock
            with connection.begin():
                yield connection
            return
        # A statement that changes tables commits, so the lock must not be the transaction's. Its name is the server's.
        name = "gliofed-" + hashlib.sha256(str(engine.url.database).encode()).hexdigest()[:32]
        if not connection.scalar(text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": _WAIT_S}):
            raise RecordsError(
                "Another process has been changing the database's tables for two minutes", fix="wait for it, then retry"
            )
        connection.commit()  # who waited must see what was done meanwhile
        try:
            with connection.begin():
                yield connection
        finally:  # not before the commit: whoever comes next must find the version noted
            connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": name})
            connection.commit()


def revision_of(engine: Engine) -> str:
    """Return the revision of a database's tables, "" where there are none, RESTORING where they are not whole."""
    with engine.connect().execution_options(reads_only=True) as connection:
        found = inspect(connection)
        if found.has_table(RESTORING):
            return RESTORING
        if not found.has_table("alembic_version"):
            return ""
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")) or "")
