"""What somebody wishes of a model version, who it is, and why the last wish was not fulfilled.

MySQL and MariaDB commit after every statement here: what an interrupted migration has made already is passed over.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = (("wish", 20), ("wished_by", 100), ("cause", 500))


def upgrade() -> None:
    """Add the columns."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("versions")}
    for name, length in COLUMNS:
        if name not in there:
            op.add_column("versions", sa.Column(name, sa.String(length), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for name, _ in COLUMNS:
        op.drop_column("versions", name)
