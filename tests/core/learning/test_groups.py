"""Groups of patients over hospitals: what is shown is attacked by one who knows the rule and tries every table."""

from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.learning.binary_report import report_of
from core.learning.curves import auc, auc_interval
from core.learning.groups import ALL, SITE, UNKNOWN, added, group_report, site_groups
from core.learning.metrics import bin_of, histograms_of, task_counts

ROOT = Path(__file__).resolve().parents[3]

some_cases = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0, 1), st.sampled_from("abc"), st.sampled_from(["f", "m"])), max_size=60
)


def only_the_number(places):
    return {"cases": float(len(places))}


def counting(cases):
    def count(places):
        return task_counts("mgmt", [cases[place][1] for place in places], [float(cases[place][0]) for place in places])

    return count


def sent_of(cases, floor=2):
    """What the hospitals a, b and c send."""
    sites = {}
    for site in "abc":
        own = [case for case in cases if case[2] == site]
        sites[site] = site_groups(counting(own), {"sex": [case[3] for case in own]}, floor)
    return sites


def shown(table):
    return {attribute: {name: counts["cases"] for name, counts in of.items()} for attribute, of in table.items()}


def test_small_groups_are_withheld_and_another_with_them_and_even_their_names():
    sexes = ["f"] * 9 + ["m"] * 7 + [""] * 5
    scanners = ["x"] * 12 + ["y"] * 7 + ["only here"] * 2
    table = site_groups(only_the_number, {"sex": sexes, "scanner": scanners})
    assert shown(table) == {ALL: {ALL: 21}, "sex": {"f": 9, "m": 7, UNKNOWN: 5}, "scanner": {"x": 12}}


def test_a_hospital_below_the_floor_sends_nothing():
    assert site_groups(only_the_number, {"sex": ["f"] * 4}) == {}
    assert shown(site_groups(only_the_number, {"sex": ["f"] * 5})) == {ALL: {ALL: 5}, "sex": {"f": 5}}
    assert site_groups(only_the_number, {"sex": [], "scanner": []}) == {}


def test_hospitals_add_and_each_is_a_group():
    one = site_groups(only_the_number, {"sex": ["f"] * 6 + ["m"] * 8})
    other = site_groups(only_the_number, {"sex": ["f"] * 7 + ["m"] * 2})
    assert shown(added({"one": one, "other": other, "small": {}})) == {
        ALL: {ALL: 23},
        SITE: {"one": 14, "other": 9},
        "sex": {"f": 6, "m": 8},
    }


@pytest.mark.parametrize(("floor", "highest"), [(5, 7), (3, 6)])
def test_nobody_can_work_out_a_withheld_group_from_the_tables_of_a_hospital(floor, highest):
    """Every table of two sexes by two scanners: those that show the same must differ in each cell that is withheld."""
    alike = defaultdict(list)
    for cells in product(range(highest + 1), repeat=4):
        sexes = ["f"] * (cells[0] + cells[1]) + ["m"] * (cells[2] + cells[3])
        scanners = ["x"] * cells[0] + ["y"] * cells[1] + ["x"] * cells[2] + ["y"] * cells[3]
        table = shown(site_groups(only_the_number, {"sex": sexes, "scanner": scanners}, floor))
        margins = {
            ("sex", "f"): cells[0] + cells[1],
            ("sex", "m"): cells[2] + cells[3],
            ("scanner", "x"): cells[0] + cells[2],
            ("scanner", "y"): cells[1] + cells[3],
        }
        alike[repr(table)].append((table, margins))
    assert len(alike) > 10
    for candidates in alike.values():
        table = candidates[0][0]
        for attribute, group in candidates[0][1]:
            counts = {margins[attribute, group] for _, margins in candidates}
            if group in table.get(attribute, {}):
                assert counts == {table[attribute][group]}
                assert min(counts) >= floor
            elif counts != {0}:
                # Where all others are shown in full, that nobody is left may be known: that is no patient's secret.
                assert len(counts) >= 2, (table, candidates)
                assert min(counts) < floor


@given(some_cases, st.integers(2, 6))
@settings(max_examples=60)
def test_cases_left_over_by_subtraction_are_no_small_group(cases, floor):
    for groups in sent_of(cases, floor).values():
        if groups:
            left = group_report(groups[ALL][ALL], "mgmt").scores.cases - sum(
                group_report(counts, "mgmt").scores.cases for counts in groups["sex"].values()
            )
            assert left == 0 or left >= floor


