import math

import pytest
import torch

from core.learning.losses import ClassWeights, Targets, balanced, case_losses, map_loss
from core.learning.model import Output

NAN = math.nan


def an_output(tumor, mgmt, tumor_map=None):
    cases = len(mgmt)
    return Output(
        torch.zeros(cases, 3, 1, 1, 2) if tumor_map is None else tumor_map, torch.tensor(tumor), torch.tensor(mgmt)
    )


def some_targets(tumor, mgmt, tumor_map=None):
    cases = len(mgmt)
    unknown = torch.full((cases, 3, 1, 1, 2), NAN)
    return Targets(unknown if tumor_map is None else tumor_map, torch.tensor(tumor), torch.tensor(mgmt))


def test_a_label_costs_the_cross_entropy_of_its_own_case():
    # Odds of 3 to 1: ln(4/3) where right, ln 4 where wrong.
    odds = math.log(3.0)
    losses = case_losses(an_output([odds, 0.0], [odds, odds]), some_targets([0.0, 1.0], [1.0, 0.0]), ClassWeights())
    assert losses.mgmt.tolist() == pytest.approx([math.log(4 / 3), math.log(4)])
    assert losses.tumor.tolist() == pytest.approx([math.log(4), math.log(2)])


def test_a_missing_label_or_mask_costs_nothing_and_teaches_nothing():
    output = an_output([0.5, 0.5], [0.7, 0.7])
    for values in output:
        values.requires_grad_()
    losses = case_losses(output, some_targets([NAN, 1.0], [NAN, NAN]), ClassWeights())
    losses.total(1.0).sum().backward()
    assert losses.mgmt.tolist() == [0, 0]
    assert losses.tumor_map.tolist() == [0, 0]
    assert losses.tumor[0] == 0 < losses.tumor[1]
    assert output.mgmt.grad.tolist() == [0, 0]
    assert output.tumor_map.grad.abs().max() == 0
    assert output.tumor.grad[0] == 0 > output.tumor.grad[1]


def test_one_case_without_a_mask_does_not_silence_the_others():
    target = torch.stack([torch.full((3, 1, 1, 2), NAN), torch.ones(3, 1, 1, 2)])
    losses = map_loss(torch.zeros(2, 3, 1, 1, 2), target)
    # Cross-entropy ln 2; Dice of halves against two full voxels: (2 * 1 + 0.1) / (1 + 2 + 0.1).
    assert losses.tolist() == pytest.approx([0, math.log(2) + 1 / 3.1])


def test_a_perfect_map_costs_nothing_and_an_opposite_one_a_lot():
    target = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 1, 2).repeat(1, 3, 1, 1, 1)
    assert map_loss(60 * target - 30, target).item() == pytest.approx(0, abs=1e-6)
    # Cross-entropy 30 a voxel, Dice 0.1 / 2.1.
    assert map_loss(30 - 60 * target, target).item() == pytest.approx(30 + 2 / 2.1)


def test_balanced_weights_give_both_classes_the_same_say():
    negative, positive = balanced(6, 2)
    assert (negative, positive) == pytest.approx((8 / 12, 2))
    assert 6 * negative == pytest.approx(2 * positive)


def test_a_very_rare_class_has_a_bounded_weight_and_a_missing_one_none():
    assert balanced(99, 1) == (pytest.approx(50 / 99), 4)
    assert balanced(5, 0) == balanced(0, 5) == balanced(0, 0) == (1, 1)


def test_class_weights_scale_each_class_of_their_own_task():
    output, targets = an_output([0.0, 0.0], [0.0, 0.0]), some_targets([0.0, 1.0], [0.0, 1.0])
    losses = case_losses(output, targets, ClassWeights(tumor=(1.0, 2.0), mgmt=(3.0, 1.0)))
    assert losses.tumor.tolist() == pytest.approx([math.log(2), 2 * math.log(2)])
    assert losses.mgmt.tolist() == pytest.approx([3 * math.log(2), math.log(2)])


def test_the_total_weighs_the_map_against_the_labels():
    losses = case_losses(an_output([0.0], [0.0]), some_targets([1.0], [1.0], torch.ones(1, 3, 1, 1, 2)), ClassWeights())
    assert losses.total(2.0).item() == pytest.approx(2 * math.log(2) + 2 * (math.log(2) + 1 / 3.1))
