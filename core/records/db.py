"""A side's database: SQLite in its own home by default, MySQL or MariaDB by URL.

One transaction writes at a time, on every database: SQLite takes its write lock, MySQL and MariaDB lock the row of the
audit log's head, both at the transaction's beginning. Two processes then wait for one another instead of failing
half-way, and what a transaction has read stays true until it commits. It must therefore be short: no network within.
"""

import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from core.errors import RecordsError
from core.files import private_folder
from core.records.home import home
from core.records.migrate import migrate, revision_of
from core.records.tables import AuditHead

WAIT_S = 30

_OPTIONS = {"ssl_ca", "ssl_cert", "ssl_key", "unix_socket"}
# What MySQL and MariaDB number, by what the reader can do about it.
_ACCOUNT = "check the account, its password and its rights on this database; deploy/mariadb/accounts.sh gives them"
_FIXES = {
    1044: _ACCOUNT,
    1045: _ACCOUNT,
    1142: _ACCOUNT,
    1049: "make the database: CREATE DATABASE name CHARACTER SET utf8mb4",
    1205: "try again; another process held the database for too long",
    1419: "set log_bin_trust_function_creators=1 on the server, which keeps a binary log, so that triggers can be made",
}


def default_url() -> str:
    """Return where a side keeps its records unless its settings say otherwise."""
    return f"sqlite:///{home() / 'records.db'}"


def open_database(url: str) -> Engine:
    """Connect to a side's database and bring its tables up to this release.

    Args:
        url: SQLAlchemy's; `sqlite:///path` or `mysql+pymysql://user:password@host/name`. With `?ssl_ca=FILE` it
            connects over TLS only, and to that authority's server only; `?unix_socket=FILE` needs no network.
    Raises: RecordsError: it cannot be reached or used; account and password are never repeated.
    """
    return _opened(url, migrate)


def connect(url: str) -> Engine:
    """Connect to a side's database as it is, without bringing its tables up.

    Raises: RecordsError: as `open_database`.
    """
    return _opened(url, revision_of)


def _opened(url: str, ready: Callable[[Engine], object]) -> Engine:
    parsed = _parsed(url)
    try:
        with _explained(parsed):
            engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _mysql(parsed)
            ready(engine)
    except OSError as error:  # its folder, or the files of its TLS options
        raise _unusable(parsed, type(error).__name__) from None
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """Yield a session whose changes are all there when the block ends, or none of them after an error.

    Raises: RecordsError: the database cannot be reached, or another process has kept it for 30 seconds.
    """
    with _explained(engine.url), Session(engine, expire_on_commit=False) as session, session.begin():
        if engine.dialect.name != "sqlite":  # there, BEGIN IMMEDIATE has locked everything
            session.execute(select(AuditHead.seq).with_for_update())
        yield session


@contextmanager
def unlogged(engine: Engine) -> Iterator[Session]:
    """Yield a session for changes that no event tells of, such as a lease; others may write at the same time.

    Raises: RecordsError: the database cannot be reached.
    """
    with _explained(engine.url), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Yield a session that sees one state of the database and can change nothing.

    Raises: RecordsError: the database cannot be reached.
    """
    with _explained(engine.url), Session(engine.execution_options(reads_only=True), expire_on_commit=False) as session:
        yield session


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        backend = ""
    unknown = set(parsed.query) - _OPTIONS if backend in {"mysql", "mariadb"} else set()
    if unknown:
        raise RecordsError(
            f"The database's address has unknown options: {', '.join(sorted(unknown))}",
            fix=f"use none but {', '.join(sorted(_OPTIONS))}",
        )
    if backend not in {"sqlite", "mysql", "mariadb"} or not parsed.database or parsed.database == ":memory:":
        raise RecordsError(
            "The database's address is not one that can be used",
            fix="write sqlite:///path or mysql+pymysql://user:password@host/name",
        )
    return parsed if backend == "sqlite" else parsed.set(drivername="mysql+pymysql")


@contextmanager
def _explained(url: URL) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        # DatabaseError itself: the file is damaged or no database. The other kinds are bugs, or for the caller.
        if not isinstance(error, OperationalError) and type(error) is not DatabaseError:
            raise
        number = next(iter(getattr(error.orig, "args", ())), None)
        cause = getattr(error.orig, "sqlite_errorname", type(error.orig).__name__)
        raise _unusable(url, cause, number if isinstance(number, int) else None) from None


def _unusable(url: URL, cause: str, number: int | None = None) -> RecordsError:
    server = url.query.get("unix_socket") or (f"{url.host}:{url.port or 3306}" if url.host else "")
    where = f"{url.database} at {server}" if server else url.database
    return RecordsError(
        f"The database {where} cannot be used ({cause}{f' {number}' if number else ''})",
        fix=_FIXES.get(number or 0, "check that it runs, has room, and may be used by this account"),
    )


def _sqlite(url: URL) -> Engine:
    path = Path(url.database or "").absolute()
    _make_file(path)
    engine = create_engine(url, connect_args={"timeout": WAIT_S})

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # our own BEGIN below, not the driver's late one
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA secure_delete=ON")  # what was erased does not stay in the file's free pages
        connection.execute("PRAGMA recursive_triggers=ON")  # else REPLACE deletes without asking the audit's trigger

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        reads_only = connection.get_execution_options().get("reads_only", False)
        connection.exec_driver_sql(f"PRAGMA query_only={reads_only:d}")
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine


def _make_file(path: Path) -> None:
    """Make an empty database that only this account may read, unless there is one.

    It gets its name when it writes ahead already: SQLite fails where two processes switch a file to that at once.
    """
    private_folder(path.parent)
    if path.exists():  # and is not opened here, since closing it would drop the locks this process has on it
        return
    new = path.with_name(f".{secrets.token_hex(4)}.partial")
    try:
        os.close(os.open(new, os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(new)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        with suppress(FileExistsError):
            path.hardlink_to(new)
    finally:
        new.unlink(missing_ok=True)


def _mysql(url: URL) -> Engine:
    # READ COMMITTED: what is read after waiting for the head's row is what the transaction before has written.
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_recycle=3600,
        isolation_level="READ COMMITTED",
        connect_args={
            "charset": "utf8mb4",
            "sql_mode": "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION",
            "init_command": f"SET SESSION innodb_lock_wait_timeout={WAIT_S}",
        },
    )

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reads_only"):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    return engine
