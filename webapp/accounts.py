"""Users: a password (argon2id), a second factor (TOTP), and a lock after too many failures.

Source: RFC 9106 (Argon2), RFC 6238 (TOTP).
"""

import hmac
import re
import secrets
import time
from dataclasses import dataclass
from functools import cache
from threading import BoundedSemaphore

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from core.clock import after, now
from core.errors import AccessError, ConfigError
from core.records.db import reading, transaction
from core.records.web_tables import Credential, User
from webapp.config import SignInSettings
from webapp.errors import Refused
from webapp.journal import ANYBODY, note
from webapp.vault import Vault

ROLES = ("clinician", "auditor", "coordinator", "administrator")
SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 200
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")

_STEP_S = 30
# A hash takes 64 MiB and a fifth of a second: with a flood of sign-ins, the others must still be served.
_HASHING = BoundedSemaphore(2)
_FIX = "check name, password and code; after several failures the account is locked for a while"


@dataclass(frozen=True)
class Enrolled:
    """A user who was made, and what is shown once.

    Attributes:
        name: the user's.
        totp_uri: for the authenticator app; holds its secret.
    """

    name: str
    totp_uri: str


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    """Return the hash of no password, so that a name that nobody has takes as long as one that somebody has."""
    return _hasher().hash(secrets.token_hex(16))


def create_user(engine: Engine, vault: Vault, name: str, role: str, password: str, *, by: str) -> Enrolled:
    """Make a user with a second factor.

    Raises: ConfigError: the name is taken or not one, there is no such role, or the password is too weak.
    """
    check_new_user(name, role)
    check_password(password, name)
    hashed, secret = _hash(password), pyotp.random_base32()
    with transaction(engine) as session:
        if session.get(User, name) is not None:
            raise ConfigError(f"There is a user {name} already", fix="choose another name")
        sealed = vault.seal(secret.encode(), f"users.totp/{name}")
        session.add(new_user(name, role, password_hash=hashed, totp_sealed=sealed))
        session.flush()
        note(session, by, "user.created", who=name, role=role)
    return Enrolled(name, _uri(name, secret))


def new_user(name: str, role: str, *, password_hash: str | None = None, totp_sealed: bytes | None = None) -> User:
    """Return the row of a user; without a password, of one who comes from the hospital's own sign-on."""
    return User(
        name=name,
        role=role,
        password_hash=password_hash,
        totp_sealed=totp_sealed,
        totp_step=0,
        failures=0,
        locked_until=None,
        created_at=now(),
        disabled_at=None,
    )


def check_new_user(name: str, role: str) -> None:
    """Check a name and a role.

    Raises: ConfigError: one of them cannot be.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(
            "A user's name is up to 63 small letters, digits, dots, dashes, underscores and @",
            fix="choose such a name, beginning with a letter or digit",
        )
    if role not in ROLES:
        raise ConfigError(f"There is no such role; there are {', '.join(ROLES)}", fix="choose one of them")


def check_password(password: str, name: str) -> None:
    """Check that a password is long enough, and not the name's.

    Raises: ConfigError: it is not.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD or len(set(password)) < 5 or name in password.lower():
        raise ConfigError(
            f"The password must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, at least five different "
            "ones, and not hold the user's name",
            fix="take several words that do not belong together",
        )


def sign_in(
    engine: Engine, vault: Vault, settings: SignInSettings, name: str, password: str, code: str, address: str
) -> str:
    """Return the role of a user whose password and code are right.

    Raises: Refused: they are not, or the account is locked or disabled; which of them is in the log, not in the answer.
    """
    with reading(engine) as session:
        user = session.get(User, name)
    password_is_right = _verify(user.password_hash if user else None, password)
    with transaction(engine) as session:
        user = session.get(User, name, with_for_update=True)
        why = _why_not(user, vault, code, password_is_right=password_is_right)
        if user is None or why:
            _note_failure(session, user, settings, why, address)
        else:
            user.failures, user.locked_until, user.totp_step = 0, None, _step_of(vault, user, code)
            note(session, name, "signed.in", address=address)
            return user.role
    raise Refused(401, "The sign-in failed", fix=_FIX)


