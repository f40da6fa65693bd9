"""What keeps patient data unreadable in a stolen database or disk: sealed fields, keyed hashes, and their keys.

A sealed value is the number of its key (4 bytes), a nonce (12 bytes) and AES-256-GCM's ciphertext, which is bound to
the place that it was written for: moved to another row or column, it does not open. Keys lie in one file, apart from
the database and never in its backups:

KEYS/web-keys.json   {"sealing": {"1": <64 hex>, ...}, "hashing": <64 hex>}; the highest number seals, all of them open

Source: NIST SP 800-38D (GCM), RFC 2104 (HMAC).
"""

import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import ConfigError, RecordsError
from core.files import private_folder, write_private

KEY_BYTES = 32
_NUMBER, _NONCE = 4, 12
# A key that a rotation has removed opens, for so long, what was read from the database before.
_FORMER_S = 900.0


@dataclass(frozen=True)
class Keys:
    """The keys of one file at one moment.

    Attributes:
        sealing: AES-256 keys by their number.
        hashing: of all keyed hashes; it stays, since what it has hashed is looked for.
    """

    sealing: dict[int, bytes]
    hashing: bytes

    @property
    def newest(self) -> int:
        """The number of the key that seals."""
        return max(self.sealing)


class Vault:
    """Seals, opens and hashes with the keys of a file, which may be rotated meanwhile by another process.

    Args:
        path: the file, made with fresh keys where there is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        if not path.exists():
            private_folder(path.parent)
            write_keys(path, Keys({1: secrets.token_bytes(KEY_BYTES)}, secrets.token_bytes(KEY_BYTES)))
        self._seen = self._stamp()
        self._keys = read_keys(path)
        self._former: dict[int, tuple[bytes, float]] = {}

    @property
    def keys(self) -> Keys:
        """The keys as they are in the file now."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._seen:
                before, self._keys, self._seen = self._keys, read_keys(self._path), stamp
                until = time.monotonic() + _FORMER_S
                gone = before.sealing.keys() - self._keys.sealing.keys()
                self._former |= {number: (before.sealing[number], until) for number in gone}
            return self._keys

    def seal(self, content: bytes, place: str) -> bytes:
        """Return content as only this vault can read it.

        Within a transaction, so that a rotation either sees this value or has made the key that seals it.

        Args:
            content: what is to be kept.
            place: where it will lie, as `table.column/row`.
        """
        keys = self.keys
        nonce = os.urandom(_NONCE)
        number = keys.newest.to_bytes(_NUMBER, "big")
        return number + nonce + AESGCM(keys.sealing[keys.newest]).encrypt(nonce, content, number + place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """Return what was sealed for this place.

        Raises: RecordsError: its key is gone, or it was changed or moved.
        """
        number, nonce = sealed[:_NUMBER], sealed[_NUMBER : _NUMBER + _NONCE]
        key = self._key(int.from_bytes(number, "big"))
        if key is None:
            raise RecordsError(
                "A sealed value needs a key that is not here", fix="restore the file of keys from its own backup"
            )
        try:
            return AESGCM(key).decrypt(nonce, sealed[_NUMBER + _NONCE :], number + place.encode())
        except (InvalidTag, ValueError):
            raise RecordsError(
                f"The sealed value of {place.partition('/')[0]} was changed or moved",
                fix="keep the database as it is, restore a copy made before, and find out who could write to it",
            ) from None

    def seal_json(self, value: object, place: str) -> bytes:
        """Return JSON, sealed."""
        return self.seal(json.dumps(value, separators=(",", ":")).encode(), place)

    def open_json(self, sealed: bytes, place: str) -> Any:  # noqa: ANN401 (JSON)
        """Return the JSON that was sealed for this place."""
        return json.loads(self.open(sealed, place))

    def mac(self, purpose: str, text: str) -> str:
        """Return the keyed hash of a text, 64 hexadecimal digits; one for each purpose."""
        return hmac.new(self.keys.hashing, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()

    def _key(self, number: int) -> bytes | None:
        key = self.keys.sealing.get(number)
        if key is not None:
            return key
        former, until = self._former.get(number, (None, 0.0))
        return former if time.monotonic() < until else None

    def _stamp(self) -> tuple[int, int, int]:
        try:
            with self._path.open("rb") as file:  # opened, since a network's disk is asked anew only then
                found = os.fstat(file.fileno())
        except OSError as error:
            raise _unreadable(self._path, error) from None
        return found.st_ino, found.st_mtime_ns, found.st_size


def number_of(sealed: bytes) -> int:
    """Return the number of the key that a value is sealed with."""
    return int.from_bytes(sealed[:_NUMBER], "big")


def read_keys(path: Path) -> Keys:
    """Read a file of keys.

    Raises: ConfigError: it is missing, not readable or damaged.
    """
    try:
        stored = json.loads(path.read_text("ascii"))
        keys = Keys(
            {int(number): bytes.fromhex(key) for number, key in stored["sealing"].items()},
            bytes.fromhex(stored["hashing"]),
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise _unreadable(path, error) from None
    if not keys.sealing or {len(key) for key in (*keys.sealing.values(), keys.hashing)} != {KEY_BYTES}:
        raise _unreadable(path, ValueError())
    return keys


def write_keys(path: Path, keys: Keys) -> None:
    """Write a file of keys, whole or not at all, for this account only."""
    sealing = {str(number): key.hex() for number, key in sorted(keys.sealing.items())}
    write_private(path, json.dumps({"sealing": sealing, "hashing": keys.hashing.hex()}))


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"{path} holds no keys that can be read ({type(error).__name__})",
        fix="let this account read it, or restore it from its own backup; without it no patient data can be opened",
    )
