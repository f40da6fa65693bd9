"""Patients straight to training cases: the same people, traits and machines as the DICOM hospitals, without the detour.

For studying the learning rather than the imaging: a case costs a fraction of a second. Co-registration and the brain
mask are perfect here, so what is measured on these cases is an upper end of what prepared scans give.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from core.imaging.volume import SEQUENCES
from core.learning.cases import TrainingCase, training_case
from simulations.acquisition import PLANES, labels_of, shading, tissue_brightness, with_tumor
from simulations.anatomy import grid_points, share_at
from simulations.atlas import load_head
from simulations.hospitals import plan_hospital
from simulations.patients import SCAN, Patient, PatientPlan, make_patient
from simulations.scanners import Scanner, scanner_of

MARGIN = 4.0  # mm around the brain


def make_cases(
    seed: int,
    hospital: int,
    patients: int,
    controls: int,
    separability: float,
    size: int = 48,
) -> list[TrainingCase]:
    """Return one hospital's patients, then its healthy controls, on the model's grid.

    Args:
        seed: of the whole cohort.
        hospital: its number from 0, which decides its machine.
        patients, controls: how many.
        separability: the best possible AUC for methylation.
        size: voxels along each axis of the grid.
    """
    scanner = scanner_of(hospital, coarse=True)
    plans = plan_hospital(seed, hospital, patients, controls, separability)
    return [make_case(plan, scanner, size) for plan in plans]


def make_case(plan: PatientPlan, scanner: Scanner, size: int, scan: int = 0) -> TrainingCase:
    """Return one patient as a prepared and loaded case.

    Args:
        plan: who it is.
        scanner: the machine.
        size: voxels along each axis of the grid.
        scan: which visit to a scanner, from 0: the same person and tumor, other noise, brightness and shading.
    """
    head = load_head(2)
    patient = make_patient(plan, head)
    low, high = patient.anatomy.brain
    pitch = (float((high - low).max()) + 2 * MARGIN) / size
    x, y, z = ((low + high - pitch * (size - 1)) / 2).tolist()
    points = grid_points((size, size, size), (x, y, z), (pitch, pitch, pitch))
    in_head = patient.anatomy.in_head(points)
    tissue = {name: share_at(head, name, in_head) for name in ("gray", "white", "csf")}
    brain = share_at(head, "brain", in_head) > 0.5
    maps = patient.tumor.at(points) * brain if patient.tumor else torch.zeros(4, size, size, size)
    channels = [_channel(patient, scan, sequence, scanner, tissue, maps, brain, pitch) for sequence in SEQUENCES]
    return training_case(np.stack(channels), labels_of(maps[:3].movedim(0, 1)).copy(), plan.label)


def _channel(
    patient: Patient,
    scan: int,
    sequence: str,
    scanner: Scanner,
    tissue: dict[str, Tensor],
    maps: Tensor,
    brain: Tensor,
    pitch: float,
) -> NDArray[np.float32]:
    """Return one prepared sequence: float32 [N, N, N], zero mean and unit deviation in the brain, 0 outside."""
    visit = [scan] if scan else []  # the first draws what it drew before there were others
    rng = np.random.default_rng([*patient.plan.seed, SCAN, SEQUENCES.index(sequence), *visit])
    protocol = scanner.protocol(sequence)
    brightness = tissue_brightness(sequence, scanner, rng)
    seen = torch.zeros_like(maps[0])
    for name, share in tissue.items():
        seen += brightness[name] * share
    if patient.tumor:
        seen = with_tumor(seen, maps, sequence, patient.tumor.traits.ring)
    # A slice averages its thickness; axes z, y, x lie along LPS 2, 1, 0.
    across = 2 - int(abs(PLANES[protocol.plane][:, 2]).argmax())
    image = ndimage.gaussian_filter1d(seen.numpy(), protocol.thickness / np.sqrt(12) / pitch, axis=across)
    image *= shading(tuple(image.shape), scanner.bias, rng).numpy()
    noise = rng.standard_normal((2, *image.shape), dtype=np.float32) * (scanner.noise * brightness["white"])
    image = np.hypot(image + noise[0], noise[1]) ** scanner.gamma
    inside = image[brain.numpy()]
    return np.where(brain.numpy(), (image - inside.mean()) / inside.std(), 0).astype(np.float32)
