"""What a site knows of a study: how it was offered and answered, and what was approved before."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KnownOffer:
    """A study that this site was offered.

    Attributes:
        study: its name.
        state: `pending`, `approved` or `refused`, by this site's people.
        reason: theirs.
        bundle_sha256: of the app bundle that was offered, which the answer is about.
        offered_at, answered_at: text of core.clock.
        toml: text of the study.toml in the bundle.
        bundle: the app bundle.
    """

    study: str
    state: str
    reason: str
    bundle_sha256: str
    offered_at: str
    answered_at: str | None
    toml: str
    bundle: bytes


@dataclass(frozen=True)
class Approved:
    """A version of a study that this site has approved.

    Attributes:
        study: its name.
        at: when; text of core.clock.
        bundle_sha256: of its app bundle.
        settings: all of its settings at that time, by section.
    """

    study: str
    at: str
    bundle_sha256: str
    settings: dict[str, Any]
