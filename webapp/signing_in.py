"""Signing in: with a password and a code, or by the word of the hospital's own sign-on.

Whoever has shown who they are gets a session within the same transaction that looked at the account, so that a user
who is disabled at that moment, or whose password is changed, is either refused or signed out again.
"""

from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.clock import after, now
from core.records.db import reading, transaction
from core.records.web_tables import User
from webapp.accounts import NAME, check_name, new_user, revoke_all
from webapp.config import SignInSettings
from webapp.credentials import open_credential, revoke
from webapp.errors import Denied, Refused
from webapp.journal import ANYBODY, note
from webapp.passwords import check_password, hash_password, verify_password
from webapp.second_factor import step_of
from webapp.vault import Vault

_FIX = "check name, password and code; after several failures the account is locked for a while"
_HOUR_S = 3600


@dataclass(frozen=True)
class Asker:
    """Where a sign-in comes from.

    Attributes:
        address: of the network.
        session: the id of the browser's session until now, which ends; empty where there is none.
    """

    address: str
    session: str = ""


@dataclass(frozen=True)
class Person:
    """Somebody whom the hospital's own sign-on vouches for.

    Attributes:
        subject: keyed hash of who it is there, which stays when the name changes.
        name: what they are called there.
        role: by their groups; empty where none of them fits.
    """

    subject: str
    name: str
    role: str


def sign_in(
    engine: Engine,
    vault: Vault,
    settings: SignInSettings,
    name: str,
    password: str,
    code: str,
    asker: Asker,
    *,
    new_password: str = "",
) -> str:
    """Return the text of a new session for a user whose password and code are right.

    Args:
        engine, vault, settings: the server's.
        name, password, code: as typed.
        asker: who typed them.
        new_password: from now on, which ends all other sessions and tokens; empty: the same as before.
    Raises:
        Refused: they are not right, or the account is locked or disabled: which of them is told in the log alone.
        ConfigError: the new password is too weak.
    """
    name = name.strip().lower()
    name = name if NAME.fullmatch(name) else ""  # else a database may take "anna " for "anna"
    if new_password:
        check_password(new_password, name)
    with reading(engine) as session:
        seen = session.get(User, name)
    known = seen.password_hash if seen else None
    is_right = verify_password(known, password)
    hashed = hash_password(new_password) if new_password and is_right else ""
    with transaction(engine) as session:
        user = session.get(User, name, with_for_update=True)
        # Another password since it was looked at: the old one does not count any more.
        why = _why_not(
            user, vault, code, password_is_right=is_right and user is not None and user.password_hash == known
        )
        if user is not None and not why:
            user.failures, user.locked_until, user.totp_step = 0, None, step_of(vault, user, code)
            if hashed:
                user.password_hash = hashed
                revoke_all(session, name)
                note(session, name, "user.password-changed", who=name)
            return _open(session, user, settings, asker, by="password")
        if user is not None and why in ("password", "code"):
            _count_failure(session, user, settings, why, asker)
    if why in ("password", "code"):
        raise Refused(401, "The sign-in failed", fix=_FIX)
    # A name that nobody has may be a password typed into the wrong field.
    raise Denied(401, "The sign-in failed", fix=_FIX, action="sign-in.failed", user=name if user else ANYBODY, why=why)


def enter(engine: Engine, settings: SignInSettings, person: Person, asker: Asker) -> str:
    """Return the text of a new session for somebody whom the hospital's own sign-on vouches for.

    A user known from there alone gets a row at the first sign-in, without a password; the role follows the groups every
    time. An account with a password of its own is never theirs, whatever they are called.

    Raises: Denied: no group fits, the account is disabled, or the name is another's.
    """
    with transaction(engine) as session:
        user = session.scalar(select(User).where(User.subject == person.subject).with_for_update())
        why = _why_not_entering(session, user, person)
        if not why:
            user = user or _first_time(session, person)
            if user.role != person.role:
                user.role = person.role
                revoke_all(session, user.name)
                note(session, user.name, "user.changed", who=user.name, role=user.role, by="sign-on")
            return _open(session, user, settings, asker, by="sign-on")
        if user is not None and why == "group" and revoke_all(session, user.name):
            note(session, user.name, "user.signed-out", who=user.name, why=why)
    status, problem, fix = _REASONS[why]
    raise Denied(status, problem, fix=fix, action="sign-in.failed", user=user.name if user else ANYBODY, why=why)


_REASONS = {
    "group": (
        403,
        "The hospital's sign-on knows you, but none of your groups has a role here",
        "ask whoever manages the groups, or the administrator of this server, who maps them to roles",
    ),
    "disabled": (403, "The account is disabled", "ask an administrator of this server"),
    "name": (
        409,
        "Your name at the hospital's sign-on is another user's here, or cannot be one",
        "ask the administrator of this server to free the name, or to take another claim for it",
    ),
}


def _why_not(user: User | None, vault: Vault, code: str, *, password_is_right: bool) -> str:
    if user is None:
        return "unknown"
    if user.disabled_at:
        return "disabled"
    if user.locked_until and user.locked_until > now():
        return "locked"
    code_is_right = step_of(vault, user, code) > user.totp_step  # looked at even where the password is wrong
    if not password_is_right:
        return "password"
    return "" if code_is_right else "code"


def _count_failure(session: Session, user: User, settings: SignInSettings, why: str, asker: Asker) -> None:
    note(session, user.name, "sign-in.failed", why=why, address=asker.address)
    user.failures += 1
    if user.failures >= settings.failures:
        user.failures, user.locked_until = 0, after(settings.lock_minutes * 60)
        note(session, user.name, "user.locked", minutes=settings.lock_minutes)


def _why_not_entering(session: Session, user: User | None, person: Person) -> str:
    if not person.role:
        return "group"
    if user is not None:
        return "disabled" if user.disabled_at else ""
    return "name" if not check_name(person.name) or session.get(User, person.name) is not None else ""


def _first_time(session: Session, person: Person) -> User:
    user = new_user(person.name, person.role, subject=person.subject)
    session.add(user)
    session.flush()
    note(session, person.name, "user.created", who=person.name, role=person.role, by="sign-on")
    return user


def _open(session: Session, user: User, settings: SignInSettings, asker: Asker, *, by: str) -> str:
    if asker.session:
        revoke(session, asker.session)
    secret, _ = open_credential(session, user.name, "session", "", settings.session_hours * _HOUR_S)
    note(session, user.name, "signed.in", by=by, address=asker.address)
    return secret
