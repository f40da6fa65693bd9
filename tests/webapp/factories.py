"""A web predictor to test: an approved tiny model, users whose second factor is known, a patient's scans as DICOM."""

import io
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pyotp
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, update
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import TestResponse, stream_encode_multipart

from core.imaging.version import PREPROCESSING_VERSION
from core.imaging.volume import SEQUENCES, Volume
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of, named
from core.records.db import unlogged
from core.records.registry import add_version, approve_version, retire_version
from core.records.web_tables import User
from core.signing import load_key, make_key
from core.study import ModelSettings, PreprocessingSettings, Study
from simulations.dicom_files import write_series
from simulations.scanners import scanner_of
from tests.core.imaging.factories_heads import a_case
from tests.factories_calibration import a_fit, heads
from tests.webapp.contract import check_answer
from webapp.accounts import create_user
from webapp.app import create_app
from webapp.checkpoints import head_signer
from webapp.config import WebConfig
from webapp.vault import Vault
from webapp.worker import Worker

PASSWORD = "correct horse battery"
USERS = {"anna": "clinician", "ben": "clinician", "otto": "auditor", "coco": "coordinator", "ada": "administrator"}
STUDY = Study(name="tiny", model=ModelSettings(preset="tiny"), preprocessing=PreprocessingSettings(grid=32))


def a_home(folder: Path, study: Study = STUDY) -> Path:
    """A site's home with one approved version of a tiny model, or of another study's."""
    make_key(folder / "signing.key", folder / "keys" / "coordinator.pub")
    another_version(folder, study=study)
    return folder


def another_version(home: Path, shift: float = 0.0, study: Study = STUDY, *, approve: bool = True) -> str:
    """Register, and approve, a version of a tiny model, or of another study's, whose weights are shifted a little."""
    model = build_model(study.model, 0)
    card = {"study": study.model_dump(mode="json"), "preprocessing_version": PREPROCESSING_VERSION, "heads": heads()}
    weights = named(manifest_of(model), flatten(model) + np.float32(shift))
    name = add_version(home / "registry", study.name, weights, card, a_fit())
    if approve:
        approve_version(home / "registry", name, load_key(home / "signing.key"))
    return name


def retire(home: Path, version: str) -> None:
    """Retire a version, as the coordinator does."""
    retire_version(home / "registry", version, load_key(home / "signing.key"))


def a_config(folder: Path, database: str = "", home: Path | None = None, **sections: object) -> WebConfig:
    """Settings of a server under this folder; a section is given as a dictionary of what differs."""
    home = home or a_home(folder / "home")
    given = {name: values for name, values in sections.items() if name != "site"}
    site = {"database": database, "registry": home / "registry", "scratch": folder / "scratch"}
    site |= sections.get("site", {})  # type: ignore[operator]
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    server = {"requests_a_minute": 100_000} | given.pop("server", {})  # type: ignore[operator]
    sign_in = {"attempts_a_minute": 100_000} | given.pop("sign_in", {})  # type: ignore[operator]
    return WebConfig.model_validate(
        {"data": folder / "data", "site": site, "server": server, "sign_in": sign_in, **given}
    )


@dataclass
class Server:
    """An application with its users; requests go straight to it, without a socket.

    Attributes:
        secrets: of each user's second factor.
    """

    config: WebConfig
    app: Flask
    secrets: dict[str, str]

    @property
    def engine(self) -> Engine:
        """The database, for writing."""
        engine: Engine = self.app.extensions["gliofed-engine"]
        return engine

    @property
    def vault(self) -> Vault:
        """What seals."""
        vault: Vault = self.app.extensions["gliofed-vault"]
        return vault

    def browser(self, name: str | None = None) -> "Browser":
        """A browser, signed in as a user, or as nobody."""
        browser = Browser(self.app.test_client())
        if name is not None:
            answer = browser.sign_in(name, code(self, name))
            assert answer.status_code == 200, answer.text
        return browser

    def worker(self) -> Worker:
        """A worker, to be asked for one prediction after the other."""
        return Worker(self.engine, self.config, self.vault, head_signer(self.config))

    def work(self) -> None:
        """Work off the queue."""
        worker = self.worker()
        while worker.once():
            pass


class Browser:
    """A client that keeps its cookie and sends what proves that a request comes from the page."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.headers: dict[str, str] = {}

    def sign_in(self, name: str, code: str, password: str = PASSWORD) -> TestResponse:
        """Sign in, and take over the token that changes need."""
        answer = self.post("/session", json={"name": name, "password": password, "code": code})
        if answer.status_code == 200:
            self.headers["X-CSRF-Token"] = answer.json["csrf"]  # type: ignore[index]
        return answer

    def get(self, path: str, **more: object) -> TestResponse:
        """GET."""
        return self._open(path, "GET", **more)

    def post(self, path: str, **more: object) -> TestResponse:
        """POST."""
        return self._open(path, "POST", **more)

    def patch(self, path: str, **more: object) -> TestResponse:
        """PATCH."""
        return self._open(path, "PATCH", **more)

    def delete(self, path: str, **more: object) -> TestResponse:
        """DELETE."""
        return self._open(path, "DELETE", **more)

    def upload(self, folder: Path, wait: int | None = None, **fields: str) -> TestResponse:
        """Send every file of a folder as a form."""
        form = MultiDict[str, object](fields)
        for path in sorted(folder.rglob("*.*")):
            form.add("files", FileStorage(io.BytesIO(path.read_bytes()), str(path.relative_to(folder.parent))))
        body, length, boundary = stream_encode_multipart(form, use_tempfile=False)
        headers = {"Prefer": f"wait={wait}"} if wait is not None else {}
        kind = f'multipart/form-data; boundary="{boundary}"'
        return self.post("/predict", data=body.read(length), content_type=kind, headers=headers)

    def _open(self, path: str, method: str, **more: object) -> TestResponse:
        headers = {**self.headers, **more.pop("headers", {})}  # type: ignore[dict-item]
        answer = self.client.open(path, method=method, base_url="https://localhost", headers=headers, **more)  # type: ignore[arg-type]
        check_answer(self.client.application, answer)
        return answer


def a_server(config: WebConfig, users: dict[str, str] | None = None) -> Server:
    """An application with users."""
    server = Server(config, create_app(config), {})
    server.app.testing = False
    for name, role in (USERS if users is None else users).items():
        made = create_user(server.engine, server.vault, name, role, PASSWORD, by="service")
        server.secrets[name] = parse_qs(urlparse(made.totp_uri).query)["secret"][0]
    return server


def code(server: Server, name: str) -> str:
    """The code that a user's authenticator app shows now; that it was used before is forgotten."""
    with unlogged(server.engine) as session:
        session.execute(update(User).where(User.name == name).values(totp_step=0))
    return pyotp.TOTP(server.secrets[name]).now()


@cache
def _volumes() -> dict[str, Volume]:
    return {
        name: Volume(np.round(np.maximum(v.voxels, 0)).astype(np.float32), v.spacing, v.origin, v.direction)
        for name, v in a_case().items()
    }


def a_patient(folder: Path, identity: str = "MRN-4711", seed: int = 1, sequences: tuple[str, ...] = SEQUENCES) -> Path:
    """A patient's four sequences as DICOM, one folder each; other seeds are other scans, of the same pixels."""
    for name in sequences:
        write_series(_volumes()[name], folder / name, identity, (seed, 0, 1), name, scanner_of(0, coarse=True))
    return folder


def zipped(folder: Path, target: Path) -> Path:
    """A folder as a zip."""
    return Path(shutil.make_archive(str(target.with_suffix("")), "zip", folder))
