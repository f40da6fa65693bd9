"""A log whose database went back to an earlier moment, beside signed heads that did not: accepted, and told in the log.

The heads that came later prove that something was lost. They are kept beside the file, which goes on from the last one
that the log still holds.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from core.clock import now
from core.files import write_private
from core.progress import Report, silent
from core.records.checkpoints import read_checkpoints
from core.records.db import open_database, reading, transaction
from core.records.tables import AuditHead
from webapp import log
from webapp.checkpoints import head_signer
from webapp.config import WebConfig
from webapp.journal import CONSOLE, NOTHING, note


@dataclass(frozen=True)
class Accepted:
    """What a log is after its database was restored.

    Attributes:
        events, checkpoints: that it has, and agrees with.
        lost: events after its end that had been signed.
        aside: the file of their heads, None where nothing is lost.
    """

    events: int
    checkpoints: int
    lost: int
    aside: Path | None


def accept(config: WebConfig, report: Report = silent) -> Accepted:
    """Let a server go on from a database that was restored to an earlier moment.

    Args:
        config: of the server, which is stopped.
        report: told of the progress.
    Raises: AuditError: the log is not whole, or not what was signed; nothing has changed then.
    """
    signer = head_signer(config)
    path = signer.checkpoints
    engine = open_database(config.database_url)
    with reading(engine) as session:
        end = session.scalar(select(AuditHead.seq)) or 0
    signed = read_checkpoints(path, signer.public)
    later = [head for head in signed if head.seq > end]
    if not later:
        verified = log.verify(engine, path, signer.public, report)
        engine.dispose()
        return Accepted(verified.events, verified.checkpoints, 0, None)
    lines = path.read_bytes().splitlines(keepends=True)
    kept = path.with_name("checkpoints.kept.jsonl")
    write_private(kept, b"".join(lines[: len(signed) - len(later)]))
    verified = log.verify(engine, kept, signer.public, report)
    aside = path.with_name(f"checkpoints.{now()[:19].replace(':', '')}.jsonl")
    aside.hardlink_to(path)
    kept.replace(path)
    lost = later[-1].seq - end
    with transaction(engine) as session:
        note(session, CONSOLE, "backup.restored", NOTHING, events=end, lost=lost)
    engine.dispose()
    return Accepted(verified.events, verified.checkpoints, lost, aside)
