"""Who a scenario's patients are: synthetic ones that it makes, or a real cohort that was imported before."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from core.config import Section

OUTSIDE = "outside"


class SyntheticCohort(Section):
    """The synthetic hospitals of a scenario."""

    source: Literal["synthetic"] = "synthetic"
    sites: int = Field(3, ge=1, le=50)
    patients: int = Field(16, ge=2, description="patients with a glioma at each site")
    controls: int = Field(0, ge=0, description="healthy people beside them")
    outside_patients: int = Field(24, ge=2, description="at a hospital that never trains")
    outside_controls: int = Field(0, ge=0)
    separability: float = Field(0.9, ge=0.5, lt=1, description="best possible AUC of the planted methylation signal")
    coarse: bool = Field(True, description="128 x 128 pixels and 5 mm slices instead of full resolution")
    seed: int = 7


class ImportedCohort(Section):
    """Real patients, as `fl-simulate import` brought them, dealt out to sites."""

    source: Literal["imported"]
    folder: Path | None = Field(None, description="of the import; by the command's --cohort where it is not written")
    split: str = Field("iid", description="iid, label, quantity, scanner, or a CSV of BraTS21ID,site")
    sites: int = Field(3, ge=1, le=50, description="how many; a CSV brings its own")
    alpha: float = Field(0.5, ge=1e-3, le=1e6, description="of the Dirichlet draw for label and quantity")
    held_out: float = Field(0.2, ge=0, lt=0.9, description="share of each label's patients that no site trains on")
    external: Path | None = Field(None, description="another import, whose patients test instead of those held out")
    seed: int = Field(7, ge=0)

    @field_validator("folder", "external")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().absolute()

    @property
    def by_csv(self) -> bool:
        """Whether a CSV says who goes where, and how many sites there are."""
        return self.split.endswith(".csv")


def _source_of(cohort: object) -> str | None:
    """Return a cohort's kind; scenarios from before there were two do not name it."""
    source = cohort.get("source", "synthetic") if isinstance(cohort, Mapping) else getattr(cohort, "source", None)
    return source if isinstance(source, str) else None


CohortSettings = Annotated[
    Annotated[SyntheticCohort, Tag("synthetic")] | Annotated[ImportedCohort, Tag("imported")],
    Discriminator(_source_of, "source", "source is neither synthetic nor imported, or [cohort] is no section"),
]


@dataclass(frozen=True)
class Hospitals:
    """The folders of a scenario's sites, and of the outside hospital, as they are now on disk.

    Attributes:
        sites: names of those that train.
        trained: who they are, in words.
        tested: whose patients are outside, in words.
        notes: who was left out, and what is not known.
        ceiling: best possible AUC; None where nobody knows it.
    """

    sites: tuple[str, ...]
    trained: str
    tested: str
    notes: tuple[str, ...] = ()
    ceiling: float | None = None
