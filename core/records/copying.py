"""All rows of a database out of it, and into an empty one, whichever kind of database either of them is.

What is loaded must not be taken for whole before it was checked: until it is released, the database says that it is
being restored, and `open_database` refuses it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Select,
    Table,
    column,
    delete,
    insert,
    inspect,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable, DropTable

from core.errors import RecordsError
from core.records.db import connect, unlogged
from core.records.migrate import HEAD, RESTORING, locked, revision_of, settings_of
from core.records.tables import AuditHead, Base

# As the databases' own drivers give it: JSON is text, truth is a number.
Value = str | bytes | int | float | None

_PAGE = 1000
_VERSION = "alembic_version"
_MARK = Table(RESTORING, MetaData(), Column("id", Integer))


@dataclass(frozen=True)
class Page:
    """Some rows of a table, in no particular order.

    Attributes:
        table, columns: their names.
        rows: values in the order of the columns; the last page of a table may have none.
    """

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Value]]


def pages_out(session: Session) -> Iterator[Page]:
    """Yield all rows of all tables; a table comes after those that it refers to, and with at least one page.

    Args:
        session: of core.records.db.reading, which sees one state of the database.
    """
    connection = session.connection()
    for one in _found(connection).sorted_tables:
        if one.name == _VERSION:
            continue
        columns = tuple(str(each.name) for each in one.columns)
        query: Select[Any] = select(table(one.name, *(column(name) for name in columns)))
        rows = connection.execute(query, execution_options={"stream_results": True, "yield_per": _PAGE})
        yield Page(one.name, columns, ())
        for page in rows.partitions():
            yield Page(one.name, columns, [tuple(row) for row in page])


@dataclass
class Refilled:
    """A database that rows are being loaded into.

    Attributes:
        engine: reads and writes it, which nobody else can open yet.
        released: whether it is whole.
    """

    engine: Engine
    released: bool = False

    def load(self, page: Page) -> None:
        """Put rows into their table."""
        if page.rows:
            into = insert(table(page.table, *(column(name) for name in page.columns)))
            rows = [dict(zip(page.columns, row, strict=True)) for row in page.rows]
            with unlogged(self.engine) as session:
                session.connection().execute(into, rows)

    def bring_up(self) -> None:
        """Bring the tables up to this release."""
        _upgrade(self.engine, HEAD)

    def release(self) -> None:
        """Say that everything is there: from now on the database can be opened."""
        with self.engine.begin() as connection:
            connection.execute(DropTable(_MARK))
        self.released = True


@contextmanager
def refilling(url: str, revision: str) -> Iterator[Refilled]:
    """Yield an empty database with a revision's tables; unless the block releases it, it is emptied again.

    Args:
        url: of a database without tables or without rows, or one whose restore was ended in the middle.
        revision: of the tables that rows will be loaded into.
    Raises: RecordsError: it holds something, or cannot be used.
    """
    path = _file_of(url)
    is_new = path is not None and not path.exists()
    refilled = Refilled(connect(url))
    try:
        _demand_empty(refilled.engine)
        with refilled.engine.begin() as connection:
            connection.execute(CreateTable(_MARK, if_not_exists=True))
        try:
            _drop_tables(refilled.engine)
            _upgrade(refilled.engine, revision)
            with unlogged(refilled.engine) as session:  # what the migrations have put there
                for one in reversed(_found(session.connection()).sorted_tables):
                    if one.name != _VERSION:
                        session.execute(delete(one))
            yield refilled
        finally:
            if not refilled.released:
                _drop_tables(refilled.engine)
                with refilled.engine.begin() as connection:
                    connection.execute(DropTable(_MARK))
    finally:
        refilled.engine.dispose()
        if path is not None and is_new and not refilled.released:
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)


def is_restoring(url: str) -> bool:
    """Say whether a restore into this database has begun and was not ended."""
    path = _file_of(url)
    if path is not None and not path.exists():
        return False
    engine = connect(url)
    try:
        return revision_of(engine) == RESTORING
    finally:
        engine.dispose()


def _demand_empty(engine: Engine) -> None:
    """Check that nothing can be lost in a database.

    Raises: RecordsError: it has rows, or tables that are not ours.
    """
    if revision_of(engine) == RESTORING:
        return
    with engine.connect().execution_options(reads_only=True) as connection:
        names = set(inspect(connection).get_table_names()) - {_VERSION}
        strange = names - Base.metadata.tables.keys()
        filled = [one for one in names - strange if one != AuditHead.__tablename__ and _has_rows(connection, one)]
    if strange or filled:
        raise RecordsError(
            f"The database {engine.url.database} is not empty: it has {', '.join(sorted([*strange, *filled])[:3])}",
            fix="name an empty one; what is there is not touched",
        )


def _has_rows(connection: Connection, name: str) -> bool:
    return connection.execute(select(text("1")).select_from(table(name)).limit(1)).first() is not None


def _found(connection: Connection) -> MetaData:
    """Return the tables that are there, but for the mark."""
    found = MetaData()
    found.reflect(connection, only=[name for name in inspect(connection).get_table_names() if name != RESTORING])
    return found


def _drop_tables(engine: Engine) -> None:
    with locked(engine) as connection:
        _found(connection).drop_all(connection)


def _upgrade(engine: Engine, revision: str) -> None:
    from alembic import command

    with locked(engine) as connection:
        command.upgrade(settings_of(connection), revision)


def _file_of(url: str) -> Path | None:
    parsed = make_url(url)
    return Path(parsed.database or "").absolute() if parsed.get_backend_name() == "sqlite" else None
