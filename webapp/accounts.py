"""Users: who they are, what they may do, and what an administrator changes of them."""

import re
from dataclasses import dataclass

from sqlalchemy import CursorResult, Engine, func, select, update
from sqlalchemy.orm import Session

from core.clock import now
from core.errors import ConfigError
from core.records.db import transaction
from core.records.web_tables import Credential, User
from webapp.errors import Denied
from webapp.journal import ANYBODY, CONSOLE, SERVICE, note
from webapp.passwords import check_password, hash_password
from webapp.second_factor import new_second_factor
from webapp.vault import Vault

ROLES = ("clinician", "auditor", "coordinator", "administrator")
NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")
# What the log calls those who are no user.
_RESERVED = (ANYBODY, CONSOLE, SERVICE)


@dataclass(frozen=True)
class Enrolled:
    """A user who was made, and what is shown once.

    Attributes:
        name: the user's.
        totp_uri: for the authenticator app; holds its secret.
    """

    name: str
    totp_uri: str


@dataclass(frozen=True)
class Change:
    """What is changed of a user; whatever is left out stays.

    Attributes:
        role: another one.
        disabled: whether the account is.
        password: another one.
        renew_second_factor: as after the loss of a phone.
        unlock: let a locked user try again.
    """

    role: str | None = None
    disabled: bool | None = None
    password: str | None = None
    renew_second_factor: bool = False
    unlock: bool = False


def create_user(engine: Engine, vault: Vault, name: str, role: str, password: str, *, by: str) -> Enrolled:
    """Make a user with a second factor.

    Raises: ConfigError: the name is taken or not one, there is no such role, or the password is too weak.
    """
    check_new_user(name, role)
    check_password(password, name)
    hashed = hash_password(password)
    with transaction(engine) as session:
        if session.get(User, name) is not None:
            raise ConfigError(f"There is a user {name} already", fix="choose another name")
        sealed, uri = new_second_factor(vault, name)
        session.add(new_user(name, role, password_hash=hashed, totp_sealed=sealed))
        session.flush()
        note(session, by, "user.created", who=name, role=role)
    return Enrolled(name, uri)


def new_user(
    name: str,
    role: str,
    *,
    password_hash: str | None = None,
    totp_sealed: bytes | None = None,
    subject: str | None = None,
) -> User:
    """Return the row of a user; without a password and with a subject, of one from the hospital's own sign-on."""
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
        subject=subject,
    )


def check_name(name: str) -> bool:
    """Say whether a user may be called so."""
    return NAME.fullmatch(name) is not None and name not in _RESERVED


def check_new_user(name: str, role: str) -> None:
    """Check a name and a role.

    Raises: ConfigError: one of them cannot be.
    """
    if not check_name(name):
        raise ConfigError(
            "A user's name is up to 63 small letters, digits, dots, dashes, underscores and @, and none of "
            f"{', '.join(_RESERVED)}",
            fix="choose such a name, beginning with a letter or digit",
        )
    _check_role(role)


def change_user(engine: Engine, vault: Vault, name: str, change: Change, *, by: str) -> str:
    """Change a user, all that is asked for or nothing; sessions and tokens end, but for an unlocking.

    Returns: what a new second factor is taken from, which is shown once; else nothing.
    Raises:
        Refused: there is no such user.
        ConfigError: no such role, a weak password, nobody would be administrator any more, or it is for the hospital's
            own sign-on to say.
    """
    if change == Change():
        raise ConfigError("Nothing is to be changed", fix="say what")
    if change.role is not None:
        _check_role(change.role)
    hashed = None
    if change.password is not None:
        check_password(change.password, name)
        hashed = hash_password(change.password)
    with transaction(engine) as session:
        user = _get(session, name)
        if user.subject is not None and (change.role or hashed or change.renew_second_factor):
            raise ConfigError(
                "Role, password and second factor of this user are the hospital's own sign-on's",
                fix="change them there, or disable the account here",
            )
        uri = ""
        if change.role is not None or change.disabled is not None:
            _change_rights(session, user, change)
            note(session, by, "user.changed", who=name, role=user.role, disabled=user.disabled_at is not None)
        if hashed:
            user.password_hash = hashed
            note(session, by, "user.password-changed", who=name)
        if change.renew_second_factor:
            (user.totp_sealed, uri), user.totp_step = new_second_factor(vault, name), 0
            note(session, by, "user.second-factor-renewed", who=name)
        if change.unlock or hashed:
            user.failures, user.locked_until = 0, None
            note(session, by, "user.unlocked", who=name)
        if change != Change(unlock=True):
            revoke_all(session, name)
    return uri


def revoke_all(session: Session, name: str) -> int:
    """End every session and token of a user.

    Returns: how many there were.
    """
    mine = (Credential.user == name, Credential.revoked_at.is_(None), Credential.expires_at > now())
    done = session.execute(update(Credential).where(*mine).values(revoked_at=now()))
    return done.rowcount if isinstance(done, CursorResult) else 0


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise ConfigError(f"There is no such role; there are {', '.join(ROLES)}", fix="choose one of them")


def _change_rights(session: Session, user: User, change: Change) -> None:
    was_one = user.role == "administrator" and user.disabled_at is None
    user.role = change.role or user.role
    if change.disabled is not None:
        user.disabled_at = (user.disabled_at or now()) if change.disabled else None
    session.flush()
    # One from the hospital's sign-on does not count: when that is down, somebody must be able to sign in.
    administrators = (User.role == "administrator", User.disabled_at.is_(None), User.subject.is_(None))
    if was_one and not session.scalar(select(func.count()).select_from(User).where(*administrators)):
        raise ConfigError("Nobody would be administrator any more", fix="make another administrator first")


def _get(session: Session, name: str) -> User:
    user = session.get(User, name, with_for_update=True) if NAME.fullmatch(name) else None
    if user is None:
        raise Denied(404, "There is no such user", fix="take a name that the list of users shows")
    return user
