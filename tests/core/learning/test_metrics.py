import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.curves import auc
from core.learning.metrics import BINS, add, counts_of, overlap_of, scores_of

NAN = math.nan
NO_MAP = [[0.0] * 3] * 3

# Four methylated and four not: at one half 3 hits, 1 miss, 1 false alarm, 3 true rests; one more patient has no label.
PROBABILITIES = [0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1, 0.99]
LABELS = [1, 1, 1, 1, 0, 0, 0, 0, NAN]


def a_count(probabilities=PROBABILITIES, labels=LABELS, losses=None):
    none = [NAN] * len(labels)
    return counts_of(
        {"mgmt": probabilities, "tumor": none},
        {"mgmt": labels, "tumor": none},
        NO_MAP,
        [1.0] * len(labels) if losses is None else losses,
    )


def test_scores_at_one_half_are_those_worked_out_by_hand():
    mgmt = scores_of(a_count()).mgmt
    assert mgmt.cases == 8
    assert mgmt.accuracy == 6 / 8
    assert mgmt.precision == mgmt.recall == mgmt.f1 == mgmt.specificity == 3 / 4
    # .01 + .04 + .16 + .49 for the methylated, .49 + .16 + .04 + .01 for the others.
    assert mgmt.brier == pytest.approx(1.4 / 8)


def test_precision_recall_specificity_and_f1_are_not_mixed_up():
    # 1 hit, 2 misses, 1 false alarm, 4 true rests.
    mgmt = scores_of(a_count([0.9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1], [1, 1, 1, 0, 0, 0, 0, 0])).mgmt
    assert (mgmt.accuracy, mgmt.precision, mgmt.recall, mgmt.specificity) == (5 / 8, 1 / 2, 1 / 3, 4 / 5)
    assert mgmt.f1 == pytest.approx(2 / 5)


def test_the_area_counts_the_pairs_that_are_in_order():
    # Of 16 pairs the 0.7 beats 0.6 and 0.3, and 0.4 beats 0.3: 13 in order.
    mgmt = scores_of(a_count()).mgmt
    assert mgmt.auc == 13 / 16
    assert mgmt.auc_error == 0


def test_a_pair_in_one_bin_counts_one_half_and_the_error_says_so():
    mgmt = scores_of(a_count([0.5001, 0.5002], [0, 1])).mgmt
    assert (mgmt.auc, mgmt.auc_error) == (0.5, 0.5)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40))
def test_the_binned_area_is_as_near_to_the_exact_one_as_it_says(cases):
    scores, labels = [score for score, _ in cases], [float(label) for _, label in cases]
    mgmt, exact = scores_of(a_count(scores, labels)).mgmt, auc(labels, scores)
    if exact is None:
        assert mgmt.auc is None
    else:
        assert abs(mgmt.auc - exact) <= mgmt.auc_error + 1e-12


def test_the_ends_of_the_scale_have_a_bin():
    counts = a_count([0.0, 1.0], [0, 1])
    assert counts["mgmt_negative_scores"][0] == counts["mgmt_positive_scores"][BINS - 1] == 1


@given(st.integers(0, 9), st.integers(0, 9))
def test_hospitals_add_up_to_their_patients_together(first, second):
    first, second = sorted((first, second))
    parts = [
        a_count(PROBABILITIES[a:b], LABELS[a:b], [0.25] * (b - a))
        for a, b in ((0, first), (first, second), (second, 9))
    ]
    whole = a_count(losses=[0.25] * 9)
    total = add(add(parts[2], parts[0]), parts[1])
    assert total.keys() == whole.keys()
    for name, value in whole.items():
        assert total[name] == pytest.approx(value)


def test_adding_leaves_its_arguments_alone_and_nothing_is_neutral():
    first, second = a_count(), a_count()
    total = add(first, second)
    assert first == second == a_count() == add({}, first)
    assert total["cases"] == 18
    assert sum(total["mgmt_positive_scores"]) == 8


def test_a_number_and_a_histogram_do_not_add():
    with pytest.raises(TypeError):
        add({"loss": 1.0}, {"loss": [1.0]})


def test_the_loss_is_the_mean_over_cases_not_over_hospitals():
    total = add(a_count([0.5], [1], [1.0]), a_count([0.5, 0.5, 0.5], [1, 1, 1], [5.0, 5.0, 5.0]))
    assert scores_of(total).loss == 4


def test_what_the_cases_cannot_say_is_none():
    empty = scores_of({})
    assert empty.loss is None
    assert empty.dice == ()
    assert empty.mgmt.cases == 0
    assert (empty.mgmt.auc, empty.mgmt.accuracy, empty.tumor.recall, empty.tumor.brier) == (None,) * 4
    only_positive = scores_of(a_count([0.2, 0.3], [1, 1])).mgmt
    assert (only_positive.auc, only_positive.precision, only_positive.specificity) == (None, None, None)
    assert only_positive.recall == 0


def test_the_overlap_counts_voxels_of_each_region_over_all_cases():
    predicted, reference = np.zeros((2, 3, 2, 2, 2)), np.zeros((2, 3, 2, 2, 2))
    predicted[0, 0, 0], reference[0, 0] = 1, 1  # 4 of 8 found
    predicted[1, 0, 0, 0, 0] = 1  # 1 found where there is nothing
    reference[1, 1, 1, 1, 1] = 1  # 1 missed
    overlap = overlap_of(predicted, reference)
    assert overlap == [[4, 0, 0], [5, 0, 0], [8, 1, 0]]
    counts = counts_of({"mgmt": [], "tumor": []}, {"mgmt": [], "tumor": []}, overlap, [])
    assert scores_of(counts).dice == (8 / 13, 0, None)
    assert scores_of(add(counts, counts)).dice == (8 / 13, 0, None)
