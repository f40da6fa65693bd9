"""The tables of a side's database: the coordinator's, and a site's own, which uses few of them.

Every time is text of `core.clock`; every identifier is compared byte by byte, also on MySQL and MariaDB.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Text
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

MYSQL = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

Moment = String(27)
Name = String(63)
Sha256 = String(64)
RunId = String(80)


class Base(DeclarativeBase):
    """Names every constraint, so that a migration can change it on any database."""

    __table_args__: Any = MYSQL
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class AuditEvent(Base):
    """One entry of the audit log; see core.records.audit."""

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "at"), Index(None, "action", "at"), Index(None, "hash"), MYSQL)

    # SQLite keeps a table in the order of a key of exactly this type.
    seq: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False
    )
    at: Mapped[str] = mapped_column(Moment)
    actor: Mapped[str] = mapped_column(String(100))
    action: Mapped[str] = mapped_column(String(60))
    body: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(Sha256)
    hash: Mapped[str] = mapped_column(Sha256)


class AuditHead(Base):
    """The last event of the audit log, and how many heads have been signed.

    One row, which whoever writes to the database locks first.
    """

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(Sha256)
    checkpoints: Mapped[int] = mapped_column(Integer)


class Site(Base):
    """A hospital as the coordinator knows it: `invited`, `enrolled`, `suspended`, `revoked` or `left`."""

    __tablename__ = "sites"

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    state: Mapped[str] = mapped_column(String(20))
    node_id: Mapped[str | None] = mapped_column(String(20))
    invited_at: Mapped[str] = mapped_column(Moment)
    enrolled_at: Mapped[str | None] = mapped_column(Moment)
    seen_at: Mapped[str | None] = mapped_column(Moment)
    upload_began_at: Mapped[str | None] = mapped_column(Moment)
    uploaded_at: Mapped[str | None] = mapped_column(Moment)
    began_anew_at: Mapped[str | None] = mapped_column(Moment)
    log_events: Mapped[int | None] = mapped_column(BigInteger)
    log_head: Mapped[str | None] = mapped_column(Sha256)
    log_lost_at: Mapped[str | None] = mapped_column(Moment)
    protocol: Mapped[int | None] = mapped_column(Integer)
    release: Mapped[str | None] = mapped_column(String(30))


class Invitation(Base):
    """A one-time invitation; only its token's hash is kept."""

    __tablename__ = "invitations"

    token_sha256: Mapped[str] = mapped_column(Sha256, primary_key=True)
    site: Mapped[str] = mapped_column(ForeignKey("sites.name"))
    expires_at: Mapped[str] = mapped_column(Moment)
    used_at: Mapped[str | None] = mapped_column(Moment)


class Certificate(Base):
    """A site's client certificate by its serial number in hexadecimal digits."""

    __tablename__ = "certificates"

    serial: Mapped[str] = mapped_column(String(40), primary_key=True)
    site: Mapped[str] = mapped_column(ForeignKey("sites.name"))
    issued_at: Mapped[str] = mapped_column(Moment)
    not_after: Mapped[str] = mapped_column(Moment)
    revoked_at: Mapped[str | None] = mapped_column(Moment)


class StudyBundle(Base):
    """A study's study.toml and the app bundle that holds it."""

    __tablename__ = "studies"

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    bundle_sha256: Mapped[str] = mapped_column(Sha256)
    toml: Mapped[str] = mapped_column(Text)
    bundle: Mapped[bytes] = mapped_column(LargeBinary().with_variant(MEDIUMBLOB(), "mysql"))
    created_at: Mapped[str] = mapped_column(Moment)


class Offer(Base):
    """A study as one site was offered it, and the site's answer: `pending`, `approved` or `refused`."""

    __tablename__ = "offers"

    study: Mapped[str] = mapped_column(ForeignKey("studies.name"), primary_key=True)
    site: Mapped[str] = mapped_column(Name, primary_key=True)
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(500))
    offered_at: Mapped[str] = mapped_column(Moment)
    answered_at: Mapped[str | None] = mapped_column(Moment)


