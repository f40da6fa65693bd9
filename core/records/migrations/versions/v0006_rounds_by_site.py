"""What a round brought at each site: loss and AUC, where sites may tell them.

MySQL and MariaDB commit after every statement here: what an interrupted migration has made already is passed over.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    if "by_site" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("rounds")}:
        op.add_column("rounds", sa.Column("by_site", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("rounds", "by_site")
