"""What the tests of the web predictor share."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from core.imaging.case import PreparedCase
from core.imaging.preprocessing import prepare_case
from core.imaging.volume import Volume
from core.study import PreprocessingSettings
from tests.factories_mariadb import MariaDB
from tests.webapp.factories_sealed import a_filled_server, a_server, sign_heads
from webapp.backup import make_backup
from webapp.config import WebConfig

_prepared: dict[str, PreparedCase] = {}


@pytest.fixture(autouse=True)
def prepared_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Prepare equal scans once for all tests of a process: it takes seconds, and equal input gives equal bits."""
    from webapp import worker

    def prepare(volumes: Mapping[str, Volume], settings: PreprocessingSettings) -> PreparedCase:
        digest = hashlib.sha256(settings.model_dump_json().encode())
        for name, volume in volumes.items():
            digest.update(f"{name} {volume.spacing} {volume.origin} {volume.direction}".encode())
            digest.update(np.ascontiguousarray(volume.voxels))
        key = digest.hexdigest()
        if key not in _prepared:
            _prepared[key] = prepare_case(volumes, settings)
        return _prepared[key]

    monkeypatch.setattr(worker, "prepare_case", prepare)
    yield


@pytest.fixture
def config(tmp_path: Path, database: str) -> WebConfig:
    return a_server(tmp_path / "old", database)


@pytest.fixture
def file(engine: Engine, config: WebConfig, tmp_path: Path) -> Path:
    """A backup of a server with three patients."""
    a_filled_server(engine, config)
    sign_heads(engine, config)
    make_backup(config, tmp_path / "web.backup")
    return tmp_path / "web.backup"


@pytest.fixture
def empty(database: str, tmp_path: Path, mariadb_server: MariaDB) -> str:
    """The address of an empty database, of the kind that the backup was not made from."""
    return mariadb_server.fresh() if database.startswith("sqlite") else f"sqlite:///{tmp_path / 'empty.db'}"
