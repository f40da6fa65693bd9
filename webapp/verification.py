"""When the whole log was verified last, and whether it was intact: kept for whoever watches the server.

DATA/audit/verified.json   beside the signed heads and not in the database, whose owner could write there what they like
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Engine

from core.clock import now
from core.errors import AuditError
from core.files import private_folder, write_private
from core.progress import Report, silent
from core.records.audit import Verified
from webapp import log
from webapp.checkpoints import head_signer
from webapp.config import WebConfig


@dataclass(frozen=True)
class Outcome:
    """What a verification found.

    Attributes:
        at: when it was done, text of core.clock.
        intact: whether the log is what was written and signed.
    """

    at: str
    intact: bool


def verify_whole(engine: Engine, config: WebConfig, report: Report = silent) -> Verified:
    """Verify the whole log as `webapp.log.verify` does, and keep the outcome.

    Raises:
        AuditError: naming the first event that was changed, removed, inserted or moved.
        RecordsError: the database cannot be used; the outcome of before stays.
        OSError: the log is intact, and that could not be written down.
    """
    signer = head_signer(config)
    try:
        verified = log.verify(engine, signer.checkpoints, signer.public, report)
    except AuditError:
        with suppress(OSError):  # a full disk must not hide what was found
            _keep(config, intact=False)
        raise
    _keep(config, intact=True)
    return verified


def last_outcome(config: WebConfig) -> Outcome | None:
    """Return what the last verification found; None where there was none, or where it cannot be read."""
    try:
        return Outcome(**json.loads(_file(config).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _keep(config: WebConfig, *, intact: bool) -> None:
    private_folder(_file(config).parent)
    write_private(_file(config), json.dumps(asdict(Outcome(now(), intact))) + "\n")


def _file(config: WebConfig) -> Path:
    return config.data / "audit" / "verified.json"
