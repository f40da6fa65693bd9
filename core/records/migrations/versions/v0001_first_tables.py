"""The first tables, and the triggers that keep the audit log append-only.

MySQL and MariaDB commit after every statement here: what an interrupted migration has made already is passed over.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMBLOB

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
        name = f"ix_{table}_{'_'.join(columns)}"
        if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
            op.create_index(name, table, columns)
    for verb in GUARDS:
        _make_guard(verb)


def downgrade() -> None:
    """Drop all tables; their indexes and triggers go with them."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _make_audit() -> None:
    _table(
        "audit_events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, primary_key=True),
        _text("at", 27),
        _text("actor", 100),
        _text("action", 60),
        sa.Column("body", sa.Text(), nullable=False),
        _text("previous", 64),
        _text("hash", 64),
    )
    _table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, primary_key=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        _text("hash", 64),
        sa.Column("checkpoints", sa.Integer(), nullable=False),
    )
    if not op.get_bind().scalar(sa.text("SELECT count(*) FROM audit_head")):
        head = sa.table("audit_head", *map(sa.column, ("id", "seq", "hash", "checkpoints")))
        op.bulk_insert(head, [{"id": 1, "seq": 0, "hash": "0" * 64, "checkpoints": 0}])


def _make_sites() -> None:
    _table(
        "sites",
        _text("name", 63, primary_key=True),
        _text("state", 20),
        _text("node_id", 20, nullable=True),
        _text("invited_at", 27),
        _text("enrolled_at", 27, nullable=True),
        _text("seen_at", 27, nullable=True),
        _text("upload_began_at", 27, nullable=True),
        _text("uploaded_at", 27, nullable=True),
        sa.Column("protocol", sa.Integer()),
        _text("release", 30, nullable=True),
    )
    _table(
        "invitations",
        _text("token_sha256", 64, primary_key=True),
        _text("site", 63),
        _text("expires_at", 27),
        _text("used_at", 27, nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.name"], "fk_invitations_site"),
    )
    _table(
        "certificates",
        _text("serial", 40, primary_key=True),
        _text("site", 63),
        _text("issued_at", 27),
        _text("not_after", 27),
        _text("revoked_at", 27, nullable=True),
        sa.ForeignKeyConstraint(["site"], ["sites.name"], "fk_certificates_site"),
    )


def _make_studies() -> None:
    _table(
        "studies",
        _text("name", 63, primary_key=True),
        _text("bundle_sha256", 64),
        sa.Column("toml", sa.Text(), nullable=False),
        sa.Column("bundle", sa.LargeBinary().with_variant(MEDIUMBLOB(), "mysql"), nullable=False),
        _text("created_at", 27),
    )
    _table(
        "offers",
        _text("study", 63, primary_key=True),
        _text("site", 63, primary_key=True),
        _text("state", 20),
        _text("reason", 500),
        _text("offered_at", 27),
        _text("answered_at", 27, nullable=True),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], "fk_offers_study"),
    )
    _table(
        "versions",
        _text("name", 100, primary_key=True),
        _text("study", 63),
        _text("run", 80),
        _text("state", 20),
        _text("weights_sha256", 64),
        _text("created_at", 27),
        _text("decided_at", 27, nullable=True),
    )


def _make_runs() -> None:
    _table(
        "runs",
        _text("id", 80, primary_key=True),
        _text("study", 63),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("sites", sa.JSON(), nullable=False),
        _text("state", 20),
        _text("wish", 20, nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        _text("flower_run", 20, nullable=True),
        _text("process", 60, nullable=True),
        _text("version", 100, nullable=True),
        _text("created_at", 27),
        _text("changed_at", 27),
    )
    _table(
        "rounds",
        _text("run", 80, primary_key=True),
        sa.Column("number_of_try", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("sites", sa.JSON(), nullable=False),
        sa.Column("left_out", sa.JSON(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=name != "seconds") for name in ("loss", "auc", "seconds")),
        _text("closed_at", 27),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], "fk_rounds_run"),
    )
    _table(
        "presences",
        _text("site", 63, primary_key=True),
        _text("state", 20),
        _text("run", 80),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("round", "done", "total")),
        _text("progressed_at", 27),
        _text("expected_end", 27, nullable=True),
        _text("device", 100),
        _text("cause", 500),
    )
    _table(
        "efforts",
        _text("run", 80, primary_key=True),
        _text("site", 63, primary_key=True),
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


def _text(name: str, length: int, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable, primary_key=primary_key)


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
