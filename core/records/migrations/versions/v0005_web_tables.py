"""The tables of the web predictor.

MySQL and MariaDB commit after every statement here: what an interrupted migration has made already is passed over.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMBLOB

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
        name = f"ix_{table}_{'_'.join(columns)}"
        if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
            op.create_index(name, table, columns, unique=columns == ["subject"])


def downgrade() -> None:
    """Drop them; their indexes go with them."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _make_users() -> None:
    _table(
        "users",
        _text("name", 63, primary_key=True),
        _text("role", 20),
        _text("subject", 64, nullable=True),
        _text("password_hash", 255, nullable=True),
        _sealed("totp_sealed"),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        _whole("failures"),
        _text("locked_until", 27, nullable=True),
        _text("created_at", 27),
        _text("disabled_at", 27, nullable=True),
    )
    _table(
        "credentials",
        _text("sha256", 64, primary_key=True),
        _text("id", 32),
        _text("kind", 20),
        _text("user", 63),
        _text("label", 100),
        *(_text(name, 27) for name in ("created_at", "seen_at", "expires_at")),
        _text("revoked_at", 27, nullable=True),
        sa.UniqueConstraint("id", name="uq_credentials_id"),
        sa.ForeignKeyConstraint(["user"], ["users.name"], "fk_credentials_user"),
    )


def _make_predictions() -> None:
    _table(
        "patients",
        _text("id", 32, primary_key=True),
        _text("pseudonym", 64),
        _sealed("identity_sealed", nullable=False),
        _text("created_at", 27),
        sa.UniqueConstraint("pseudonym", name="uq_patients_pseudonym"),
    )
    _table(
        "predictions",
        _text("id", 32, primary_key=True),
        _text("owner", 63),
        _text("patient", 32, nullable=True),
        _text("request", 64, nullable=True),
        _text("state", 20),
        _text("created_at", 27),
        *(_text(name, 27, nullable=True) for name in ("queued_at", "started_at", "finished_at", "files_deleted_at")),
        sa.Column("upload_bytes", sa.BigInteger(), nullable=False),
        _sealed("file_key_sealed"),
        _sealed("draft_sealed"),
        _text("content", 64, nullable=True),
        _text("worker", 100, nullable=True),
        _text("lease_until", 27, nullable=True),
        _whole("attempts"),
        _text("step", 40),
        _whole("steps_done"),
        _whole("steps"),
        _text("version", 100, nullable=True),
        _text("same_as", 32, nullable=True),
        _text("verdict", 20, nullable=True),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("tumor_probability", "mgmt_probability")),
        _sealed("result_sealed"),
        sa.UniqueConstraint("owner", "request", name="uq_predictions_owner_request"),
        sa.ForeignKeyConstraint(["owner"], ["users.name"], "fk_predictions_owner"),
        sa.ForeignKeyConstraint(["patient"], ["patients.id"], "fk_predictions_patient"),
    )
    _table(
        "feedback",
        _number("seq"),
        _text("prediction", 32),
        _text("user", 63),
        _text("at", 27),
        _text("said", 20),
        _sealed("comment_sealed"),
        _text("comment_mac", 64, nullable=True),
        sa.ForeignKeyConstraint(["prediction"], ["predictions.id"], "fk_feedback_prediction"),
    )


def _make_log() -> None:
    _table(
        "log_entries",
        _number("seq"),
        _text("at", 27),
        _text("user", 63),
        _text("action", 60),
        _text("prediction", 32, nullable=True),
        _text("model", 100, nullable=True),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("tumor_probability", "mgmt_probability")),
    )
    _table("tallies", _text("name", 100, primary_key=True), sa.Column("value", sa.Double(), nullable=False))


def _text(name: str, length: int, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable, primary_key=primary_key)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, primary_key=True)


def _sealed(name: str, *, nullable: bool = True) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary().with_variant(MEDIUMBLOB(), "mysql"), nullable=nullable)


def _table(name: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        *parts,
        sa.PrimaryKeyConstraint(name=f"pk_{name}"),
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
