"""The tables of the web predictor.

MySQL and MariaDB commit after every statement here: what an interrupted migration has made already is passed over.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMBLOB

from core.records.migrations.making import make_index, make_table, text_column

revision = "0005"
down_revision = "0004"

TABLES = ("users", "credentials", "patients", "predictions", "feedback", "log_entries", "tallies")
INDEXES = (
    ("users", "subject"),
    ("credentials", "user"),
    ("predictions", "state", "queued_at"),
    ("predictions", "owner", "created_at"),
    ("predictions", "patient", "created_at"),
    ("predictions", "content", "version"),
    ("predictions", "finished_at"),
    ("feedback", "prediction"),
    ("log_entries", "at", "seq"),
    ("log_entries", "user", "at", "seq"),
    ("log_entries", "action", "at", "seq"),
    ("log_entries", "user", "action", "at", "seq"),
    ("log_entries", "user", "model", "at", "seq"),
    ("log_entries", "action", "model", "at", "seq"),
    ("log_entries", "prediction", "at", "seq"),
    ("log_entries", "model", "at", "seq"),
)


def upgrade() -> None:
    """Make all of them."""
    _make_users()
    _make_predictions()
    _make_log()
    for table, *columns in INDEXES:
        make_index(table, columns, unique=columns == ["subject"])


def downgrade() -> None:
    """Drop them; their indexes go with them."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _make_users() -> None:
    make_table(
        "users",
        text_column("name", 63, primary_key=True),
        text_column("role", 20),
        text_column("subject", 64, nullable=True),
        text_column("password_hash", 255, nullable=True),
        _sealed("totp_sealed"),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        _whole("failures"),
        text_column("locked_until", 27, nullable=True),
        text_column("created_at", 27),
        text_column("disabled_at", 27, nullable=True),
    )
    make_table(
        "credentials",
        text_column("sha256", 64, primary_key=True),
        text_column("id", 32),
        text_column("kind", 20),
        text_column("user", 63),
        text_column("label", 100),
        *(text_column(name, 27) for name in ("created_at", "seen_at", "expires_at")),
        text_column("revoked_at", 27, nullable=True),
        sa.UniqueConstraint("id", name="uq_credentials_id"),
        sa.ForeignKeyConstraint(["user"], ["users.name"], "fk_credentials_user"),
    )


def _make_predictions() -> None:
    make_table(
        "patients",
        text_column("id", 32, primary_key=True),
        text_column("pseudonym", 64),
        _sealed("identity_sealed", nullable=False),
        text_column("created_at", 27),
        sa.UniqueConstraint("pseudonym", name="uq_patients_pseudonym"),
    )
    make_table(
        "predictions",
        text_column("id", 32, primary_key=True),
        text_column("owner", 63),
        text_column("patient", 32, nullable=True),
        text_column("request", 64, nullable=True),
        text_column("state", 20),
        text_column("created_at", 27),
        *(
            text_column(name, 27, nullable=True)
            for name in ("queued_at", "started_at", "finished_at", "files_deleted_at")
        ),
        sa.Column("upload_bytes", sa.BigInteger(), nullable=False),
        _sealed("file_key_sealed"),
        _sealed("draft_sealed"),
        text_column("content", 64, nullable=True),
        text_column("worker", 100, nullable=True),
        text_column("lease_until", 27, nullable=True),
        _whole("attempts"),
        text_column("step", 40),
        _whole("steps_done"),
        _whole("steps"),
        text_column("version", 100, nullable=True),
        text_column("same_as", 32, nullable=True),
        text_column("verdict", 20, nullable=True),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("tumor_probability", "mgmt_probability")),
        _sealed("result_sealed"),
        sa.UniqueConstraint("owner", "request", name="uq_predictions_owner_request"),
        sa.ForeignKeyConstraint(["owner"], ["users.name"], "fk_predictions_owner"),
        sa.ForeignKeyConstraint(["patient"], ["patients.id"], "fk_predictions_patient"),
    )
    make_table(
        "feedback",
        _number("seq"),
        text_column("prediction", 32),
        text_column("user", 63),
        text_column("at", 27),
        text_column("said", 20),
        _sealed("comment_sealed"),
        text_column("comment_mac", 64, nullable=True),
        sa.ForeignKeyConstraint(["prediction"], ["predictions.id"], "fk_feedback_prediction"),
    )


def _make_log() -> None:
    make_table(
        "log_entries",
        _number("seq"),
        text_column("at", 27),
        text_column("user", 63),
        text_column("action", 60),
        text_column("prediction", 32, nullable=True),
        text_column("model", 100, nullable=True),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("tumor_probability", "mgmt_probability")),
    )
    make_table("tallies", text_column("name", 100, primary_key=True), sa.Column("value", sa.Double(), nullable=False))


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, primary_key=True)


def _sealed(name: str, *, nullable: bool = True) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary().with_variant(MEDIUMBLOB(), "mysql"), nullable=nullable)
