from typing import get_args

import pytest

from core.learning.model import build_model
from core.learning.weights import manifest_of
from core.presets import PRESETS, preset_of
from core.study import ModelSettings


def test_every_preset_that_a_study_may_name_is_known() -> None:
    assert set(PRESETS) == set(get_args(ModelSettings.model_fields["preset"].annotation))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_building_it_gives(name: str) -> None:
    settings = ModelSettings.model_validate({"preset": name, "dropout": 0.4})
    manifest = manifest_of(build_model(settings, 3))
    assert (preset_of(settings).size, preset_of(settings).digest) == (manifest.size, manifest.digest)
