from dataclasses import replace

import numpy as np
import pytest
import torch

from core.imaging.volume import SEQUENCES
from simulations.acquisition import Scan, acquire, labels_of, shading, tissue_brightness
from simulations.patients import make_patient
from simulations.scanners import Protocol, scanner_of
from tests.simulations.factories_patients import a_head, a_plan

HEAD = a_head()
PATIENT = make_patient(a_plan(), HEAD)
CONTROL = make_patient(a_plan(label=None), HEAD)


def a_quick_scanner(**changes):
    """South's habits with 4 mm voxels; `plane` and the rest of a protocol go to all sequences."""
    plane = changes.pop("plane", "axial")
    protocols = (Protocol("quick", plane, changes.pop("matrix", 60), changes.pop("pixel", 4.0), 4.0, 4.0),) * 4
    return replace(scanner_of(1), protocols=protocols, **changes)


@pytest.fixture(scope="module")
def scans() -> dict[str, Scan]:
    return {sequence: acquire(PATIENT, HEAD, sequence, a_quick_scanner()) for sequence in SEQUENCES}


def test_a_scan_is_whole_numbers_times_the_slope():
    volume = acquire(PATIENT, HEAD, "T1w", a_quick_scanner(slope=2.5, gain=350)).volume

    assert volume.voxels.dtype == np.float32
    assert (np.mod(volume.voxels, 2.5) == 0).all()
    assert volume.voxels.max() > 300


def test_the_same_patient_and_scanner_give_the_same_scan(scans):
    again = acquire(PATIENT, HEAD, "FLAIR", a_quick_scanner())

    assert (again.volume.voxels == scans["FLAIR"].volume.voxels).all()
    assert again.volume.origin == scans["FLAIR"].volume.origin


def test_the_enhancing_part_is_brighter_after_contrast_medium(scans):
    mean = {name: scans[name].volume.voxels[scans[name].tumor == 4].mean() for name in ("T1w", "T1wCE")}
    dark = {name: np.percentile(scans[name].volume.voxels, 75) for name in mean}

    assert mean["T1wCE"] / dark["T1wCE"] > 1.4 * mean["T1w"] / dark["T1w"]


def test_edema_is_brighter_than_healthy_white_matter_on_t2w_and_flair_and_darker_on_t1w():
    healthy = {name: acquire(CONTROL, HEAD, name, a_quick_scanner()) for name in SEQUENCES}
    for name, sign in (("T1w", -1), ("T2w", 1), ("FLAIR", 1)):
        scan = acquire(PATIENT, HEAD, name, a_quick_scanner())
        edema = scan.tumor == 2
        change = scan.volume.voxels[edema].mean() - healthy[name].volume.voxels[edema].mean()
        assert change * sign > 0.1 * healthy[name].volume.voxels[edema].mean()


def test_a_control_has_an_empty_mask():
    assert not acquire(CONTROL, HEAD, "T1wCE", a_quick_scanner()).tumor.any()


@pytest.mark.parametrize("plane", ["axial", "sagittal", "coronal"])
def test_slices_cover_the_whole_brain_in_every_plane(plane: str):
    volume = acquire(CONTROL, HEAD, "T1w", a_quick_scanner(plane=plane)).volume
    through = volume.direction[:, 2]
    ends = [through @ volume.origin, through @ volume.origin + 4.0 * (len(volume.voxels) - 1)]
    low, high = CONTROL.anatomy.brain
    corners = [through @ corner for corner in (low, high)]

    assert np.linalg.det(volume.direction) == pytest.approx(1)
    assert min(ends) < min(corners) + 4
    assert max(ends) > max(corners) - 4


def test_all_planes_show_the_same_tumor_at_the_same_place():
    centers = []
    for plane in ("axial", "sagittal", "coronal"):
        scan = acquire(PATIENT, HEAD, "T1w", a_quick_scanner(plane=plane))
        middle = np.argwhere(scan.tumor == 4).mean(0)[::-1] * scan.volume.spacing
        centers.append(scan.volume.direction @ middle + scan.volume.origin)

    assert np.ptp(centers, axis=0).max() < 1.0


def test_what_moved_between_sequences_is_the_patient_by_a_few_millimeters():
    centers = []
    for name in SEQUENCES:
        scan = acquire(PATIENT, HEAD, name, a_quick_scanner())
        middle = np.argwhere(scan.tumor > 0).mean(0)[::-1] * scan.volume.spacing
        centers.append(scan.volume.direction @ middle + scan.volume.origin)

    assert 0.5 < np.linalg.norm(np.array(centers[1:]) - centers[0], axis=1).max() < 12


def test_a_finer_matrix_shows_the_same_at_the_same_place():
    coarse, fine = (
        acquire(CONTROL, HEAD, "T1w", a_quick_scanner(matrix=n, pixel=240 / n, noise=0.0)) for n in (60, 480)
    )

    # The first pixel's center is half a pixel from the corner, which both share.
    shift = coarse.volume.direction @ [2.0, 2.0, 0] - fine.volume.direction @ [0.25, 0.25, 0]
    assert np.array(coarse.volume.origin) - fine.volume.origin == pytest.approx(shift, abs=1e-9)
    pooled = fine.volume.voxels.reshape(-1, 60, 8, 60, 8).mean((2, 4))
    assert np.corrcoef(pooled.ravel(), coarse.volume.voxels.ravel())[0, 1] > 0.97


def test_noise_without_a_patient_is_rayleigh_distributed():
    quiet, noisy = (
        acquire(CONTROL, HEAD, "T1w", a_quick_scanner(noise=level, gain=20000)).volume.voxels for level in (0, 0.05)
    )
    air = noisy[:, :4, :4]

    assert quiet[:, :4, :4].max() < noisy[:, :4, :4].mean() / 10
    # Rayleigh: mean over standard deviation is sqrt(pi / (4 - pi)) = 1.913.
    assert air.mean() / air.std() == pytest.approx(1.913, abs=0.1)


def test_shading_keeps_to_its_limits_and_is_smooth():
    field = shading((20, 30, 40), 0.3, np.random.default_rng(1)).log()

    assert field.abs().max() == pytest.approx(0.3, abs=1e-5)
    assert field.diff(dim=2).abs().max() < 0.1


def test_brightness_belongs_to_the_machine_more_than_to_the_patient():
    def white(hospital: int, patient: int) -> float:
        return tissue_brightness("T1w", scanner_of(hospital), np.random.default_rng(patient))["white"]

    between = np.std([np.mean([white(hospital, patient) for patient in range(30)]) for hospital in range(40)])
    within = np.mean([np.std([white(hospital, patient) for patient in range(30)]) for hospital in range(8)])

    assert between == pytest.approx(0.06, rel=0.4)
    assert within == pytest.approx(0.025, rel=0.3)


def test_a_voxel_is_labeled_by_what_fills_most_of_it():
    #           necrosis enhancing edema
    shares = [(0.0, 0.0, 0.4), (0.0, 0.0, 0.6), (0.3, 0.4, 0.3), (0.4, 0.3, 0.3), (0.2, 0.2, 0.6), (0.0, 1.0, 0.0)]

    labels = labels_of(torch.tensor(shares).T.reshape(1, 3, 1, 6))

    assert labels.tolist() == [[[0, 2, 4, 1, 2, 4]]]
    assert labels.dtype == np.uint8
