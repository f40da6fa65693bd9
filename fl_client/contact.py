"""When the agent last reached the coordinator, and what was wrong since: for `fl-client status`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from core.files import write_fleeting


@dataclass(frozen=True)
class Contact:
    """How it stands with the coordinator.

    Attributes:
        reached_at: when it answered last, text of core.clock, or empty.
        problem, fix: what is wrong since then, or empty.
        state: what this site does, as it told last.
    """

    reached_at: str = ""
    problem: str = ""
    fix: str = ""
    state: str = "idle"


def read_contact(path: Path) -> Contact:
    """Return what the agent wrote last."""
    try:
        return Contact(**json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return Contact()


def write_contact(path: Path, contact: Contact) -> None:
    """Write how it stands."""
    write_fleeting(path, json.dumps(asdict(contact)))
