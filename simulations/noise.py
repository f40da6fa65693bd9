"""Prepared cohorts of noise: for trying out everything but learning, where scans would take minutes to prepare."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from core.files import write_atomically
from core.imaging.case import PreparedCase, Quality, save_case
from core.imaging.version import PREPROCESSING_VERSION
from core.study import PreprocessingSettings, digest

SMALLEST_GRID = 16


def write_noise(prepared: Path, site: str, cases: int, grid: int = SMALLEST_GRID) -> None:
    """Write a prepared cohort of noise, a third of it without a tumor, half of it methylated.

    Args:
        prepared: the folder that site.toml names as `prepared`.
        site: its name, part of the noise's seed.
        cases: how many.
        grid: voxels along each axis.
    """
    listing = [_write_case(prepared, site, number, grid) for number in range(cases)]
    cohort: Mapping[str, object] = {
        "preprocessing": digest(PreprocessingSettings(grid=grid)),
        "version": PREPROCESSING_VERSION,
        "cases": listing,
    }
    write_atomically(prepared / "cohort.json", json.dumps(cohort))


def _write_case(prepared: Path, site: str, number: int, grid: int) -> dict[str, object]:
    generator = np.random.default_rng([number, *site.encode()])
    tumor = np.zeros((grid,) * 3, np.uint8)
    if number % 3:
        tumor[grid // 4 : grid // 2 + 1, grid // 4 : grid // 2 + 1, grid // 4 : grid // 2 + 1] = 4
    image = generator.normal(size=(4, grid, grid, grid)).astype(np.float32)
    save_case(PreparedCase(image, np.ones(tumor.shape, bool), tumor, Quality()), prepared / f"{number:05d}.safetensors")
    return {
        "id": f"{number:05d}",
        "file": f"{number:05d}.safetensors",
        "mgmt": number % 2,
        "verdict": "usable",
        "reasons": [],
    }