def _why_not(user: User | None, vault: Vault, code: str, *, password_is_right: bool) -> str:
    if user is None:
        return "unknown"
    if user.disabled_at:
        return "disabled"
    if user.locked_until and user.locked_until > now():
        return "locked"
    if not password_is_right:
        return "password"
    return "" if _step_of(vault, user, code) > user.totp_step else "code"


def _note_failure(session: Session, user: User | None, settings: SignInSettings, why: str, address: str) -> None:
    # A name that nobody has may be a password typed into the wrong field.
    note(session, user.name if user else ANYBODY, "sign-in.failed", why=why, address=address)
    if user is not None and why in ("password", "code"):
        user.failures += 1
        if user.failures >= settings.failures:
            user.failures, user.locked_until = 0, after(settings.lock_minutes * 60)
            note(session, user.name, "user.locked", minutes=settings.lock_minutes)


def change_password(engine: Engine, name: str, password: str, *, by: str) -> None:
    """Give a user another password; whatever was signed in with the old one is not any more."""
    check_password(password, name)
    hashed = _hash(password)
    with transaction(engine) as session:
        user = _get(session, name)
        user.password_hash, user.failures, user.locked_until = hashed, 0, None
        revoke_all(session, name)
        note(session, by, "user.password-changed", who=name)


def renew_second_factor(engine: Engine, vault: Vault, name: str, *, by: str) -> Enrolled:
    """Give a user another second factor, as after the loss of a phone."""
    secret = pyotp.random_base32()
    with transaction(engine) as session:
        user = _get(session, name)
        user.totp_sealed, user.totp_step = vault.seal(secret.encode(), f"users.totp/{name}"), 0
        revoke_all(session, name)
        note(session, by, "user.second-factor-renewed", who=name)
    return Enrolled(name, _uri(name, secret))


def change_user(engine: Engine, name: str, *, by: str, role: str | None = None, disabled: bool | None = None) -> None:
    """Give a user another role, or disable or enable the account; sessions and tokens end either way.

    Raises: ConfigError: no such user or role, or nobody would be administrator any more.
    """
    with transaction(engine) as session:
        user = _get(session, name)
        if role is not None:
            check_new_user(name, role)
            user.role = role
        if disabled is not None:
            user.disabled_at = now() if disabled else None
        session.flush()
        administrators = select(func.count()).where(User.role == "administrator", User.disabled_at.is_(None))
        if by != name and not session.scalar(administrators):
            raise ConfigError("Nobody would be administrator any more", fix="make another administrator first")
        revoke_all(session, name)
        note(session, by, "user.changed", who=name, role=user.role, disabled=user.disabled_at is not None)


def unlock(engine: Engine, name: str, *, by: str) -> None:
    """Let a locked user try again."""
    with transaction(engine) as session:
        user = _get(session, name)
        user.failures, user.locked_until = 0, None
        note(session, by, "user.unlocked", who=name)


def revoke_all(session: Session, name: str) -> None:
    """End every session and token of a user."""
    mine = (Credential.user == name, Credential.revoked_at.is_(None))
    session.execute(update(Credential).where(*mine).values(revoked_at=now()))


def _uri(name: str, secret: str) -> str:
    return pyotp.TOTP(secret, name=name, issuer="GlioFed").provisioning_uri()


def _get(session: Session, name: str) -> User:
    user = session.get(User, name, with_for_update=True)
    if user is None:
        raise AccessError("There is no such user", fix="list the users for those there are")
    return user


def _hash(password: str) -> str:
    with _HASHING:
        return _hasher().hash(password)


def _verify(hashed: str | None, password: str) -> bool:
    with _HASHING:
        try:
            return _hasher().verify(hashed or _nobodys_hash(), password[:LONGEST_PASSWORD]) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False


def _step_of(vault: Vault, user: User, code: str) -> int:
    """Return the time step that a code is of, the one before and the one after now included, or -1."""
    if user.totp_sealed is None:
        return -1
    totp = pyotp.TOTP(vault.open(user.totp_sealed, f"users.totp/{user.name}").decode())
    current = int(time.time()) // _STEP_S
    # Every step is looked at, however early one fits.
    fitting = [s for s in (current - 1, current, current + 1) if hmac.compare_digest(totp.at(s * _STEP_S), code)]
    return max(fitting, default=-1)
