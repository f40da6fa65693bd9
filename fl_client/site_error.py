"""What leaves this site of an error: a code; and for people who read the site's status, a sentence of our own."""

from dataclasses import dataclass

from core.errors import (
    ConfigError,
    ConnectionProblem,
    DataError,
    FederationError,
    FLError,
    PreparationError,
    PrivacySpent,
    RecordsError,
    UpdateRejected,
)
from core.messages import SITE_ERROR

# No error's own text: it could name a file, and a file's name a patient.
_CAUSES: dict[type[FLError], str] = {
    ConfigError: "this site's settings are wrong, or its machine lacks what they ask for",
    DataError: "scans or labels at this site cannot be used",
    PreparationError: "this site's cohort is not prepared for the study",
    UpdateRejected: "this site refused the task: not approved here, or of another release, study or model",
    FederationError: "training did not go on: the run was stopped, or the loss was not a finite number",
    RecordsError: "this site's records cannot be written",
    ConnectionProblem: "this site's trainer does not run",
    PrivacySpent: "this site's privacy budget or floor does not allow the round: `fl-client privacy` says what is left",
}
_UNEXPECTED = "an unexpected error at this site"


@dataclass(frozen=True)
class SiteError:
    """Why a task has no answer.

    Attributes:
        code: SITE_ERROR, for an expected failure plus its exit code. This alone leaves the site.
        kind: name of the error's type, for the site's own log.
    """

    code: int
    kind: str


def site_error(error: BaseException) -> SiteError:
    """Return what is told of an error; its text stays in the trainer's log."""
    return SiteError(SITE_ERROR + (error.exit_code if isinstance(error, FLError) else 0), type(error).__name__)


def cause_of(error: BaseException) -> str:
    """Return the sentence that a site's status says of an error."""
    return next((text for kind, text in _CAUSES.items() if isinstance(error, kind)), _UNEXPECTED)
