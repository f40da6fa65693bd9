"""Hospitals of noise on a small grid, and a study that trains on them in a second."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from core.imaging.case import PreparedCase, Quality, save_case
from core.imaging.version import PREPROCESSING_VERSION
from core.study import FederationSettings, ModelSettings, PreprocessingSettings, Study, TrainingSettings, digest

GRID = 16


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
    listing = [_make_case(prepared, name, number) for number in range(cases)]
    cohort = {
        "preprocessing": digest(PreprocessingSettings(grid=GRID)),
        "version": PREPROCESSING_VERSION,
        "cases": listing,
    }
    (prepared / "cohort.json").write_text(json.dumps(cohort))
    path = folder / "site.toml"
    path.write_text(
        f'[site]\nname = "{name}"\ndata = "{folder}"\nprepared = "{prepared}"\n[compute]\ndevice = "cpu"\nthreads = 1\n'
    )
    return path


def _make_case(prepared: Path, site: str, number: int) -> dict[str, object]:
    generator = np.random.default_rng([number, *site.encode()])
    tumor = np.zeros((GRID,) * 3, np.uint8)
    if number % 3:
        tumor[4:9, 4:9, 4:9] = 4
    image = generator.normal(size=(4, GRID, GRID, GRID)).astype(np.float32)
    case = PreparedCase(image, np.ones(tumor.shape, bool), tumor, Quality())
    save_case(case, prepared / f"{number:05d}.safetensors")
    return {
        "id": f"{number:05d}",
        "file": f"{number:05d}.safetensors",
        "mgmt": number % 2,
        "verdict": "usable",
        "reasons": [],
    }
