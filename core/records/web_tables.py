"""The tables of the web predictor: users and what they may do, patients by pseudonym, predictions, and the log's index.

They are in every side's database, so that a coordinator's pages lie beside the runs that they show. Columns named
`sealed` are encrypted under a key that is not in the database; see webapp.vault.
"""

from sqlalchemy import BigInteger, Double, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.orm import Mapped, mapped_column

from core.records.tables import MYSQL, Base, Moment, Name, Sha256

Id = String(32)
Version = String(100)
Mac = String(64)
Sealed = LargeBinary().with_variant(MEDIUMBLOB(), "mysql")
Number = BigInteger().with_variant(Integer(), "sqlite")


class User(Base):
    """Somebody who may sign in: `clinician`, `auditor`, `coordinator` or `administrator`.

    With a password and a second factor of their own, or known from the hospital's sign-on alone: then `subject` is the
    keyed hash of who they are there, and they have neither.
    """

    __tablename__ = "users"
    __table_args__ = (Index(None, "subject", unique=True), MYSQL)

    name: Mapped[str] = mapped_column(Name, primary_key=True)
    role: Mapped[str] = mapped_column(String(20))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    totp_sealed: Mapped[bytes | None] = mapped_column(Sealed)
    totp_step: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(Integer)
    locked_until: Mapped[str | None] = mapped_column(Moment)
    created_at: Mapped[str] = mapped_column(Moment)
    disabled_at: Mapped[str | None] = mapped_column(Moment)
    subject: Mapped[str | None] = mapped_column(Mac)


class Credential(Base):
    """What stands for a user after signing in, a browser's `session` or a machine's `token`; only its hash is kept."""

    __tablename__ = "credentials"
    __table_args__ = (Index(None, "user"), MYSQL)

    sha256: Mapped[str] = mapped_column(Sha256, primary_key=True)
    id: Mapped[str] = mapped_column(Id, unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    user: Mapped[str] = mapped_column(ForeignKey("users.name"))
    label: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[str] = mapped_column(Moment)
    seen_at: Mapped[str] = mapped_column(Moment)
    expires_at: Mapped[str] = mapped_column(Moment)
    revoked_at: Mapped[str | None] = mapped_column(Moment)


class Patient(Base):
    """A patient: found by the keyed hash of the record number, named only within what is sealed."""

    __tablename__ = "patients"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    pseudonym: Mapped[str] = mapped_column(Mac, unique=True)
    identity_sealed: Mapped[bytes] = mapped_column(Sealed)
    created_at: Mapped[str] = mapped_column(Moment)


class Prediction(Base):
    """One request: `draft`, `queued`, `running`, `done`, `failed` or `withdrawn`.

    It is the job too: a worker holds it until `lease_until`. Once its files are deleted, `files_deleted_at` says when.
    """

    __tablename__ = "predictions"
    __table_args__ = (
        Index(None, "state", "queued_at"),
        Index(None, "owner", "created_at"),
        Index(None, "patient", "created_at"),
        Index(None, "content", "version"),
        Index(None, "finished_at"),
        UniqueConstraint("owner", "request"),
        MYSQL,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    owner: Mapped[str] = mapped_column(ForeignKey("users.name"))
    patient: Mapped[str | None] = mapped_column(ForeignKey("patients.id"))
    request: Mapped[str | None] = mapped_column(Mac)
    state: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[str] = mapped_column(Moment)
    queued_at: Mapped[str | None] = mapped_column(Moment)
    started_at: Mapped[str | None] = mapped_column(Moment)
    finished_at: Mapped[str | None] = mapped_column(Moment)
    files_deleted_at: Mapped[str | None] = mapped_column(Moment)
    upload_bytes: Mapped[int] = mapped_column(BigInteger)
    file_key_sealed: Mapped[bytes | None] = mapped_column(Sealed)
    draft_sealed: Mapped[bytes | None] = mapped_column(Sealed)
    content: Mapped[str | None] = mapped_column(Mac)
    worker: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[str | None] = mapped_column(Moment)
    attempts: Mapped[int] = mapped_column(Integer)
    step: Mapped[str] = mapped_column(String(40))
    steps_done: Mapped[int] = mapped_column(Integer)
    steps: Mapped[int] = mapped_column(Integer)
    version: Mapped[str | None] = mapped_column(Version)
    same_as: Mapped[str | None] = mapped_column(Id)
    verdict: Mapped[str | None] = mapped_column(String(20))
    tumor_probability: Mapped[float | None] = mapped_column(Double)
    mgmt_probability: Mapped[float | None] = mapped_column(Double)
    result_sealed: Mapped[bytes | None] = mapped_column(Sealed)


class Feedback(Base):
    """What a clinician said of a result; the chain holds a keyed hash of the comment, which can be erased here."""

    __tablename__ = "feedback"
    __table_args__ = (Index(None, "prediction"), MYSQL)

    seq: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=False)
    prediction: Mapped[str] = mapped_column(ForeignKey("predictions.id"))
    user: Mapped[str] = mapped_column(Name)
    at: Mapped[str] = mapped_column(Moment)
    said: Mapped[str] = mapped_column(String(20))
    comment_sealed: Mapped[bytes | None] = mapped_column(Sealed)
    comment_mac: Mapped[str | None] = mapped_column(Mac)


class LogEntry(Base):
    """One of the audit log's events, by what auditors look for; made with it, in one transaction."""

    __tablename__ = "log_entries"
    __table_args__ = (
        Index(None, "at", "seq"),
        Index(None, "user", "at", "seq"),
        Index(None, "action", "at", "seq"),
        Index(None, "user", "action", "at", "seq"),
        Index(None, "user", "model", "at", "seq"),
        Index(None, "action", "model", "at", "seq"),
        Index(None, "prediction", "at", "seq"),
        Index(None, "model", "at", "seq"),
        MYSQL,
    )

    seq: Mapped[int] = mapped_column(Number, primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(Moment)
    user: Mapped[str] = mapped_column(Name)
    action: Mapped[str] = mapped_column(String(60))
    prediction: Mapped[str | None] = mapped_column(Id)
    model: Mapped[str | None] = mapped_column(Version)
    tumor_probability: Mapped[float | None] = mapped_column(Double)
    mgmt_probability: Mapped[float | None] = mapped_column(Double)


class Tally(Base):
    """A number that only grows, for monitoring."""

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[float] = mapped_column(Double)
