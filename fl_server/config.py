"""What a run is started with: the coordinator's part of Flower's run-config."""

from pathlib import Path

from pydantic import Field, field_validator

from core.config import Section


class RunConfig(Section):
    """Everything in the run-config."""

    study: Path = Field(description="the study's study.toml")
    run: Path = Field(description="folder of this run's checkpoints and history; the same folder again resumes the run")
    registry: Path = Field(description="folder of model versions")
    sites: tuple[str, ...] = Field(min_length=1, description="names of the expected sites, comma separated")

    @field_validator("sites", mode="before")
    @classmethod
    def _split(cls, sites: object) -> object:
        """Flower's run-config has no lists."""
        return tuple(site.strip() for site in sites.split(",") if site.strip()) if isinstance(sites, str) else sites
