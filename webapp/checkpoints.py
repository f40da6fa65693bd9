"""The signed heads of this server's log: without them whoever owns the database could cut it off, or write it anew.

A hospital's server signs with a key of its own, every minute; where the log is a coordinator's, `fl-server` signs it.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.files import private_folder
from core.signing import load_key, load_public, make_key
from webapp.config import WebConfig


@dataclass(frozen=True)
class HeadSigner:
    """Where the signed heads are, and with what they are signed and checked.

    Attributes:
        checkpoints: the file.
        public: checks them.
        private: signs them; None where that is not this server's to do.
    """

    checkpoints: Path
    public: Ed25519PublicKey | None
    private: Ed25519PrivateKey | None


def head_signer(config: WebConfig) -> HeadSigner:
    """Return what signs and checks this server's log; a hospital's key is made where there is none.

    Raises: ConfigError: the key cannot be read.
    """
    if config.site.serves == "coordinator":
        public = config.home / "keys" / "signing.pub"
        checkpoints = config.home / "audit" / "checkpoints.jsonl"
        return HeadSigner(checkpoints, load_public(public) if public.exists() else None, None)
    folder = private_folder(config.keys_path.parent)
    private, public = folder / "audit.key", folder / "audit.pub"
    if not private.exists():
        make_key(private, public)
    key = load_key(private)
    return HeadSigner(config.data / "audit" / "checkpoints.jsonl", key.public_key(), key)
