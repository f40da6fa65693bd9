import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from simulations.anatomy import grid_points, rotation, sample, share_at
from simulations.patients import AGES, class_distance, make_patient, plan_patient, sex_and_age
from simulations.tumors import traits_of
from tests.simulations.factories_patients import a_head, a_plan

HEAD = a_head()


@pytest.mark.parametrize(("distance", "auc"), [(0.0, 0.5), (1.19, 0.80), (2.33, 0.95), (3.29, 0.99)])
def test_the_distance_between_the_labels_is_the_tabulated_one(distance: float, auc: float):
    assert class_distance(auc) == pytest.approx(distance, abs=0.01)


@given(st.floats(0.5, 0.999))
def test_the_distance_planted_gives_the_separability_asked_for(separability: float):
    """The normal integral of the distance over the root of two, by the error function."""
    assert (1 + math.erf(class_distance(separability) / 2)) / 2 == pytest.approx(separability, abs=1e-9)


@pytest.mark.parametrize("separability", [0.62, 0.9])
def test_twenty_thousand_latents_reach_the_promised_auc(separability: float):
    labels = [number % 2 for number in range(20_000)]
    latents = [plan_patient("", (3, number), label, separability).latent for number, label in enumerate(labels)]

    # The standard error of an AUC from 2 x 10,000 is below 0.004.
    assert roc_auc_score(labels, latents) == pytest.approx(separability, abs=0.012)
    assert np.std([z for z, y in zip(latents, labels, strict=True) if y]) == pytest.approx(1, abs=0.03)


def test_the_latent_moves_each_trait_one_way_all_the_way():
    traits = [traits_of(latent) for latent in np.linspace(-4, 4, 41)]

    assert (np.diff([t.necrosis for t in traits]) > 0).all()
    assert (np.diff([t.ring for t in traits]) < 0).all()
    assert (np.diff([t.edema for t in traits]) < 0).all()
    middle = traits_of(0.0)
    assert (middle.necrosis, middle.ring, middle.edema) == pytest.approx((0.61, 1.0, 1.625))


def test_a_control_has_neither_latent_nor_tumor():
    plan = a_plan(label=None)

    assert plan.latent is None
    assert make_patient(plan, HEAD).tumor is None


def test_the_same_plan_gives_the_same_patient_and_another_number_another():
    first, again, other = (make_patient(a_plan(number), HEAD) for number in (1, 1, 2))

    assert torch.equal(first.anatomy.warp, again.anatomy.warp)
    assert torch.equal(first.tumor.maps, again.tumor.maps)
    assert not torch.equal(first.anatomy.warp, other.anatomy.warp)


def test_the_label_changes_nothing_but_the_latent():
    methylated, not_methylated = (make_patient(a_plan(label=label), HEAD) for label in (1, 0))

    assert torch.equal(methylated.anatomy.warp, not_methylated.anatomy.warp)
    assert methylated.plan.latent - not_methylated.plan.latent == pytest.approx(class_distance(0.9))


@pytest.mark.parametrize("number", range(1, 6))
def test_a_tumor_lies_in_the_brain_and_its_parts_do_not_overlap(number: int):
    patient = make_patient(a_plan(number), HEAD)
    tumor = patient.tumor
    shares = tumor.maps[:3]
    points = grid_points(tuple(shares.shape[1:]), tumor.origin, (tumor.spacing,) * 3)
    brain = share_at(HEAD, "brain", patient.anatomy.in_head(points))

    assert shares.min() >= -1e-6
    assert shares.sum(0).max() <= 1 + 1e-5
    assert shares[:, brain == 0].max() == 0
    assert shares.sum((1, 2, 3)).min() * tumor.spacing**3 > 50  # mm3 of each


def test_a_tumor_ends_within_its_grid():
    for number in range(1, 6):
        tumor = make_patient(a_plan(number), HEAD).tumor
        far = torch.tensor([[[[400.0, 0, 0], [0, -400.0, 0], [0, 0, 400.0], [0, 0, -400.0]]]])
        assert tumor.at(far).abs().max() == 0
        inner = tumor.maps[:3, 1:-1, 1:-1, 1:-1]
        faces = [inner[:, 0], inner[:, -1], inner[:, :, 0], inner[:, :, -1], inner[..., 0], inner[..., -1]]
        assert max(float(face.max()) for face in faces) < 0.05


def test_more_necrosis_and_less_edema_come_with_a_higher_latent():
    low, high = (make_patient(a_plan(3, label=label, seed=1), HEAD).tumor for label in (0, 1))

    def volumes(tumor):
        return tumor.maps[:3].sum((1, 2, 3))

    assert volumes(high)[0] > volumes(low)[0]
    assert volumes(high)[2] < volumes(low)[2]


def test_a_tumor_pushes_its_surroundings_away():
    plan = a_plan()
    healthy = make_patient(a_plan(label=None), HEAD).anatomy
    patient = make_patient(plan, HEAD)
    center = torch.tensor(patient.tumor.origin) + (patient.tumor.maps.shape[1] - 1) / 2 * patient.tumor.spacing
    nodes = grid_points(tuple(healthy.warp.shape[1:]), healthy.origin, healthy.pitch)
    away = nodes - center
    near = (away.norm(dim=-1) > 8) & (away.norm(dim=-1) < 25)
    moved = (patient.anatomy.warp - healthy.warp).movedim(0, -1)

    # What lies at a point comes from nearer the center than it would have.
    assert ((moved * away).sum(-1)[near] < 0).float().mean() > 0.95
    assert moved[away.norm(dim=-1) > 100].norm(dim=-1).max() < 0.01


def test_the_box_around_the_brain_is_the_brains():
    low, high = make_patient(a_plan(label=None), HEAD).anatomy.brain

    assert (high - low > 95).all()
    assert (high - low < 150).all()


def test_sampling_is_linear_between_nodes_and_goes_on_beyond_them():
    volume = torch.arange(24, dtype=torch.float32).reshape(1, 2, 3, 4)
    points = torch.tensor([[[[10.0, 20, 30], [11.0, 20, 30], [10.0, 20, 33], [11.0, 23, 31.5], [99.0, 20, 30]]]])

    # Spacing 2, 3, 3 mm: a step along x is 1, along y 4, along z 12.
    values = sample(volume, points, (10.0, 20.0, 30.0), (2.0, 3.0, 3.0))

    assert values.flatten().tolist() == pytest.approx([0, 0.5, 12, 10.5, 3], abs=1e-4)


def test_rotations_turn_about_x_then_y_then_z():
    assert rotation(np.array([90.0, 0, 0])) @ [0, 1, 0] == pytest.approx([0, 0, 1])
    assert rotation(np.array([0.0, 90, 0])) @ [0, 0, 1] == pytest.approx([1, 0, 0])
    assert rotation(np.array([90.0, 0, 90])) @ [0, 0, 1] == pytest.approx([1, 0, 0])


def test_sex_and_age_are_those_of_the_seed_and_of_a_plausible_cohort():
    people = [sex_and_age((7, 0, number)) for number in range(2000)]
    assert people[3] == sex_and_age((7, 0, 3))
    assert np.mean([sex == "F" for sex, _ in people]) == pytest.approx(0.42, abs=0.04)
    ages = [age for _, age in people]
    assert np.mean(ages) == pytest.approx(62, abs=1.2)
    assert AGES[0] <= min(ages) < max(ages) <= AGES[1]
