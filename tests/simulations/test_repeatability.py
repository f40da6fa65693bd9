import numpy as np
import pytest
import torch

from core.report import Picture, Table
from simulations.patients import PatientPlan
from simulations.repeatability import agreement, icc, logit, repeatability, repeatability_part
from simulations.scanners import scanner_of
from simulations.tensors import make_case

torch.set_num_threads(1)


def expit(value):
    return 1 / (1 + np.exp(-np.asarray(value, float)))


def test_icc_of_shrout_and_fleiss_own_example():
    """Six targets and four judges: the paper's table 4 has 0.29 for ICC(2,1), and its text 0.02 to 0.76."""
    table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    value, (low, high) = icc(table)
    assert value == pytest.approx(0.29, abs=0.005)
    assert (low, high) == pytest.approx((0.02, 0.76), abs=0.005)


def test_icc_by_hand():
    """Means of patients 2, 3, 7 and of scans 10/3, 14/3 around 4: between 14 x 2 / 2, among 8/3 / 1, rest 4/3 / 2.

    Then (14 - 2/3) / (14 + 2/3 + 2 (8/3 - 2/3) / 3) = (40/3) / 16.
    """
    value, (low, high) = icc([[1, 3], [2, 4], [7, 7]])
    assert value == pytest.approx(40 / 3 / 16)
    assert low < value < high <= 1


def test_scans_that_agree_are_one_and_a_shift_between_scans_costs_agreement():
    assert icc([[1, 1], [2, 2], [4, 4]])[0] == pytest.approx(1)
    shifted, interval = icc([[1, 2], [2, 3], [4, 5]])
    assert 0.5 < shifted < 1
    assert interval == (shifted, shifted)
    assert icc([[1, 1], [1, 1]]) is None


def test_agreement_by_hand():
    """Logits 0, 1, -1, 2 then 1, 1, 1, 1: differences 1, 0, 2, -1, mean 1/2, squares 6, spread sqrt(5/3)."""
    found = agreement(expit([-0.5, 1, -1, 2]), expit([0.5, 1, 1, 1]))
    assert found.logit_apart == pytest.approx(1)
    assert found.within == pytest.approx((6 / 4 / 2) ** 0.5)
    assert found.bias == pytest.approx(0.5)
    half = 1.959964 * (5 / 3) ** 0.5
    assert found.limits == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)
    assert found.flipped == 0.5
    assert found.flipped_interval[0] < 0.5 < found.flipped_interval[1]
    chances = expit([-0.5, 0.5, 2, -1, 1])
    assert found.probability_apart == pytest.approx(
        np.mean([chances[1] - chances[0], 0, chances[4] - chances[3], chances[2] - chances[4]])
    )


def test_a_certain_probability_has_a_finite_logit():
    assert logit([0, 0.5, 1]).tolist() == pytest.approx([-16.118, 0, 16.118], abs=1e-3)


def test_scans_of_other_patients_cannot_be_compared():
    for first, second in (([0.1], [0.2]), ([0.1, 0.2], [0.1]), ([[0.1, 0.2]], [[0.1, 0.2]])):
        with pytest.raises(ValueError, match="same patients"):
            agreement(first, second)


def test_patients_are_scanned_a_second_time_on_the_second_scanner():
    plans = [PatientPlan(str(n), (1, 2, n), n % 2, float(n % 2) - 0.5) for n in range(3)]
    here, there = scanner_of(0, coarse=True), scanner_of(1, coarse=True)
    scored = []

    def score(images):
        scored.extend(images)
        return [float(expit(image[1].max() - 4)) for image in images]

    told = []
    found = repeatability(score, plans, here, there, 16, lambda *step: told.append(step))
    expected = [
        make_case(plan, scanner, 16, scan).image.numpy() for scanner, scan in ((here, 0), (there, 1)) for plan in plans
    ]
    assert all(np.array_equal(one, other) for one, other in zip(scored, expected, strict=True))
    assert found.first.tolist() == [float(expit(image[1].max() - 4)) for image in expected[:3]]
    assert found.logit_apart > 0
    assert told == [("scan again", 3, 3)]


def test_the_report_has_a_row_and_a_panel_for_each_way_of_scanning_again():
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 2, 30)
    found = {
        "same scanner": agreement(expit(truth), expit(truth + rng.normal(0, 0.2, 30))),
        "another scanner": agreement(expit(truth), expit(truth + rng.normal(0.5, 1, 30))),
    }
    part = repeatability_part(found)
    table = next(piece for piece in part.content if isinstance(piece, Table))
    assert [row[0] for row in table.rows] == list(found)
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert any(isinstance(piece, Picture) for piece in part.content)
    assert found["same scanner"].icc > found["another scanner"].icc
