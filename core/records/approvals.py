"""A model version's approval: the statement that the coordinator signed, beside the version's immutable folder.

REGISTRY/<version>.approval.json   {"statement": {"version", "study", "weights_sha256", "card_sha256",
                                   "calibration_sha256", "approved_at", "coordinator"}, "signature"}; a retired
                                   version's statement also has "retired_at"
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.errors import RegistryError
from core.files import write_atomically
from core.records.version_files import FILES
from core.signing import holds, public_text, sign

Statement = Mapping[str, str]

_FIELDS = {"version", "study", "approved_at", "coordinator", *(f"{Path(file).stem}_sha256" for file in FILES)}
_PULL = "pull the version from the coordinator again, or use another"


def approval_file(registry: Path, name: str) -> Path:
    """Return where a version's approval lies."""
    return registry / f"{name}.approval.json"


def coordinator_of(key: Ed25519PublicKey) -> str:
    """Return the short name of a key: the first 16 hexadecimal digits of the SHA-256 of its PEM text."""
    return hashlib.sha256(public_text(key).encode("ascii")).hexdigest()[:16]


def write_approval(registry: Path, statement: Statement, key: Ed25519PrivateKey) -> None:
    """Sign a statement and write it beside the version that it names."""
    write_atomically(approval_file(registry, statement["version"]), _text_of(statement, sign(key, statement)))


def read_approval(registry: Path, name: str, trusted: Ed25519PublicKey) -> Statement:
    """Return what was signed of a version; it may have been retired since.

    Raises: RegistryError: there is no approval, or it does not hold.
    """
    try:
        content = approval_file(registry, name).read_bytes()
    except FileNotFoundError:
        raise RegistryError(
            f"{name} is not approved", fix="use an approved version, or let the coordinator approve it"
        ) from None
    return signed_statement(content, name, trusted)


def signed_statement(content: bytes, name: str, trusted: Ed25519PublicKey) -> Statement:
    """Return the statement that an approval holds, which is of this version and signed with this key.

    Raises: RegistryError: it is not.
    """
    try:
        approval = json.loads(content)
        statement, signature = dict(approval["statement"]), str(approval["signature"])
        whole = statement.keys() - {"retired_at"} == _FIELDS and all(isinstance(v, str) for v in statement.values())
        as_written = content == _text_of(statement, signature.lower()).encode()
    except (ValueError, KeyError, TypeError):
        whole = as_written = False
    if not (whole and as_written):
        raise RegistryError(f"The approval of {name} is damaged", fix=_PULL)
    if not holds(trusted, statement, signature):
        raise RegistryError(
            f"The approval of {name} is not what this federation's coordinator signed",
            fix=f"{_PULL}; the trusted key is {coordinator_of(trusted)}",
        )
    if statement["version"] != name:
        raise RegistryError(f"The approval of {name} is that of {statement['version']}", fix=_PULL)
    return statement


def demand_in_use(statement: Statement) -> None:
    """Check that a version has not been retired.

    Raises: RegistryError: it has.
    """
    if "retired_at" in statement:
        raise RegistryError(
            f"{statement['version']} was retired on {statement['retired_at'][:10]}", fix="use a newer version"
        )


def digests_of(files: Mapping[str, bytes]) -> Statement:
    """Return what an approval says of a version's files: the SHA-256 of each."""
    return {f"{Path(file).stem}_sha256": hashlib.sha256(files[file]).hexdigest() for file in FILES}


def demand_same(statement: Statement, files: Mapping[str, bytes]) -> None:
    """Check that a version's files are those that were approved.

    Raises: RegistryError: they are not.
    """
    for field, digest in digests_of(files).items():
        if digest != statement[field]:
            what = field.removesuffix("_sha256")
            verb = "are" if what == "weights" else "is"
            raise RegistryError(
                f"The {what} of {statement['version']} {verb} not what the coordinator approved", fix=_PULL
            )


def _text_of(statement: Statement, signature: str) -> str:
    """Return the one text of an approval, so that a change of no meaning is seen as well."""
    return json.dumps({"statement": dict(statement), "signature": signature}, indent=2, sort_keys=True)
