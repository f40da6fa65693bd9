"""The first tables, and the triggers that keep the audit log append-only.

MySQL and MariaDB commit after every statement here: what an interrupted migration has made already is passed over.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMBLOB

from core.records.migrations.making import make_index, make_table, text_column

revision = "0001"
down_revision = None

TABLES = (
    "audit_events",
    "audit_head",
    "sites",
    "invitations",
    "certificates",
    "studies",
    "offers",
    "runs",
    "rounds",
    "presences",
    "efforts",
    "versions",
)
INDEXES = (("audit_events", "at"), ("audit_events", "action", "at"), ("audit_events", "hash"), ("runs", "state"))
GUARDS = ("UPDATE", "DELETE")


def upgrade() -> None:
    """Make all tables."""
    _make_audit()
    _make_sites()
    _make_studies()
    _make_runs()
    for table, *columns in INDEXES:
        make_index(table, columns)
    for verb in GUARDS:
        _make_guard(verb)


def downgrade() -> None:
    """Drop all tables; their indexes and triggers go with them."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _make_audit() -> None:
    make_table(
        "audit_events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, primary_key=True),
        text_column("at", 27),
        text_column("actor", 100),
        text_column("action", 60),
        sa.Column("body", sa.Text(), nullable=False),
        text_column("previous", 64),
        text_column("hash", 64),
    )
    make_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        text_column("hash", 64),
        sa.Column("checkpoints", sa.Integer(), nullable=False),
    )
    if not op.get_bind().scalar(sa.text("SELECT count(*) FROM audit_head")):
        head = sa.table("audit_head", *map(sa.column, ("id", "seq", "hash", "checkpoints")))
        op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": "0" * 64, "checkpoints": 0}])


def _make_sites() -> None:
    make_table(
        "sites",
        text_column("name", 63, primary_key=True),
        text_column("state", 20),
        text_column("node_id", 20, nullable=True),
        text_column("invited_at", 27),
        text_column("enrolled_at", 27, nullable=True),
        text_column("seen_at", 27, nullable=True),
        text_column("upload_began_at", 27, nullable=True),
        text_column("uploaded_at", 27, nullable=True),
        sa.Column("protocol", sa.Integer()),
        text_column("release", 30, nullable=True),
    )
    make_table(
        "invitations",
        text_column("token_sha256", 64, primary_key=True),
        text_column("site", 63),
        text_column("expires_at", 27),
        text_column("used_at", 27, nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.name"], "fk_invitations_site"),
    )
    make_table(
        "certificates",
        text_column("serial", 40, primary_key=True),
        text_column("site", 63),
        text_column("issued_at", 27),
        text_column("not_after", 27),
        text_column("revoked_at", 27, nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.name"], "fk_certificates_site"),
    )


def _make_studies() -> None:
    make_table(
        "studies",
        text_column("name", 63, primary_key=True),
        text_column("bundle_sha256", 64),
        sa.Column("toml", sa.Text(), nullable=False),
        sa.Column("bundle", sa.LargeBinary().with_variant(MEDIUMBLOB(), "mysql"), nullable=False),
        text_column("created_at", 27),
    )
    make_table(
        "offers",
        text_column("study", 63, primary_key=True),
        text_column("site", 63, primary_key=True),
        text_column("state", 20),
        text_column("reason", 500),
        text_column("offered_at", 27),
        text_column("answered_at", 27, nullable=True),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], "fk_offers_study"),
    )
    make_table(
        "versions",
        text_column("name", 100, primary_key=True),
        text_column("study", 63),
        text_column("run", 80),
        text_column("state", 20),
        text_column("weights_sha256", 64),
        text_column("created_at", 27),
        text_column("decided_at", 27, nullable=True),
    )


def _make_runs() -> None:
    make_table(
        "runs",
        text_column("id", 80, primary_key=True),
        text_column("study", 63),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("sites", sa.JSON(), nullable=False),
        text_column("state", 20),
        text_column("wish", 20, nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        text_column("flower_run", 20, nullable=True),
        text_column("process", 60, nullable=True),
        text_column("version", 100, nullable=True),
        text_column("created_at", 27),
        text_column("changed_at", 27),
    )
    make_table(
        "rounds",
        text_column("run", 80, primary_key=True),
        sa.Column("number_of_try", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("sites", sa.JSON(), nullable=False),
        sa.Column("left_out", sa.JSON(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=name != "seconds") for name in ("loss", "auc", "seconds")),
        text_column("closed_at", 27),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], "fk_rounds_run"),
    )
    make_table(
        "presences",
        text_column("site", 63, primary_key=True),
        text_column("state", 20),
        text_column("run", 80),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("round", "done", "total")),
        text_column("progressed_at", 27),
        text_column("expected_end", 27, nullable=True),
        text_column("device", 100),
        text_column("cause", 500),
    )
    make_table(
        "efforts",
        text_column("run", 80, primary_key=True),
        text_column("site", 63, primary_key=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("sent_bytes", "received_bytes")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("cpu_s", "gpu_s")),
    )


def _make_guard(verb: str) -> None:
    name, refusal = f"audit_events_no_{verb.lower()}", "the audit log is append-only"
    op.execute(f"DROP TRIGGER IF EXISTS {name}")
    trigger = f"CREATE TRIGGER {name} BEFORE {verb} ON audit_events FOR EACH ROW"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, '{refusal}'); END")
    else:
        op.execute(f"{trigger} SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{refusal}'")
