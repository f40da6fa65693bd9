import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.learning.lesions import LesionCounts, count_lesions, dice, lesions_of, region_scores
from core.learning.metrics import overlap_of

some_maps = arrays(bool, (4, 4, 3))


def a_map(*boxes, shape=(10, 10, 10)):
    """A map with these boxes: each three slices."""
    made = np.zeros(shape, bool)
    for box in boxes:
        made[box] = True
    return made


A = np.s_[0:2, 0:2, 0:2]  # 8 voxels
B = np.s_[5:8, 5:8, 5:8]  # 27 voxels
SPECK = np.s_[9:10, 0:1, 0:1]


def flooded(mask):
    """A naive twin: flood from each voxel over those that differ by at most one in every direction."""
    left, components = set(map(tuple, np.argwhere(mask).tolist())), set()
    while left:
        edge = [left.pop()]
        component = set(edge)
        while edge:
            here = edge.pop()
            near = {there for there in left if max(abs(a - b) for a, b in zip(here, there, strict=True)) <= 1}
            left -= near
            component |= near
            edge += near
        components.add(frozenset(component))
    return components


def test_voxels_that_share_only_a_corner_are_one_lesion():
    touching = a_map(np.s_[0:1, 0:1, 0:1], np.s_[1:2, 1:2, 1:2])
    apart = a_map(np.s_[0:1, 0:1, 0:1], np.s_[2:3, 1:2, 1:2])
    assert lesions_of(touching)[1] == 1
    assert lesions_of(apart)[1] == 2
    assert lesions_of(a_map())[1] == 0


def test_small_components_are_left_out_and_the_others_numbered_on():
    numbered, count = lesions_of(a_map(SPECK, A, B), least=2)
    assert count == 2
    assert {numbered[0, 0, 0], numbered[5, 5, 5]} == {1, 2}
    assert numbered[9, 0, 0] == 0
    assert np.count_nonzero(numbered) == 8 + 27


@settings(max_examples=60)
@given(some_maps, st.integers(1, 5))
def test_components_are_those_of_the_flood(mask, least):
    numbered, count = lesions_of(mask, least)
    ours = {frozenset(map(tuple, np.argwhere(numbered == number).tolist())) for number in range(1, count + 1)}
    assert ours == {component for component in flooded(mask) if len(component) >= least}


def test_lesions_by_hand():
    reference = a_map(A, B)
    assert count_lesions(reference, reference) == LesionCounts(1, 2, 2, 2, 0)
    assert count_lesions(a_map(), reference) == LesionCounts(1, 2, 0, 0, 0)
    assert count_lesions(reference, a_map()) == LesionCounts(1, 0, 0, 2, 2)
    # One voxel of B finds it; the speck is made up.
    assert count_lesions(a_map(np.s_[7:9, 7:9, 7:9], SPECK), reference) == LesionCounts(1, 2, 1, 2, 1)
    # A prediction that spans both finds both, and is one.
    assert count_lesions(a_map(np.s_[0:8, 0:8, 0:8]), reference) == LesionCounts(1, 2, 2, 1, 0)
    # Two predictions within one lesion are both right.
    assert count_lesions(a_map(np.s_[5:6, 5:8, 5:8], np.s_[7:8, 5:8, 5:8]), reference) == LesionCounts(1, 2, 1, 2, 0)


def test_specks_find_nothing_and_count_as_nothing():
    found = count_lesions(a_map(SPECK, np.s_[0:1, 0:1, 0:1], B), a_map(A, B), least=2)
    assert found == LesionCounts(1, 2, 1, 1, 0)
    assert count_lesions(a_map(np.s_[8:10, 0:2, 0:2]), a_map(SPECK), least=2) == LesionCounts(1, 0, 0, 1, 0)


@settings(max_examples=60)
@given(some_maps, some_maps)
def test_lesions_are_matched_as_a_naive_twin_does(predicted, reference):
    ours, theirs = flooded(predicted), flooded(reference)
    assert count_lesions(predicted, reference) == LesionCounts(
        cases=1,
        lesions=len(theirs),
        found=sum(any(lesion & made for made in ours) for lesion in theirs),
        predicted=len(ours),
        false_positives=sum(not any(lesion & made for lesion in theirs) for made in ours),
    )


def test_regions_are_scored_apart_and_cases_added_up():
    nothing = a_map()
    predicted = np.array([[a_map(A), nothing, nothing], [a_map(A, SPECK), nothing, a_map(B)]])
    reference = np.array([[a_map(A, B), nothing, nothing], [a_map(A), nothing, nothing]])
    first, second, third = region_scores(predicted, reference)
    assert first.counts == LesionCounts(2, 3, 2, 3, 1)
    assert first.counts.sensitivity == 2 / 3
    assert first.counts.false_positives_a_case == 0.5
    assert first.dice == (2 * 8 / (8 + 35), 2 * 8 / (9 + 8))
    assert first.mean_dice == pytest.approx((16 / 43 + 16 / 17) / 2)
    assert second.counts == LesionCounts(2)
    assert second.counts.sensitivity is second.mean_dice is None
    assert second.dice == (None, None)
    assert third.dice == (None, 0)
    assert third.mean_dice == 0
    assert third.counts.false_positives_a_case == 0.5


def test_counts_of_hospitals_add_and_no_cases_say_nothing():
    assert LesionCounts(1, 2, 1, 3, 2) + LesionCounts(2, 3, 3, 3, 0) == LesionCounts(3, 5, 4, 6, 2)
    assert LesionCounts().sensitivity is LesionCounts().false_positives_a_case is None
    none = np.zeros((0, 3, 2, 2, 2), bool)
    assert [scores.counts for scores in region_scores(none, none)] == [LesionCounts()] * 3


def test_a_lesions_dice_and_the_voxels_are_those_of_the_metrics():
    rng = np.random.default_rng(1)
    predicted, reference = rng.random((2, 6, 5, 4)) < 0.4
    (shared,), (ours,), (theirs,) = overlap_of(predicted[None, None], reference[None, None])
    assert dice(predicted, reference) == 2 * shared / (ours + theirs)
    assert dice(a_map(), a_map()) is None


def test_maps_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="cases, regions"):
        region_scores(a_map(), a_map())
