"""The web predictor's settings, read once by the command line from web.toml."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from core.config import Section
from core.records.home import home

Role = Literal["clinician", "auditor", "coordinator", "administrator"]


class SiteSettings(Section):
    """What this server is for, and where it keeps things."""

    serves: Literal["hospital", "coordinator"] = Field(
        "hospital", description="a coordinator's pages show the federation and take no scans"
    )
    trial: bool = Field(False, description="let a coordinator's server take scans too, for a trial on synthetic ones")
    database: str = Field("", max_length=500, repr=False, description="URL; else DATA/records.db")
    keys: Path | None = Field(None, description="the file of keys; else DATA/keys/web-keys.json; never in backups")
    registry: Path = Field(default_factory=lambda: home() / "registry", description="the folder of model versions")
    scratch: Path = Field(Path("/dev/shm"), description="where scans are decrypted while they are read; best memory")  # noqa: S108

    @field_validator("registry", "scratch", "keys")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None


class ServerSettings(Section):
    """How it is reached."""

    hosts: tuple[str, ...] = Field(("localhost", "127.0.0.1"), description="names that it answers to")
    origins: tuple[str, ...] = Field((), description="other web sites that may call it (CORS)")
    threads: int = Field(80, ge=4, le=1000, description="requests at once, those that wait for an answer included")
    proxies: int = Field(0, ge=0, le=4, description="proxies in front of it whose X-Forwarded-For is believed")
    requests_a_minute: int = Field(1200, ge=10, description="of one user, or of one address that has not signed in")

    @field_validator("origins")
    @classmethod
    def _exact(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            if f"https://{parts.netloc}" != origin or not parts.hostname or set(origin) & set("*?[]()|^$\\@"):
                raise ValueError("an origin is https://host or https://host:port, and nothing else")
        return origins


class SignInSettings(Section):
    """How people sign in, and for how long."""

    idle_minutes: int = Field(30, ge=1, le=24 * 60)
    session_hours: int = Field(12, ge=1, le=7 * 24)
    failures: int = Field(5, ge=2, le=20, description="wrong passwords or codes in a row that lock an account")
    lock_minutes: int = Field(15, ge=1, le=24 * 60)
    attempts_a_minute: int = Field(10, ge=1, description="sign-ins that one address may try")


class OpenIdSettings(Section):
    """The hospital's own sign-on (OpenID Connect); off where the issuer is empty."""

    issuer: str = Field("", max_length=500)
    client_id: str = ""
    client_secret: str = Field("", repr=False)
    groups_claim: str = "groups"
    name_claim: str = "preferred_username"
    roles: dict[str, Role] = Field({}, description="a group -> the role of whoever is in it; the first that fits")
    scope: str = "openid profile"
    methods: tuple[str, ...] = Field((), description="one of these must be in `amr`, such as mfa; none: not looked at")
    ca: Path | None = Field(
        None, description="the authority of the issuer's certificate, where it is the hospital's own"
    )

    @model_validator(mode="after")
    def _whole(self) -> "OpenIdSettings":
        if not self.issuer:
            return self
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
            raise ValueError("issuer must begin with https://")
        if not (self.client_id and self.roles and "openid" in self.scope.split()):
            raise ValueError("an issuer needs a client_id, roles, and a scope that holds openid")
        return self


class LimitSettings(Section):
    """What one upload, one user and the queue may hold."""

    upload_mb: int = Field(2048, ge=1, description="bytes of one upload, in millions")
    files: int = Field(20_000, ge=1)
    drafts: int = Field(100, ge=1, description="uploads of one user that were not started")
    queue: int = Field(200, ge=1, description="predictions that wait; more are refused until there is room")
    wait_s: int = Field(300, ge=0, description="the longest that `Prefer: wait` is honored")
    slowest_bytes_s: int = Field(4096, ge=0, description="an upload that is slower over half a minute is cut off")


class RetentionSettings(Section):
    """How long what is not needed any more is kept."""

    draft_hours: int = Field(24, ge=1, description="an upload that was not started")
    upload_hours: int = Field(24, ge=0, description="the scans of an answered prediction")
    result_days: int = Field(365, ge=1, description="result, tumor map and viewer files")


class WorkerSettings(Section):
    """How predictions are worked off."""

    lease_s: int = Field(60, ge=5, description="a worker that is silent for so long has lost its prediction")
    attempts: int = Field(3, ge=1, description="times a prediction is begun before it counts as failed")
    threads: int = Field(0, ge=0, le=64, description="torch's; 0: as many as there are cores")


class WebConfig(Section):
    """Everything in web.toml."""

    data: Path = Field(Path(), description="the folder that the command line names; not for the file")
    site: SiteSettings = SiteSettings()
    server: ServerSettings = ServerSettings()
    sign_in: SignInSettings = SignInSettings()
    openid: OpenIdSettings = OpenIdSettings()
    limits: LimitSettings = LimitSettings()
    retention: RetentionSettings = RetentionSettings()
    worker: WorkerSettings = WorkerSettings()

    @property
    def database_url(self) -> str:
        """Where the records are."""
        return self.site.database or f"sqlite:///{self.data / 'records.db'}"

    @property
    def keys_path(self) -> Path:
        """Where the keys are."""
        return self.site.keys or self.data / "keys" / "web-keys.json"

    @property
    def files(self) -> Path:
        """The folder of encrypted files, one folder a prediction."""
        return self.data / "files"

    @property
    def predicts(self) -> bool:
        """Whether scans may be sent here at all."""
        return self.site.serves == "hospital" or self.site.trial
