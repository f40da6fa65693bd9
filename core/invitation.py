"""A site's one-time invitation, as one line of text that a coordinator hands to a hospital's IT.

`gliofed-` and URL-safe base64 of a checksum and compact JSON: a line that was cut or mistyped on its way is told apart
from one that has expired. Whoever holds it may enrol in the site's name, once: it is handed over like a password.
"""

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from pydantic import Field

from core.clock import age_s, moment_of
from core.config import Section
from core.errors import AccessError, ConfigError

PREFIX = "gliofed-"
HTTPS_PORT = 443
_CHECKSUM_BYTES = 6
_HOST = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:(?P<port>[0-9]{1,5}))?")


class Invitation(Section):
    """What a site needs to find the coordinator, to know it by its CA, and to be let in once."""

    address: str = Field(max_length=260, description="host, or host:port")
    ca_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="fingerprint of the federation's CA certificate")
    token: str = Field(min_length=20, max_length=200, repr=False)
    site: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    expires_at: str = Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", description="text of core.clock, the coordinator's"
    )


def invitation_text(invitation: Invitation) -> str:
    """Return an invitation as one line of letters, digits, `-` and `_`."""
    body = json.dumps(invitation.model_dump(), separators=(",", ":")).encode()
    return PREFIX + urlsafe_b64encode(_checksum(body) + body).decode("ascii").rstrip("=")


def read_invitation(text: str) -> Invitation:
    """Return the invitation that a line holds; spaces and line breaks that a mail put in do not matter.

    Raises: ConfigError: it is no invitation, or not all of one. Whether it has expired is `check_not_expired`'s to say.
    """
    line = "".join(text.split())
    if not line.startswith(PREFIX):
        raise ConfigError(f"This is no invitation: one begins with {PREFIX}", fix="copy the coordinator's whole line")
    encoded = line.removeprefix(PREFIX)
    try:
        content = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        content = b""
    checksum, body = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    # The exact line, not only what it decodes to: decoders pass over letters that do not belong there.
    if not body or checksum != _checksum(body) or urlsafe_b64encode(content).decode("ascii").rstrip("=") != encoded:
        raise ConfigError(
            "The invitation is damaged: a part of it is missing or was changed", fix="copy the coordinator's whole line"
        )
    try:
        invitation = Invitation.model_validate_json(body)
        split_address(invitation.address)
        moment_of(invitation.expires_at)
    except (ValueError, ConfigError):
        raise ConfigError(
            "The invitation is whole, but of a kind that this release does not know",
            fix="install the release that the coordinator runs",
        ) from None
    return invitation


def check_not_expired(invitation: Invitation) -> None:
    """Refuse an invitation whose time is over by this machine's clock; the coordinator decides by its own.

    Raises: AccessError: it has expired.
    """
    if age_s(invitation.expires_at) > 0:
        raise AccessError(
            f"The invitation of {invitation.site} expired at {invitation.expires_at}",
            fix="ask the coordinator for a new one, or set this machine's clock if it is wrong",
        )


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of an address such as `fl.example.org`, `10.1.2.3:8443` or `[fd00::1]:443`.

    Raises: ConfigError: it is none.
    """
    match = _HOST.fullmatch(address.lower())
    port = int(match["port"] or HTTPS_PORT) if match else 0
    if match is None or not 0 < port < 2**16:
        raise ConfigError(f"{address!r} is no address", fix="write host or host:port, without https://")
    return match["host"].strip("[]"), port


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECKSUM_BYTES]
