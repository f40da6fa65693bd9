"""What migrations make tables of; each piece is passed over where an interrupted migration has made it already.

MySQL and MariaDB commit after every statement that changes a table. What a migration that has landed makes through this
must stay what it was.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op


def text_column(name: str, length: int, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    """Return a column of text of at most so many characters."""
    return sa.Column(name, sa.String(length), nullable=nullable, primary_key=primary_key)


def make_table(name: str, *parts: sa.schema.SchemaItem) -> None:
    """Make a table, compared byte by byte on every database."""
    op.create_table(
        name,
        *parts,
        sa.PrimaryKeyConstraint(name=f"pk_{name}"),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )


def make_index(table: str, columns: Iterable[str], *, unique: bool = False) -> None:
    """Make an index, named after its table and columns."""
    columns = list(columns)
    name = f"ix_{table}_{'_'.join(columns)}"
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns, unique=unique)
