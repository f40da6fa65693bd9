"""Ed25519 signatures over statements: a model's approval, the head of an audit log.

Source: RFC 8032. A key at rest is PKCS#8, encrypted where it has a passphrase.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from core.errors import AccessError, ConfigError
from core.files import write_atomically, write_private


def make_key(private: Path, public: Path, passphrase: str | None = None) -> Ed25519PrivateKey:
    """Make a pair of keys and write both, the private one for this account only, encrypted under a passphrase."""
    key = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    write_private(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    write_atomically(public, public_text(key.public_key()))
    return key


def load_key(private: Path, passphrase: str | None = None) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        ConfigError: there is none, or it is not an Ed25519 key.
        AccessError: the passphrase is missing or wrong.
    """
    try:
        key = load_pem_private_key(private.read_bytes(), passphrase.encode() if passphrase else None)
    except OSError as error:
        raise ConfigError(
            f"{private} cannot be read ({error.strerror})", fix="name this side's home in FL_HOME"
        ) from None
    except (ValueError, TypeError):
        raise AccessError(f"The passphrase does not open {private}", fix="give the one that was set at init") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{private} is not an Ed25519 key", fix="restore it from a backup")
    return key


def load_public(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises: ConfigError: there is none, or it is not an Ed25519 key.
    """
    try:
        return public_of(path.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} holds no public key ({type(error).__name__})", fix="enrol this site, or name its home in FL_HOME"
        ) from None


def public_of(text: str) -> Ed25519PublicKey:
    """Return the key that a PEM text holds.

    Raises: ValueError: it holds none of this kind.
    """
    key = load_pem_public_key(text.encode("ascii"))
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")  # noqa: TRY004 (a wrong text, not a wrong call)
    return key


def public_text(key: Ed25519PublicKey) -> str:
    """Return a public key as PEM text."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def canonical(statement: Mapping[str, Any]) -> str:
    """Return a statement as the one JSON text that is signed or hashed for it."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sign(key: Ed25519PrivateKey, statement: Mapping[str, Any]) -> str:
    """Return the signature of a statement as 128 hexadecimal digits."""
    return key.sign(canonical(statement).encode()).hex()


def holds(key: Ed25519PublicKey, statement: Mapping[str, Any], signature: str) -> bool:
    """Say whether a signature is this key's and of this statement."""
    try:
        key.verify(bytes.fromhex(signature), canonical(statement).encode())
    except (InvalidSignature, ValueError):
        return False
    return True
