"""The coordinator's own settings, server.toml, and what a run is started with."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from core.config import Section, load_config
from core.cost import Prices
from core.records.db import default_url
from core.records.home import home


class CoordinatorSettings(Section):
    """Where hospitals reach this coordinator."""

    address: str = Field(pattern=r"^[A-Za-z0-9.-]+:\d{1,5}$", description="name or IP and port, as hospitals type it")
    listen: str = Field(
        "", pattern=r"^$|^[A-Za-z0-9.-]+:\d{1,5}$", description="where Nginx listens; empty: the address itself"
    )
    superlink_port: int = Field(9092, ge=1, le=65535, description="on loopback, for nobody but Nginx and the service")

    @property
    def listens_on(self) -> str:
        """Host and port that Nginx binds."""
        return self.listen or self.address

    @property
    def host(self) -> str:
        """The name that the server's certificate carries."""
        return self.address.rpartition(":")[0]


class DatabaseSettings(Section):
    """Where records are kept."""

    url: SecretStr = Field(SecretStr(""), description="empty: records.db in the home; or mysql+pymysql://...")

    def address(self) -> str:
        """Return the URL, password included."""
        return self.url.get_secret_value() or default_url()


class ServerConfig(Section):
    """Everything in server.toml."""

    coordinator: CoordinatorSettings
    database: DatabaseSettings = DatabaseSettings()
    prices: Prices = Prices()


class RunConfig(Section):
    """Everything in Flower's run-config: all else is in the study's bundle and in the coordinator's records."""

    run: str = Field(min_length=1, max_length=80)

    @field_validator("run")
    @classmethod
    def _plain(cls, run: str) -> str:
        if "/" in run or run.startswith("."):
            raise ValueError("not the name of a run")
        return run


def server_config_path() -> Path:
    """Return where the coordinator's settings lie."""
    return home() / "server.toml"


def database_url() -> str:
    """Return the address of the records that this home's settings name; a simulation needs no settings."""
    path = server_config_path()
    return load_config(ServerConfig, path).database.address() if path.exists() else default_url()
