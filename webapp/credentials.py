"""Sessions of browsers and tokens of machines: random texts of which only the hash is kept."""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from core.clock import after, now
from core.records.web_tables import Credential, User
from webapp.vault import Vault

# How often a credential's last use is written down; well below the shortest time that it may be idle.
SEEN_EVERY_S = 20
# What their owner and administrators see of them.
SHOWN = ("id", "kind", "label", "created_at", "seen_at", "expires_at")


@dataclass(frozen=True)
class Identity:
    """Who is asking.

    Attributes:
        user, role: as signed in.
        credential: the session's or token's id.
        kind: `session` or `token`.
        sha256: what is kept of it.
        seen_at: when its use was written down last.
        has_password: of their own; who has none comes by the hospital's sign-on.
    """

    user: str
    role: str
    credential: str
    kind: str
    sha256: str
    seen_at: str
    has_password: bool


def open_credential(session: Session, user: str, kind: str, label: str, seconds: float) -> tuple[str, str]:
    """Make a session or token.

    Args:
        session: of a transaction that writes.
        user: whom it stands for.
        kind: `session` or `token`.
        label: what the user calls it.
        seconds: how long it is valid.
    Returns: the text, which is shown once, and the credential's id.
    """
    secret, moment = secrets.token_urlsafe(32), now()
    row = Credential(
        sha256=_sha256(secret),
        id=secrets.token_hex(16),
        kind=kind,
        user=user,
        label=label,
        created_at=moment,
        seen_at=moment,
        expires_at=after(seconds),
        revoked_at=None,
    )
    session.add(row)
    return secret, row.id


def find(session: Session, secret: str, kind: str, idle_s: float) -> Identity | None:
    """Return whom a text stands for, or None where it stands for nobody any more."""
    return _valid(session, _sha256(secret), kind, after(-idle_s))


def still(session: Session, identity: Identity) -> bool:
    """Say whether whoever asked a while ago is still signed in, as the same; the wait itself is no idleness."""
    valid = _valid(session, identity.sha256, identity.kind, "")
    return valid is not None and valid.role == identity.role


def _valid(session: Session, sha256: str, kind: str, seen_since: str) -> Identity | None:
    found = session.execute(
        select(Credential, User)
        .join(User, User.name == Credential.user)
        .where(Credential.sha256 == sha256, Credential.kind == kind)
    ).one_or_none()
    if found is None:
        return None
    credential, user = found
    idle = kind == "session" and credential.seen_at < seen_since
    if credential.revoked_at or credential.expires_at <= now() or idle or user.disabled_at:
        return None
    has_password = user.password_hash is not None
    return Identity(user.name, user.role, credential.id, kind, credential.sha256, credential.seen_at, has_password)


def touch(session: Session, identity: Identity) -> None:
    """Write down that a credential is in use."""
    session.execute(update(Credential).where(Credential.sha256 == identity.sha256).values(seen_at=now()))


def valid_of(session: Session, user: str, idle_s: float) -> list[dict[str, str]]:
    """Return the sessions and tokens of a user that are valid, as they are shown, oldest first."""
    mine = (Credential.user == user, Credential.revoked_at.is_(None), Credential.expires_at > now())
    in_use = or_(Credential.kind == "token", Credential.seen_at >= after(-idle_s))
    rows = session.scalars(select(Credential).where(*mine, in_use).order_by(Credential.created_at, Credential.id))
    return [{name: getattr(row, name) for name in SHOWN} for row in rows]


def revoke(session: Session, identifier: str, user: str | None = None) -> bool:
    """End a session or token; with a user, only if it is theirs.

    Returns: whether there was one.
    """
    mine = [Credential.id == identifier, Credential.revoked_at.is_(None)]
    mine += [Credential.user == user] if user else []
    if session.scalar(select(Credential.id).where(*mine)) is None:
        return False
    session.execute(update(Credential).where(*mine).values(revoked_at=now()))
    return True


def csrf_token(vault: Vault, identity: Identity) -> str:
    """Return what a browser's page must send beside its cookie, which another site's page cannot know."""
    return vault.mac("csrf", identity.sha256)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
