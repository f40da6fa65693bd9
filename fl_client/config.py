"""A site's own settings, read once by the command line from site.toml."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from core.config import Section
from core.study import PreprocessingSettings


class SiteSettings(Section):
    """Who this site is and where its patients' scans lie."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    data: Path = Field(description="folder with train/<BraTS21ID>/<sequence>/ and train_labels.csv")
    prepared: Path = Field(description="folder for prepared cases; safe to delete, costly to make again")

    @field_validator("data", "prepared")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()


class ComputeSettings(Section):
    """What of the machine this site lends to the federation."""

    workers: int = Field(2, ge=1, le=64, description="processes that prepare cases side by side")
    threads: int = Field(1, ge=1, le=64, description="CPU threads of one training; fixed, so that results repeat")
    device: Literal["auto", "cpu", "cuda"] = "auto"


class SiteConfig(Section):
    """Everything in site.toml."""

    site: SiteSettings
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    compute: ComputeSettings = ComputeSettings()
