"""Passwords: which ones are good enough, and their argon2id hashes, which cost whoever guesses them.

Source: RFC 9106 (Argon2), NIST SP 800-63B (length above composition, Unicode normalized).
"""

import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import ConfigError
from webapp.errors import Refused

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 200
# A hash takes 64 MiB and a fifth of a second: with a flood of sign-ins, the others must still be served.
_AT_ONCE, _IN_LINE = 2, 16
_LINE, _HASHING = BoundedSemaphore(_AT_ONCE + _IN_LINE), BoundedSemaphore(_AT_ONCE)


def check_password(password: str, name: str) -> None:
    """Check that a password is long enough, and not the name's.

    Raises: ConfigError: it is not.
    """
    long_enough = SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD
    if not long_enough or len(set(password)) < 5 or name in password.lower():
        raise ConfigError(
            f"The password must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters, at least five different "
            "ones, and not hold the user's name",
            fix="take several words that do not belong together",
        )


def hash_password(password: str) -> str:
    """Return what is kept of a password.

    Raises: Refused: too many are being hashed.
    """
    with _turn():
        return _hasher().hash(_normal(password))


def verify_password(hashed: str | None, password: str) -> bool:
    """Say whether a password is the one of a hash; without a hash it takes as long, and is not.

    Raises: Refused: too many are being looked at.
    """
    with _turn():
        try:
            return _hasher().verify(hashed or _nobodys_hash(), _normal(password)) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False


@contextmanager
def _turn() -> Iterator[None]:
    """Wait for one's turn, unless the line is so long that nobody could ask for anything else meanwhile."""
    if not _LINE.acquire(blocking=False):
        raise Refused(429, "Too many people sign in at once", fix="try again in a few seconds", retry_after=5)
    try:
        with _HASHING:
            yield
    finally:
        _LINE.release()


def _normal(password: str) -> str:
    """Return a password as it is on every keyboard: an umlaut may be one character or two."""
    return unicodedata.normalize("NFKC", password)


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    """Return the hash of no password, so that a name that nobody has takes as long as one that somebody has."""
    return _hasher().hash(secrets.token_hex(16))
