"""The coordinator's signature under a model version, asked for at the command line or by a wish in the records."""

import logging
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from core.errors import FederationError, RegistryError
from core.records.decisions import LEADS, Wish, decide_version, refuse_wish, state_of, wished_versions
from core.records.registry import approve_version, approved_versions, retire_version, retired_versions
from core.records.tables import Version

logger = logging.getLogger(__name__)

ACTOR = "service"


def decide(
    records: Engine, registry: Path, name: str, wanted: Wish, key: Ed25519PrivateKey, *, actor: str, wished_by: str = ""
) -> None:
    """Sign a version's approval or retirement, and note it in the records.

    Where a process ended between the two, only the note is made.

    Args:
        records: the coordinator's.
        registry: the folder of model versions.
        name: the version's.
        wanted: `approve` or `retire`.
        key: the coordinator's.
        actor: who signs.
        wished_by: who asked for it, where that was another.
    Raises:
        RegistryError: the version is damaged, or its approval or retirement does not allow it.
        FederationError: the records know no such version.
    """
    _, after = LEADS[wanted]
    signed, sign = (approved_versions, approve_version) if wanted == "approve" else (retired_versions, retire_version)
    noted = state_of(records, name) == after
    if noted or name not in signed(registry, key.public_key()):
        sign(registry, name, key)
    decide_version(records, name, after, actor=actor, wished_by=wished_by)


def fulfill_wishes(records: Engine, registry: Path, key: Ed25519PrivateKey) -> None:
    """Do what is wished of model versions; what cannot be done is noted with its cause, and not tried again.

    Raises: RecordsError: the database cannot be reached; the wishes stay.
    """
    for version in wished_versions(records):
        try:
            _fulfill(records, registry, version, key)
        except (RegistryError, FederationError) as error:
            _refuse(records, version, error.problem)
        except OSError as error:
            _refuse(records, version, f"The registry cannot be written to ({error.strerror})")


def _fulfill(records: Engine, registry: Path, version: Version, key: Ed25519PrivateKey) -> None:
    wanted: Wish | None = next((wish for wish in LEADS if wish == version.wish), None)
    if wanted is None:
        raise FederationError("The wish is neither to approve nor to retire", fix="wish one of these")
    decide(records, registry, version.name, wanted, key, actor=ACTOR, wished_by=version.wished_by or "")
    logger.info("%s: %s, as %s wished", version.name, LEADS[wanted][1], version.wished_by)


def _refuse(records: Engine, version: Version, cause: str) -> None:
    logger.warning("%s: cannot %s it: %s", version.name, version.wish, cause)
    refuse_wish(records, version.name, cause, actor=ACTOR)
