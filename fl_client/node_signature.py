"""Is this call SuperNode's own? Whoever else has an account on this machine reaches the gate's port also.

Source: flwr 1.41, `flwr/supernode/node_auth_http_interceptor.py`: ECDSA with SHA-256 over the time as text.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from core.errors import ConfigError

KEY, TIME, SIGNATURE = "flwr-public-key", "flwr-timestamp", "flwr-signature"


class NodeSignature:
    """Knows the calls that are signed with this site's node key; how old a signature may be is SuperLink's to say.

    Args:
        public: the key's public half, in OpenSSH's format.
    Raises: ConfigError: it cannot be read.
    """

    def __init__(self, public: Path) -> None:
        try:
            key = load_ssh_public_key(public.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"The node key in {public} cannot be read ({type(error).__name__})", fix="run `fl-client join INVITE`"
            ) from None
        if not isinstance(key, EllipticCurvePublicKey):
            raise ConfigError(f"The node key in {public} is of another kind", fix="run `fl-client join INVITE`")
        self._key = key
        self._shown = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def of(self, headers: Mapping[str, str]) -> dict[str, str] | None:
        """Return the headers that sign a call, and no other; None where its signature is not this node's.

        Args:
            headers: by name in lower case.
        """
        try:
            signed = {name: headers[name] for name in (KEY, TIME, SIGNATURE)}
            signature, shown = (b64decode(signed[name], validate=True) for name in (SIGNATURE, KEY))
            self._key.verify(signature, signed[TIME].encode("ascii"), ECDSA(SHA256()))
        except (KeyError, binascii.Error, UnicodeEncodeError, InvalidSignature):
            return None
        return signed if shown == self._shown else None
