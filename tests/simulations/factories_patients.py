"""A small head that needs no template, and plans of patients in it."""

import numpy as np

from simulations.atlas import Head
from simulations.head_anatomy import Tissue
from simulations.patients import PatientPlan, plan_patient


def a_head(spacing: float = 4.0) -> Head:
    """A ball of white matter (52 mm) under gray matter (to 60), fluid (to 66), bone (to 72) and skin (to 78)."""
    origin = (-96.0, -76.0, -86.0)
    axes = [np.arange(0, 196, spacing) + start for start in reversed(origin)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(x**2 + (y - 20) ** 2 + (z - 10) ** 2)

    def shell(low: float, high: float) -> np.ndarray:
        return (radius >= low) & (radius < high)

    tissue = np.zeros(radius.shape, np.uint8)
    tissue[shell(66, 72)] = Tissue.BONE
    tissue[shell(72, 78)] = Tissue.SKIN
    gray, white, csf = (255 * shell(*span).astype(np.uint8) for span in ((52, 60), (0, 52), (60, 66)))
    brain, intracranial = (shell(0, outside).astype(np.uint8) for outside in (60, 66))
    return Head(gray, white, csf, tissue, brain, intracranial, spacing, origin)


def a_plan(number: int = 1, label: int | None = 1, seed: int = 7) -> PatientPlan:
    return plan_patient(f"{number:05}", (seed, 0, number), label, 0.9)
