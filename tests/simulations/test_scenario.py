from pathlib import Path

import pytest

import simulations
from core.config import load_config
from core.errors import ConfigError
from core.imaging.case import load_case
from fl_client.config import SiteConfig, SiteSettings
from simulations.cohorts import ImportedCohort, SyntheticCohort
from simulations.noise import write_noise
from simulations.outside import OutsidePatient, without_copies
from simulations.scenario import Scenario, over_folders
from tests.simulations.factories_federation import GRID, a_study

SCENARIOS = Path(simulations.__file__).parent / "scenarios"


def a_scenario(folder: Path, cohort: str) -> Path:
    (folder / "s.toml").write_text(f'[cohort]\n{cohort}\n[study]\nname = "s"\n')
    return folder / "s.toml"


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_loads(path: Path) -> None:
    assert load_config(Scenario, path, {}).study.name == path.stem


def test_a_scenario_that_can_never_reach_its_quorum_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for cohort in ("sites = 1", 'source = "imported"\nsites = 1'):
        with pytest.raises(ConfigError, match=r"cohort\.sites"):
            load_config(Scenario, a_scenario(tmp_path, cohort), {})
    by_csv = load_config(Scenario, a_scenario(tmp_path, 'source = "imported"\nsites = 1\nsplit = "sites.csv"'), {})
    assert isinstance(by_csv.cohort, ImportedCohort)


def test_a_scenario_that_does_not_name_its_source_makes_synthetic_patients(tmp_path: Path) -> None:
    assert load_config(Scenario, a_scenario(tmp_path, "patients = 5"), {}).cohort == SyntheticCohort(patients=5)
    with pytest.raises(ConfigError, match="source is neither synthetic nor imported"):
        load_config(Scenario, a_scenario(tmp_path, 'source = "downloaded"'), {})
    with pytest.raises(ConfigError, match=r"imported\.patients"):
        load_config(Scenario, a_scenario(tmp_path, 'source = "imported"\npatients = 5'), {})


def test_a_command_names_the_imports_that_a_scenario_cannot_know(tmp_path: Path) -> None:
    scenario = load_config(Scenario, a_scenario(tmp_path, 'source = "imported"\nfolder = "/written"'), {})
    cohort = over_folders(scenario, None, Path("upenn")).cohort
    assert isinstance(cohort, ImportedCohort)
    assert (cohort.folder, cohort.external) == (Path("/written"), Path.cwd() / "upenn")
    synthetic = load_config(Scenario, a_scenario(tmp_path, ""), {})
    assert over_folders(synthetic, None, None) == synthetic
    with pytest.raises(ConfigError, match="takes no imported cohort"):
        over_folders(synthetic, Path("rsna"), None)


def test_an_outside_patient_whose_very_scan_a_site_has_does_not_count(tmp_path: Path) -> None:
    """Noise is drawn from a site's name, so two folders of one name hold the same scans ."""
    for folder, name, cases in (("north", "north", 6), ("copy", "north", 3), ("other", "other", 3)):
        write_noise(tmp_path / folder, name, cases, GRID)
    site = SiteSettings(name="north", data=tmp_path / "north", prepared=tmp_path / "north")
    copies, others = (
        tuple(OutsidePatient(file.stem, 1, load_case(file)) for file in (tmp_path / folder).glob("*.safetensors"))
        for folder in ("copy", "other")
    )
    assert len(copies) == 3
    assert without_copies(copies + others, {"north": SiteConfig(site=site)}, a_study()) == others
