"""The tree of expected failures.

FLError                     exit   http   who can mend it
├── ConfigError                2    400   whoever wrote the settings
├── DataError                  3    422   whoever owns the scans or labels
│   ├── DicomError             4    422   whoever exported the series
│   └── NotACaseError          5    422   whoever named the folder, archive or file
├── PreparationError           6    422   whoever prepares the cohort
├── UpdateRejected             7    409   the site that sent the update
├── FederationError            8    503   the coordinator
├── RegistryError              9    404   whoever named or wrote the model version
├── RecordsError              10    503   whoever runs the database
│   └── AuditError            11    409   whoever keeps the audit log: it was changed
├── AccessError               12    403   the coordinator, who enrols, suspends and revokes sites
├── ConnectionProblem         13    503   whoever runs the network or the other side
└── PrivacySpent              14    409   the hospital, whose budget or floor it is

Everything else that is raised is a bug and keeps its traceback.
"""

from typing import ClassVar


class FLError(Exception):
    """A failure that a person can mend: what is wrong, and what to do about it.

    Args:
        problem: one sentence; never a patient's name, identifier or pixel value.
        fix: what the reader should do next.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, problem: str, *, fix: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix

    def __reduce__(self) -> tuple[object, ...]:
        # `fix` is keyword-only, which the default way between worker processes cannot rebuild.
        return _rebuild, (type(self), self.problem, self.fix)


def _rebuild(kind: type[FLError], problem: str, fix: str) -> FLError:
    return kind(problem, fix=fix)


class ConfigError(FLError):
    """A setting is missing, unknown or out of range."""

    exit_code = 2
    http_status = 400


class DataError(FLError):
    """Scans or labels on disk cannot be used as they are."""

    exit_code = 3
    http_status = 422


class DicomError(DataError):
    """A DICOM series cannot become a volume."""

    exit_code = 4


class NotACaseError(DataError):
    """What was named is not a patient's case at all."""

    exit_code = 5


class PreparationError(FLError):
    """A cohort cannot be prepared, or was prepared with other settings."""

    exit_code = 6
    http_status = 422


class UpdateRejected(FLError):
    """An update may not count in the average."""

    exit_code = 7
    http_status = 409


class FederationError(FLError):
    """A round or a run cannot go on."""

    exit_code = 8
    http_status = 503


class RegistryError(FLError):
    """A model version is missing, damaged or already written."""

    exit_code = 9
    http_status = 404


class RecordsError(FLError):
    """A side's database cannot be reached or used."""

    exit_code = 10
    http_status = 503


class AuditError(RecordsError):
    """The audit log is not what was written."""

    exit_code = 11
    http_status = 409


class AccessError(FLError):
    """Somebody asks for what they may not have."""

    exit_code = 12
    http_status = 403


class ConnectionProblem(FLError):
    """The other side cannot be reached, or answers what was not agreed."""

    exit_code = 13
    http_status = 503


class PrivacySpent(FLError):
    """A hospital's privacy budget or floor does not allow what was asked."""

    exit_code = 14
    http_status = 409
