"""Every column of the database that holds sealed values: where a key is looked for, and what it must open."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Engine, LargeBinary, Table, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute

from core.records.db import reading
from core.records.web_tables import Feedback, Patient, Prediction, User


@dataclass(frozen=True)
class SealedColumn:
    """A column of sealed values.

    Attributes:
        key: its table's primary key.
        column: the values.
        place: what they are bound to, before the row's key.
    """

    key: InstrumentedAttribute[Any]
    column: InstrumentedAttribute[Any]
    place: str

    @property
    def table(self) -> Table:
        """Where it is."""
        return cast("Table", self.column.parent.local_table)

    def place_of(self, key: object) -> str:
        """Return what the value of a row is bound to."""
        return f"{self.place}/{key}"

    def is_of(self, number: int) -> ColumnElement[bool]:
        """Return the condition that a value is sealed with this key."""
        prefix = func.substr(self.column, 1, 4, type_=LargeBinary())
        return prefix == literal(number.to_bytes(4, "big"), LargeBinary())

    def pages(
        self, engine: Engine, *conditions: ColumnElement[bool], size: int = 1000
    ) -> Iterator[list[tuple[Any, bytes]]]:
        """Yield all rows' keys and values, some at a time, each page as it is when it is read.

        Args:
            engine: the database.
            conditions: leave out the rows that they are not true for.
            size: rows of a page.
        """
        after: object = None
        while True:
            query = select(self.key, self.column).where(self.column.is_not(None), *conditions)
            query = query.where(self.key > after) if after is not None else query
            with reading(engine) as session:
                rows = [(key, value) for key, value in session.execute(query.order_by(self.key).limit(size))]
            if not rows:
                return
            yield rows
            after = rows[-1][0]


SEALED = (
    SealedColumn(User.name, User.totp_sealed, "users.totp"),
    SealedColumn(Patient.id, Patient.identity_sealed, "patients.identity"),
    SealedColumn(Prediction.id, Prediction.file_key_sealed, "predictions.file_key"),
    SealedColumn(Prediction.id, Prediction.draft_sealed, "predictions.draft"),
    SealedColumn(Prediction.id, Prediction.result_sealed, "predictions.result"),
    SealedColumn(Feedback.seq, Feedback.comment_sealed, "feedback.comment"),
)
