"""The second factor: a code that an authenticator app shows for half a minute, good for one sign-in.

Source: RFC 6238 (TOTP; section 5.2 on using a code once and on clocks that differ).
"""

import hmac
import time

import pyotp

from core.records.web_tables import User
from webapp.vault import Vault

_STEP_S = 30


def new_second_factor(vault: Vault, name: str) -> tuple[bytes, str]:
    """Return a second factor as it is kept, and the address that an authenticator app takes it from."""
    secret = pyotp.random_base32()
    uri = pyotp.TOTP(secret, name=name, issuer="GlioFed").provisioning_uri()
    return vault.seal(secret.encode(), _place(name)), uri


def step_of(vault: Vault, user: User, code: str) -> int:
    """Return the time step that a code is of, the one before and the one after now included, or -1."""
    if user.totp_sealed is None:
        return -1
    totp = pyotp.TOTP(vault.open(user.totp_sealed, _place(user.name)).decode())
    current = int(time.time()) // _STEP_S
    given = code.encode()
    # Every step is looked at, however early one fits.
    near = (current - 1, current, current + 1)
    fitting = [step for step in near if hmac.compare_digest(totp.at(step * _STEP_S).encode(), given)]
    return max(fitting, default=-1)


def _place(name: str) -> str:
    return f"users.totp/{name}"
