import numpy as np
import pytest
import torch

from core.errors import DataError
from core.learning.cases import TrainingCase
from core.learning.prediction import methylation_of
from core.learning.weights import flatten, restore
from core.study import Study
from fl_client.dataset import Cohort
from simulations.slice_cnn import SLICES, SliceNet, build_slice_net, central_slices, train_slices

torch.set_num_threads(1)

N = 16
STUDY = Study(
    name="test",
    model={"preset": "tiny"},
    preprocessing={"grid": N},
    training={"epochs_per_round": 1},
    federation={"rounds": 8},
)


def a_case(number, mgmt=None, tumor=1):
    """A brain of noise; a methylated patient has a bright block on one sequence."""
    image = torch.from_numpy(np.random.default_rng(number).standard_normal((4, N, N, N)).astype(np.float32))
    if mgmt:
        image[1, 4:12, 4:12, 4:12] += 4
    return TrainingCase(image, torch.ones(3, N // 4, N // 4, N // 4), mgmt, tumor)


def a_cohort():
    cases = tuple(a_case(number, number % 2) for number in range(16))
    return Cohort(cases[4:], cases[:4], ())


def test_slices_are_evenly_spaced_where_at_least_half_of_the_largest_slice_is_brain():
    """Areas by slice: 0 0 7 8 16 16 ... 16 8 0; those from the fourth to the fifteenth count."""
    image = torch.zeros(1, 4, 17, 4, 4)
    for place in range(2, 16):
        image[0, 2, place] = 1 + place
    image[0, :, 2].view(4, -1)[:, 7:] = 0
    image[0, :, 3].view(4, -1)[:, 8:] = 0
    image[0, :, 15].view(4, -1)[:, 8:] = 0
    chosen = central_slices(image)
    assert chosen.shape == (1, SLICES, 4, 4, 4)
    expected = [round(3 + 12 * step / 15) for step in range(16)]
    assert (chosen[0, :, 2, 0, 0] - 1).tolist() == expected
    assert expected[0] == 3
    assert expected[-1] == 15


def test_each_patient_of_a_batch_has_its_own_slices_and_an_empty_one_does_no_harm():
    low, high, empty = (torch.zeros(4, 32, 4, 4) for _ in range(3))
    low[:, :16], high[:, 16:] = 1, 2
    chosen = central_slices(torch.stack([low, high, empty]))
    assert chosen.mean((1, 2, 3, 4)).tolist() == [1, 2, 0]


def test_a_patients_logit_is_the_mean_of_its_slices():
    model, image = SliceNet().eval(), torch.stack([a_case(1).image, a_case(2).image])
    with torch.inference_mode():
        together = model(image)
        each = [model.slices(slices).mean() for slices in central_slices(image)]
    assert together.mgmt.tolist() == pytest.approx([float(logit) for logit in each], abs=1e-5)
    assert together.tumor_map.shape == (2, 3, N // 4, N // 4, N // 4)


def test_it_learns_to_tell_patients_apart_and_the_same_seed_gives_the_same_bits():
    first, again = (train_slices(a_cohort(), STUDY, 8) for _ in range(2))
    assert first.weights.tobytes() == again.weights.tobytes()
    unseen = [a_case(100 + number, number % 2).image.numpy() for number in range(6)]
    model = build_slice_net(STUDY.seed)
    restore(model, first.weights)
    scores = methylation_of(model, unseen)
    assert all(0 <= score <= 1 for score in scores)
    assert min(scores[1::2]) > max(scores[::2])


def test_all_that_is_learned_is_a_parameter():
    assert not dict(build_slice_net(1).named_buffers())


def test_another_seed_starts_elsewhere():
    assert flatten(build_slice_net(1)).tobytes() != flatten(build_slice_net(2)).tobytes()


def test_whoever_has_no_label_and_every_mask_is_left_out():
    cohort = a_cohort()
    more = Cohort((*cohort.training, a_case(50, None, 0)), (*cohort.validation, a_case(51)), ())
    study = STUDY.model_copy(update={"federation": STUDY.federation.model_copy(update={"rounds": 1})})
    first, second = train_slices(cohort, study, 1), train_slices(more, study, 1)
    assert first.weights.tobytes() == second.weights.tobytes()
    assert [counts["cases"] for counts in second.history[0]] == [12, 4]
    assert second.history[0][0]["tumor_map_loss"] == 0


def test_a_side_without_labels_is_refused():
    with pytest.raises(DataError, match="12 training and 0 validation"):
        train_slices(Cohort(a_cohort().training, (a_case(1),), ()), STUDY, 1)
