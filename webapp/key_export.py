"""A server's keys as they lie in a safe: one small file, encrypted under a passphrase, apart from every backup.

    {"scrypt": {"salt", "n", "r", "p"}, "nonce", "sealed"}   sealed: AES-256-GCM of the keys as JSON, bound to the rest

Beside the file of keys lie those that this server needs as well, and all of them travel together:

KEYS/backup.key     encrypts backups; 64 hexadecimal digits
KEYS/audit.key      signs the log's heads
KEYS/erased.txt     the ids of erased patients
KEYS/exported.txt   the short name of the keys that were exported last

Source: RFC 7914 (scrypt), with OWASP's parameters.
"""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from core.errors import AccessError, ConfigError
from core.files import private_folder, write_private
from core.signing import canonical, load_key, public_text
from webapp.erased import erased_in, remember
from webapp.vault import KEY_BYTES, Keys, read_keys, write_keys

SHORTEST_PASSPHRASE = 16
# 128 MiB and half a second for each guess.
_N, _R, _P = 2**17, 8, 1
_SALT = _NONCE = 16


@dataclass(frozen=True)
class Exported:
    """What an export holds.

    Attributes:
        keys: of the vault.
        backup: the backup key.
        audit: the key that signs the log's heads, as PEM; "" where another side signs them.
        erased: ids of erased patients.
    """

    keys: Keys
    backup: bytes
    audit: str
    erased: frozenset[str]


def backup_key(keys: Path) -> bytes:
    """Return the key of backups, made where there is none.

    Args:
        keys: the file of keys that it lies beside.
    Raises: ConfigError: it is damaged.
    """
    path = keys.with_name("backup.key")
    if not path.exists():
        private_folder(path.parent)
        write_private(path, secrets.token_bytes(KEY_BYTES).hex())
    return known_backup_key(keys)


def known_backup_key(keys: Path) -> bytes:
    """Return the key of backups that is here.

    Raises: ConfigError: there is none, or it is damaged.
    """
    path = keys.with_name("backup.key")
    try:
        key = bytes.fromhex(path.read_text("ascii"))
    except (OSError, ValueError) as error:
        raise _no_key(path, type(error).__name__) from None
    if len(key) != KEY_BYTES:
        raise _no_key(path, "its length")
    return key


def is_exported(keys: Path) -> bool:
    """Say whether the keys as they are now were ever exported."""
    noted = keys.with_name("exported.txt")
    return noted.exists() and noted.read_text("ascii") == _short_name(read_keys(keys), known_backup_key(keys))


def export_keys(keys: Path, to: Path, passphrase: str) -> None:
    """Write all keys of a server into one file, encrypted under a passphrase.

    Args:
        keys: the file of keys.
        to: the new file.
        passphrase: opens it.
    Raises: ConfigError: the passphrase is too short, there is such a file, or keys cannot be read.
    """
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise ConfigError(
            f"The passphrase has {len(passphrase)} characters", fix=f"take {SHORTEST_PASSPHRASE} or more: five words"
        )
    if to.exists():
        raise ConfigError(f"There is a file {to} already", fix="name another")
    mine = Exported(read_keys(keys), backup_key(keys), _text(keys.with_name("audit.key")), erased_in(keys))
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    head = _head(salt, nonce)
    sealed = _cipher(passphrase, salt).encrypt(nonce, json.dumps(_told(mine)).encode(), canonical(head).encode())
    write_private(to, json.dumps({**head, "sealed": base64.b64encode(sealed).decode()}, indent=1) + "\n")
    read_export(to, passphrase)  # before anybody relies on it
    write_private(keys.with_name("exported.txt"), _short_name(mine.keys, mine.backup))


def read_export(path: Path, passphrase: str) -> Exported:
    """Return what an export holds.

    Raises:
        ConfigError: it is no export, or cannot be read.
        AccessError: the passphrase does not open it.
    """
    try:
        stored = json.loads(path.read_text("ascii"))
        sealed = base64.b64decode(stored.pop("sealed"), validate=True)
        salt, nonce = bytes.fromhex(stored["scrypt"]["salt"]), bytes.fromhex(stored["nonce"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} holds no exported keys ({type(error).__name__})", fix="name a file that `fl-web export-keys` wrote"
        ) from None
    try:
        bound = canonical(_head(salt, nonce)).encode()
        told = json.loads(_cipher(passphrase, salt).decrypt(nonce, sealed, bound))
    except (InvalidTag, ValueError):
        raise AccessError(
            f"The passphrase does not open {path}, or the file was changed",
            fix="type the passphrase that it was exported with, or take another copy of the file",
        ) from None
    sealing = {int(number): bytes.fromhex(key) for number, key in told["sealing"].items()}
    keys = Keys(sealing, bytes.fromhex(told["hashing"]))
    return Exported(keys, bytes.fromhex(told["backup"]), told["audit"], frozenset(told["erased"]))


def import_keys(keys: Path, found: Exported) -> None:
    """Put exported keys where a server looks for them, beside those that are there.

    Args:
        keys: the file of keys, made or added to.
        found: what an export holds.
    Raises: ConfigError: other keys are there, of another server.
    """
    backup, audit = keys.with_name("backup.key"), keys.with_name("audit.key")
    here = read_keys(keys) if keys.exists() else found.keys
    if (
        here.hashing != found.keys.hashing
        or any(found.keys.sealing.get(number, key) != key for number, key in here.sealing.items())
        or (backup.exists() and known_backup_key(keys) != found.backup)
        or (audit.exists() and found.audit and _text(audit) != found.audit)
    ):
        raise ConfigError(
            f"Beside {keys} lie keys of another server", fix="name an empty folder, or move those keys away first"
        )
    private_folder(keys.parent)
    write_private(backup, found.backup.hex())
    if found.audit:
        write_private(audit, found.audit)
        write_private(keys.with_name("audit.pub"), public_text(load_key(audit).public_key()))
    remember(keys, found.erased)
    write_keys(keys, replace(here, sealing={**here.sealing, **found.keys.sealing}))


def names_of(keys: Keys) -> dict[str, str]:
    """Return what tells these keys from others, and nothing of them: by number, and `hashing`."""
    named = {**{str(number): key for number, key in keys.sealing.items()}, "hashing": keys.hashing}
    return {name: hashlib.sha256(b"the name of a key\n" + key).hexdigest()[:16] for name, key in named.items()}


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt, KEY_BYTES, _N, _R, _P).derive(passphrase.encode()))


def _head(salt: bytes, nonce: bytes) -> dict[str, object]:
    # Always our own parameters: whoever wrote others may want this machine's memory.
    return {"scrypt": {"salt": salt.hex(), "n": _N, "r": _R, "p": _P}, "nonce": nonce.hex()}


def _short_name(keys: Keys, backup: bytes) -> str:
    return hashlib.sha256(canonical({**names_of(keys), "backup": backup.hex()}).encode()).hexdigest()


def _told(mine: Exported) -> Mapping[str, object]:
    return {
        "sealing": {str(number): key.hex() for number, key in mine.keys.sealing.items()},
        "hashing": mine.keys.hashing.hex(),
        "backup": mine.backup.hex(),
        "audit": mine.audit,
        "erased": sorted(mine.erased),
    }


def _text(path: Path) -> str:
    return path.read_text("ascii") if path.exists() else ""


def _no_key(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} holds no backup key ({why})", fix="bring the keys from their export: fl-web import-keys"
    )
