"""A scripted coordinator over real TLS, and a site that has joined it; a module that needs another makes its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fl_client.paths import SiteHome
from tests.fl_client.factories_coordinator import ScriptedCoordinator, serving
from tests.fl_client.factories_site import join_home


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[ScriptedCoordinator]:
    with serving(ScriptedCoordinator(tmp_path / "coordinator")) as serving_:
        yield serving_


@pytest.fixture
def home(tmp_path: Path, coordinator: ScriptedCoordinator) -> SiteHome:
    return join_home(tmp_path / "home", coordinator)
