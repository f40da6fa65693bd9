from pathlib import Path

import pytest

import simulations
from core.config import load_config
from core.errors import ConfigError
from simulations.scenario import Scenario

SCENARIOS = Path(simulations.__file__).parent / "scenarios"


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_loads(path: Path) -> None:
    assert load_config(Scenario, path, {}).study.name == path.stem


def test_a_scenario_that_can_never_reach_its_quorum_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[cohort]\nsites = 1\n[study]\nname = "s"\n')
    with pytest.raises(ConfigError, match=r"cohort\.sites"):
        load_config(Scenario, tmp_path / "s.toml", {})
