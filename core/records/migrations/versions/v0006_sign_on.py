"""Who a user is at the hospital's own sign-on.

MySQL and MariaDB commit after every statement here: what an interrupted migration has made already is passed over.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

INDEX = "ix_users_subject"


def upgrade() -> None:
    """Add the column and its index."""
    if "subject" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("users")}:
        op.add_column("users", sa.Column("subject", sa.String(64), nullable=True))
    if INDEX not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("users")}:
        op.create_index(INDEX, "users", ["subject"], unique=True)


def downgrade() -> None:
    """Drop them."""
    op.drop_index(INDEX, "users")
    op.drop_column("users", "subject")
