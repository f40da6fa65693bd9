"""The web application's way to its database: it reads through `looking`, and writes through `writing`.

What is read through `looking` cannot be written, so nothing changes without the transaction that holds its audit
event.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.records.db import open_database, transaction
from core.records.tables import Base

_READ_ONLY = {"reads_only": True}


class Database(SQLAlchemy):
    """Flask-SQLAlchemy over a side's database, with the engine that every side has."""

    def _make_engine(self, bind_key: str | None, options: dict[str, object], app: Flask) -> Engine:
        engine: Engine = app.extensions["gliofed-engine"]
        return engine.execution_options(**_READ_ONLY)

    def _teardown_session(self, exc: BaseException | None) -> None:
        try:
            super()._teardown_session(exc)
        except SQLAlchemyError:  # the connection has died; the answer is made, and another request gets another session
            self.session.registry.clear()


db = Database(model_class=Base)


def connect(app: Flask, url: str) -> None:
    """Give an application its database, brought up to this release.

    Raises: RecordsError: it cannot be used.
    """
    app.extensions["gliofed-engine"] = open_database(url)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    db.init_app(app)


def looking() -> Session:
    """Return the session that a request reads with; Flask-SQLAlchemy ends it with the request."""
    return db.session()


def writing_engine() -> Engine:
    """Return the engine that may write."""
    engine: Engine = current_app.extensions["gliofed-engine"]
    return engine


@contextmanager
def writing() -> Iterator[Session]:
    """Yield a session whose changes, audit events included, are all there when the block ends, or none.

    What `looking` has read before is forgotten, so that a request sees what it has written.

    Raises: RecordsError: the database cannot be reached.
    """
    db.session.rollback()
    with transaction(writing_engine()) as session:
        yield session
