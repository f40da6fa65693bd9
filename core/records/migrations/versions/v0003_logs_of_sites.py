"""How far each site's own audit log was when it was last heard of, and when it was found to have lost events.

MySQL and MariaDB commit after every statement here: what an interrupted migration has made already is passed over.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

COLUMNS = (("log_events", sa.BigInteger), ("log_head", sa.String(64)), ("log_lost_at", sa.String(27)))


def upgrade() -> None:
    """Add the columns."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("sites")}
    for name, kind in COLUMNS:
        if name not in there:
            op.add_column("sites", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for name, _ in COLUMNS:
        op.drop_column("sites", name)
