"""What the tests of the deployment share."""

from collections.abc import Iterator

import pytest

from tests.deploy.factories_database import Database, Deployment, deployment


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One MariaDB with GlioFed's settings for all tests of this process."""
    with deployment(tmp_path_factory.mktemp("deployed")) as running:
        yield running


@pytest.fixture
def made(deployed: Deployment) -> Database:
    """A database with the owner's tables."""
    return deployed.filled()
