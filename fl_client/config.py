"""A site's own settings, read once by the command line from site.toml."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from core.config import Section, load_config
from core.errors import ConfigError
from core.hours import HoursSettings
from core.presets import PRESETS
from core.study import PreprocessingSettings
from fl_client.paths import SiteHome


class SiteSettings(Section):
    """Who this site is and where its patients' scans lie."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    data: Path = Field(description="folder with train/<BraTS21ID>/<sequence>/ and train_labels.csv")
    prepared: Path = Field(description="folder for prepared cases; safe to delete, costly to make again")

    @field_validator("data", "prepared")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()


class CoordinatorSettings(Section):
    """Where the federation's coordinator is reached."""

    address: str = Field("", max_length=260, description="host, or host:port; empty: this site is in no federation")


class ProxySettings(Section):
    """The way out of the hospital's network, where there is only one."""

    url: str = Field("", max_length=500, pattern=r"^$|^http://", repr=False, description="may hold a password")


class ComputeSettings(Section):
    """What of the machine this site lends to the federation."""

    workers: int = Field(2, ge=1, le=64, description="processes that prepare cases side by side")
    threads: int = Field(1, ge=1, le=64, description="CPU threads of one training; fixed, so that results repeat")
    device: Literal["auto", "cpu", "cuda"] = "auto"


class PolicySettings(Section):
    """What this site approves without asking a person; what is not written allows nothing."""

    approve: Literal["never", "by-rule"] = Field("never", description="by-rule: where all of the following hold")
    max_rounds: int = Field(0, ge=0)
    max_epochs_per_round: int = Field(0, ge=0)
    models: tuple[str, ...] = Field((), description="presets of core.study.ModelSettings")
    require_differential_privacy: bool = True

    @field_validator("models")
    @classmethod
    def _known(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        if set(models) - PRESETS.keys():
            raise ValueError(f"there are no other models than {', '.join(PRESETS)}")
        return models


class SitePrivacySettings(Section):
    """What this site's patients' privacy may cost, whatever a study says; with either limit, nothing without noise."""

    epsilon: float = Field(0.0, ge=0, description="of a patient in one study; 0: as the study says")
    budget: float = Field(0.0, ge=0, description="of a patient in all studies together, for good; 0: no limit")
    delta: float = Field(1e-5, gt=0, le=1e-4, description="at which both hold")


class SiteConfig(Section):
    """Everything in site.toml."""

    site: SiteSettings
    coordinator: CoordinatorSettings = CoordinatorSettings()
    proxy: ProxySettings = ProxySettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    compute: ComputeSettings = ComputeSettings()
    policy: PolicySettings = PolicySettings()
    privacy: SitePrivacySettings = SitePrivacySettings()
    hours: HoursSettings = HoursSettings()


def load_site(home: SiteHome) -> SiteConfig:
    """Return a home's settings.

    Raises: ConfigError: there are none, as before `fl-client join`, or they are wrong.
    """
    if not home.settings.exists():
        raise ConfigError(
            f"There is no {home.settings}", fix="run `fl-client join INVITE`, or name this site's home in FL_HOME"
        )
    return load_config(SiteConfig, home.settings)
