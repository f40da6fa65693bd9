"""Hospitals of noise on a small grid, and a study that trains on them in a second."""

import json
from collections.abc import Mapping
from pathlib import Path

from core.study import FederationSettings, ModelSettings, PreprocessingSettings, Study, TrainingSettings
from simulations.noise import SMALLEST_GRID, write_noise

GRID = SMALLEST_GRID


def a_study(**federation: float) -> Study:
    return Study(
        name="tiny",
        validation_fraction=0.3,
        model=ModelSettings(preset="tiny", dropout=0.1),
        preprocessing=PreprocessingSettings(grid=GRID),
        training=TrainingSettings(epochs_per_round=1),
        federation=FederationSettings.model_validate(
            {"rounds": 2, "quorum": 2, "deadline_s": 0.3, "grace_s": 0, **federation}
        ),
    )


def write_study(folder: Path, study: Study) -> Path:
    path = folder / "study.toml"
    sections = {name: value for name, value in study.model_dump(mode="json").items() if isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(getattr(study, name))}" for name in ("name", "seed", "validation_fraction")]
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    path.write_text("\n".join(lines))
    return path


def make_sites(folder: Path, cases: Mapping[str, int]) -> list[Path]:
    """Write each site's prepared cohort and its site.toml, whose path is returned."""
    return [make_site(folder / name, name, number) for name, number in cases.items()]


def make_site(folder: Path, name: str, cases: int) -> Path:
    prepared = folder / "prepared"
    write_noise(prepared, name, cases, GRID)
    path = folder / "site.toml"
    path.write_text(
        f'[site]\nname = "{name}"\ndata = "{folder}"\nprepared = "{prepared}"\n[compute]\ndevice = "cpu"\nthreads = 1\n'
    )
    return path
