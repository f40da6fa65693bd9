"""What the tests of the web predictor share."""

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from core.imaging.case import PreparedCase
from core.imaging.preprocessing import prepare_case
from core.imaging.volume import Volume
from core.study import PreprocessingSettings

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