def test_single_patients_can_be_put_together_from_the_histograms_so_nothing_of_a_deployment_imports_them():
    rng = np.random.default_rng(4)
    # A hospital: label, score, sex, age band, scanner; three people whose scanner is withheld, with the next smallest.
    people = [
        (int(rng.integers(2)), float(rng.random()), "fm"[rng.integers(2)], "abc"[rng.integers(3)], scanner)
        for scanner in ["x"] * 25 + ["y"] * 8 + ["z"] * 3
    ]
    names = ("sex", "age", "scanner")
    table = site_groups(counting(people), {name: [one[2 + k] for one in people] for k, name in enumerate(names)})
    assert set(table["scanner"]) == {"x"}

    def cases_in(counts):
        return {(c, b) for c, bins in enumerate(reversed(histograms_of(counts, "mgmt"))) for b in np.flatnonzero(bins)}

    rows = {
        (*case, *(next((g for g, counts in table[n].items() if case in cases_in(counts)), "withheld") for n in names))
        for case in cases_in(table[ALL][ALL])
    }
    truth = {
        (label, int(bin_of(score)), sex, age, scanner if scanner == "x" else "withheld")
        for label, score, sex, age, scanner in people
    }
    assert len(rows & truth) >= 0.9 * len(people)
    assert sum(row[-1] == "withheld" for row in rows & truth) >= 10
    deployed = [*(ROOT / "core").rglob("*.py"), *(ROOT / "fl_client").glob("*.py"), *(ROOT / "fl_server").glob("*.py")]
    assert len(deployed) > 100
    assert not [file.name for file in deployed if "learning.groups import" in file.read_text("utf-8")]


@given(st.integers(0, 2**16))
@settings(max_examples=20)
def test_where_nothing_is_withheld_the_sum_is_what_all_patients_together_count_to(seed):
    rng = np.random.default_rng(seed)
    cases = [
        (int(rng.integers(2)), float(rng.random()), site, sex)
        for site, sex in product("abc", "fm")
        for _ in range(rng.integers(5, 9))
    ]
    total = added(sent_of(cases, floor=5))
    pooled = {
        ALL: cases,
        "f": [case for case in cases if case[3] == "f"],
        "a": [case for case in cases if case[2] == "a"],
    }
    for (attribute, group), mine in zip(((ALL, ALL), ("sex", "f"), (SITE, "a")), pooled.values(), strict=True):
        expected, found = counting(mine)(range(len(mine))), total[attribute][group]
        assert list(found) == list(expected)
        np.testing.assert_allclose(np.hstack(list(found.values())), np.hstack(list(expected.values())), rtol=1e-12)


@given(some_cases.filter(bool))
@settings(max_examples=40)
def test_the_area_of_all_patients_lies_within_the_bounds_and_what_is_called_at_one_half_is_exact(cases):
    labels, scores = [case[0] for case in cases], [case[1] for case in cases]
    found, exact = group_report(counting(cases)(range(len(cases))), "mgmt"), report_of(labels, scores, 0.5)
    area = auc(labels, scores)
    if area is None:
        assert found.auc_bounds is found.scores.auc.value is None
    else:
        low, high = found.auc_bounds
        assert low - 1e-12 <= area <= high + 1e-12
        assert found.scores.auc.value == pytest.approx((low + high) / 2)
    for name in ("cases", "positives", "accuracy", "precision", "recall", "specificity", "f1"):
        assert getattr(found.scores, name) == getattr(exact, name)
    # (p + 1/512 - y)^2 differs from (p - y)^2 by less than 2/512.
    assert found.scores.brier.value == pytest.approx(exact.brier.value, abs=2 / 512)


def test_a_group_by_hand():
    # Two positives at .9 and .3, two negatives at .1 and .6: three of four pairs in order, two of four called right.
    counts = task_counts("mgmt", np.array([0.9, 0.3, 0.1, 0.6]), np.array([1.0, 1, 0, 0]))
    found = group_report(counts, "mgmt")
    assert found.auc_bounds == (0.75, 0.75)
    assert (found.scores.auc.value, found.scores.accuracy.value, found.scores.recall.value) == (0.75, 0.5, 0.5)
    # Positives ranked first and third: (1 + 2/3) / 2.
    assert found.scores.average_precision.value == pytest.approx(5 / 6)


def test_scores_that_share_bins_widen_the_interval_of_the_area():
    # All four pairs are tied in one bin, so the area may be anything.
    same = group_report(task_counts("mgmt", [0.5001, 0.5003, 0.5, 0.5002], [1.0, 1, 0, 0]), "mgmt")
    assert same.auc_bounds == (0, 1)
    assert (same.scores.auc.low, same.scores.auc.value, same.scores.auc.high) == (0, 0.5, 1)
    # One of nine pairs is tied: the area may be 1 / 18 to either side.
    labels, scores = [1.0, 1, 1, 0, 0, 0], [0.9, 0.6, 0.3, 0.601, 0.2, 0.1]
    some, (low, high) = (
        group_report(task_counts("mgmt", scores, labels), "mgmt"),
        auc_interval(labels, [9, 6, 3, 6, 2, 1]),
    )
    assert some.scores.auc.value == pytest.approx(7.5 / 9)
    assert (some.scores.auc.low, some.scores.auc.high) == pytest.approx((low - 1 / 18, min(1, high + 1 / 18)))
