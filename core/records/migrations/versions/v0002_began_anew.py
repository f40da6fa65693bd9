"""When a site's node last began anew.

MySQL and MariaDB commit after every statement here: what an interrupted migration has made already is passed over.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    if "began_anew_at" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("sites")}:
        op.add_column("sites", sa.Column("began_anew_at", sa.String(27), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("sites", "began_anew_at")
