"""Settings of the process that runs the tests, and the databases that tests are run against."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tests.factories_mariadb import MariaDB

# Before anything imports them: no phone-home, and no more threads than a test needs on a small machine.
os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
# Ray's name for staying on loopback, which it reads when it is imported.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
# A home of the tests' own, kept between runs: the template head in it takes a while to build.
os.environ["FL_HOME"] = str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "home")

# Property tests explore anew at a desk; where a change is judged, the same tree gives the same verdict.
settings.register_profile("desk", deadline=None)
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable" if os.environ.get("CI") else "desk")


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator["MariaDB"]:
    """One server for all tests of this process; each takes a fresh database of it."""
    from tests.factories_mariadb import mariadb

    with mariadb() as server:
        yield server


@pytest.fixture(params=["sqlite", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.db'}"
    server: MariaDB = request.getfixturevalue("mariadb_server")
    return server.fresh()


@pytest.fixture
def engine(database: str) -> Iterator["Engine"]:
    """That database, open."""
    from core.records.db import open_database

    engine = open_database(database)
    yield engine
    engine.dispose()
