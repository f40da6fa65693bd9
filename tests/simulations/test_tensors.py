import numpy as np
import pytest
import torch

from core.imaging.volume import SEQUENCES
from simulations.patients import PatientPlan
from simulations.scanners import scanner_of
from simulations.tensors import make_case, make_cases

torch.set_num_threads(1)

NECROSIS, EDEMA, ENHANCING = 0, 1, 2
SIZE = 48


def a_case(latent=0.0, hospital=0, seed=(1, 2, 3)):
    label = None if latent is None else int(latent > 0)
    return make_case(PatientPlan("00001", seed, label, latent), scanner_of(hospital, coarse=True), SIZE)


def test_a_patient_is_on_the_models_grid_with_map_and_labels():
    case = a_case(latent=1.0)
    assert case.image.shape == (4, SIZE, SIZE, SIZE)
    assert case.image.dtype == torch.float32
    assert case.tumor_map.shape == (3, SIZE // 4, SIZE // 4, SIZE // 4)
    assert (case.mgmt, case.tumor) == (1, 1)
    assert all(region.max() > 0 for region in case.tumor_map)
    assert case.tumor_map.sum(0).max() <= 1


def test_each_sequence_is_normalized_in_the_brain_and_empty_outside():
    image = a_case().image
    brain = image[0] != 0
    assert 0.15 < brain.float().mean() < 0.6
    for channel in image:
        assert torch.equal(channel != 0, brain)
        assert channel[brain].mean().item() == pytest.approx(0, abs=1e-4)
        assert channel[brain].std().item() == pytest.approx(1, abs=1e-3)


def test_a_control_has_neither_tumor_nor_label():
    case = a_case(latent=None)
    assert (case.mgmt, case.tumor) == (None, 0)
    assert case.tumor_map.max() == 0


def test_the_latent_shows_in_the_tumors_looks():
    low, high = a_case(latent=-2.5), a_case(latent=2.5)

    def core(case):
        necrosis, enhancing = case.tumor_map[NECROSIS].sum(), case.tumor_map[ENHANCING].sum()
        return (necrosis / (necrosis + enhancing)).item()

    def edema(case):
        return (case.tumor_map[EDEMA].sum() / case.tumor_map.sum()).item()

    assert core(high) > 3 * core(low)
    assert edema(high) < edema(low)


def test_the_ring_is_bright_on_t1wce_and_edema_on_flair():
    case = a_case(latent=-2.5)
    at_map = torch.nn.functional.avg_pool3d(case.image, 4)
    ring, edema = case.tumor_map[ENHANCING] > 0.5, case.tumor_map[EDEMA] > 0.8
    assert at_map[SEQUENCES.index("T1wCE")][ring].mean() > 2
    assert at_map[SEQUENCES.index("FLAIR")][edema].mean() > 1
    assert at_map[SEQUENCES.index("T1w")][edema].mean() < 0.5


def test_the_same_patient_has_the_same_bits_twice_and_looks_otherwise_elsewhere():
    first, again, elsewhere = a_case(), a_case(), a_case(hospital=1)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.tumor_map, elsewhere.tumor_map)
    difference = (first.image - elsewhere.image)[:, first.image[0] != 0]
    assert (difference.abs().mean(1) > 0.05).all()


def test_a_hospital_has_its_patients_and_controls_and_more_leave_the_first_as_they_are():
    few = make_cases(5, 0, 2, 1, 0.9, 16)
    more = make_cases(5, 0, 3, 0, 0.9, 16)
    assert sorted(case.mgmt for case in few[:2]) == [0, 1]
    assert (few[2].mgmt, few[2].tumor) == (None, 0)
    assert all(torch.equal(a.image, b.image) for a, b in zip(few[:2], more[:2], strict=True))
    assert np.isfinite(more[2].image.numpy()).all()


def test_a_second_scan_is_of_the_same_tumor_with_other_noise_and_the_first_is_as_it_was():
    plan, scanner = PatientPlan("00001", (1, 2, 3), 1, 1.0), scanner_of(0, coarse=True)
    first, zeroth, second, third = (make_case(plan, scanner, 16, *scan) for scan in ((), (0,), (1,), (2,)))
    assert torch.equal(first.image, zeroth.image)
    assert torch.equal(first.tumor_map, second.tumor_map)
    assert (first.mgmt, first.tumor) == (second.mgmt, second.tumor)
    brain = first.image[0] != 0
    assert torch.equal(brain, second.image[0] != 0)
    apart = [(one.image - other.image)[:, brain].abs().mean(1) for one, other in ((first, second), (second, third))]
    assert all((each > 0.01).all() and (each < 0.5).all() for each in apart)


def test_the_first_scan_is_what_it_was_before_there_were_second_ones():
    case = make_case(PatientPlan("00001", (1, 2, 3), 1, 1.0), scanner_of(0, coarse=True), 16)
    assert case.image[:, 8, 8, 8].tolist() == pytest.approx([-2.52137, -2.34788, 3.58602, -3.67142], abs=1e-3)