class Run(Base):
    """One training of a study: `offered`, `starting`, `running`, `paused`, `stopped`, `failed` or `finished`.

    `wish` is what somebody asked for and the coordinator's service has not done yet: `stop` or `resume`.
    """

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(RunId, primary_key=True)
    study: Mapped[str] = mapped_column(Name)
    folder: Mapped[str] = mapped_column(Text)
    sites: Mapped[list[str]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(20), index=True)
    wish: Mapped[str | None] = mapped_column(String(20))
    cause: Mapped[str] = mapped_column(Text)
    flower_run: Mapped[str | None] = mapped_column(String(20))
    process: Mapped[str | None] = mapped_column(String(60))
    version: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[str] = mapped_column(Moment)
    changed_at: Mapped[str] = mapped_column(Moment)


class Round(Base):
    """One try of a round.

    `by_site` holds `loss` and `auc` of the incoming model at each site; None where sites do not count, as under
    differential privacy, and in rounds of earlier releases.
    """

    __tablename__ = "rounds"

    run: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    number_of_try: Mapped[int] = mapped_column(Integer, primary_key=True)
    round: Mapped[int] = mapped_column(Integer)
    counted: Mapped[bool] = mapped_column()
    sites: Mapped[list[str]] = mapped_column(JSON)
    left_out: Mapped[dict[str, str]] = mapped_column(JSON)
    loss: Mapped[float | None] = mapped_column(Double)
    auc: Mapped[float | None] = mapped_column(Double)
    by_site: Mapped[dict[str, dict[str, float | None]] | None] = mapped_column(JSON(none_as_null=True))
    seconds: Mapped[float] = mapped_column(Double)
    closed_at: Mapped[str] = mapped_column(Moment)


class Presence(Base):
    """What a site said last of what it does: `idle`, `training`, `evaluating` or `uploading`."""

    __tablename__ = "presences"

    site: Mapped[str] = mapped_column(Name, primary_key=True)
    state: Mapped[str] = mapped_column(String(20))
    run: Mapped[str] = mapped_column(RunId)
    round: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer)
    total: Mapped[int] = mapped_column(Integer)
    progressed_at: Mapped[str] = mapped_column(Moment)
    expected_end: Mapped[str | None] = mapped_column(Moment)
    device: Mapped[str] = mapped_column(String(100))
    cause: Mapped[str] = mapped_column(String(500))


class Effort(Base):
    """What a run has cost a site so far: bytes over the wire and seconds of training."""

    __tablename__ = "efforts"

    run: Mapped[str] = mapped_column(RunId, primary_key=True)
    site: Mapped[str] = mapped_column(Name, primary_key=True)
    sent_bytes: Mapped[int] = mapped_column(BigInteger)
    received_bytes: Mapped[int] = mapped_column(BigInteger)
    cpu_s: Mapped[float] = mapped_column(Double)
    gpu_s: Mapped[float] = mapped_column(Double)


class Version(Base):
    """A model version of the registry: `candidate`, `approved` or `retired`.

    `wish` is what somebody asked for and the coordinator's service has not signed yet: `approve` or `retire`. `cause`
    is why the last wish was not fulfilled.
    """

    __tablename__ = "versions"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    study: Mapped[str] = mapped_column(Name)
    run: Mapped[str] = mapped_column(RunId)
    state: Mapped[str] = mapped_column(String(20))
    weights_sha256: Mapped[str] = mapped_column(Sha256)
    created_at: Mapped[str] = mapped_column(Moment)
    decided_at: Mapped[str | None] = mapped_column(Moment)
    wish: Mapped[str | None] = mapped_column(String(20))
    wished_by: Mapped[str | None] = mapped_column(String(100))
    cause: Mapped[str | None] = mapped_column(String(500))
