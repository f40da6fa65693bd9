"""When the agent last reached the coordinator, and what was wrong since: for `fl-client status`."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path


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


def write_fleeting(path: Path, text: str) -> None:
    """Write a file whole or not at all, as core.files does, but without forcing it to disk.

    For what is written every second and is worth nothing after a power cut.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)
