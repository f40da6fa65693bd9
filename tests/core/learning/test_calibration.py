"""Scores become probabilities that hold, by hand, beside a naive twin, and for any counts there can be."""

import json
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.isotonic import IsotonicRegression

from core.learning.calibration import Calibration, calibrated, fit_calibration, fit_head
from core.learning.curves import interval_from_area
from core.learning.metrics import BINS, add, bin_of, scores_of
from tests.factories_calibration import CLEAR, Scores, counts_with

EXACT = 1e-9
some_scores = st.lists(st.floats(0, 1), min_size=1, max_size=25)


def a_calibration(mgmt: Scores = CLEAR, tumor: Scores = CLEAR) -> Calibration:
    return fit_calibration(counts_with(mgmt, tumor), "validation patients")


def test_a_case_worked_by_hand() -> None:
    """Two negatives at the bottom, one of each in the middle, two positives on top."""
    calibration = a_calibration(([0.5, 0.999, 0.999], [0.0, 0.0, 0.5]))
    by_hand = {
        0.0: (Fraction(0), Fraction(1, 3)),  # 0 of 3, or 1 of 3
        0.25: (Fraction(0), Fraction(2, 3)),  # alone; or, above the half that follows, pooled with it: 2 of 3
        0.5: (Fraction(1, 3), Fraction(2, 3)),  # 1 of 3, or 2 of 3
        0.75: (Fraction(1, 3), Fraction(1)),  # pooled with the half before it: 1 of 3; or alone
        0.999: (Fraction(2, 3), Fraction(1)),  # 2 of 3, or 3 of 3
    }
    for score, (low, high) in by_hand.items():
        answer = calibrated(calibration, "mgmt", score)
        assert answer.interval == pytest.approx((float(low), float(high))), score
        assert answer.probability == pytest.approx(float(high / (1 - low + high))), score
    assert (calibration.mgmt.positives, calibration.mgmt.negatives, calibration.mgmt.threshold) == (3, 3, 0.5)
    assert calibration.mgmt.auc == pytest.approx(17 / 18)  # of nine pairs one is tied
    assert calibration.mgmt.auc_interval == interval_from_area(calibration.mgmt.auc, 3, 3)


@settings(max_examples=40, deadline=None)
@given(positives=some_scores, negatives=some_scores, score=st.floats(0, 1))
def test_the_fit_is_that_of_a_naive_twin(positives: list[float], negatives: list[float], score: float) -> None:
    """The twin never pools: it regresses one case after the other, each at its bin."""
    interval = calibrated(a_calibration((positives, negatives)), "mgmt", score).interval
    bins, labels = bin_of([*positives, *negatives, score]), [1] * len(positives) + [0] * len(negatives)
    twin = [IsotonicRegression().fit(bins, [*labels, label]).predict([bins[-1]])[0] for label in (0, 1)]
    assert interval == pytest.approx(tuple(twin), abs=EXACT)


@settings(max_examples=40, deadline=None)
@given(positives=some_scores, negatives=some_scores)
def test_an_interval_is_one_rises_with_the_score_and_holds_the_probability(
    positives: list[float], negatives: list[float]
) -> None:
    calibration = a_calibration((positives, negatives))
    low, high = np.array(calibration.mgmt.low), np.array(calibration.mgmt.high)
    answers = [calibrated(calibration, "mgmt", (place + 0.5) / BINS) for place in range(BINS)]
    probability = np.array([answer.probability for answer in answers])
    assert (low >= 0).all()
    assert (low < high).all(), "two labels of one case never lead to the same fit"
    assert (high <= 1).all()
    for rising in (low, high, probability):
        assert (np.diff(rising) >= -EXACT).all()
    assert ((low - EXACT <= probability) & (probability <= high + EXACT)).all()
    assert [answer.interval for answer in answers] == list(zip(low, high, strict=True))


@settings(max_examples=60, deadline=None)
@given(positives=some_scores, negatives=some_scores)
def test_the_threshold_is_where_youdens_index_is_highest(positives: list[float], negatives: list[float]) -> None:
    """No cut between two bins does better than the one where the isotonic curve of the cases passes the threshold."""
    threshold = a_calibration((positives, negatives)).mgmt.threshold or 0
    yes, no = bin_of(positives), bin_of(negatives)
    best = max((yes >= cut).mean() - (no >= cut).mean() for cut in range(BINS + 1))
    curve = IsotonicRegression().fit(np.concatenate([yes, no]), [1.0] * len(yes) + [0.0] * len(no))
    above = (curve.predict(yes) > threshold + EXACT).mean() - (curve.predict(no) > threshold + EXACT).mean()
    assert above == pytest.approx(best)


def test_counts_of_two_hospitals_calibrate_as_those_of_one() -> None:
    rng = np.random.default_rng(0)
    first, second = ((rng.beta(4, 2, 9).tolist(), rng.beta(2, 4, 14).tolist()) for _ in range(2))
    pooled = add(counts_with(first), counts_with(second))
    together = counts_with((first[0] + second[0], first[1] + second[1]))
    assert fit_calibration(pooled, "x").mgmt == fit_calibration(together, "x").mgmt


def distorted(rng: np.random.Generator, cases: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores that rank cases as their true probability does, and say far too little of it."""
    truth = rng.uniform(0, 1, cases)
    return truth**4, rng.uniform(0, 1, cases) < truth


def unreliability(probability: NDArray[np.float64], label: NDArray[np.bool_]) -> float:
    """How far probabilities are from the frequencies that they name, on average over ten equal groups."""
    groups = np.array_split(np.argsort(probability), 10)
    return float(np.mean([abs(probability[group].mean() - label[group].mean()) for group in groups]))


def test_a_distorted_score_becomes_a_reliable_probability() -> None:
    rng = np.random.default_rng(7)
    score, label = distorted(rng, 500)
    calibration = a_calibration((score[label].tolist(), score[~label].tolist()))
    score, label = distorted(rng, 20_000)
    answers = [calibrated(calibration, "mgmt", value) for value in score.tolist()]
    probability = np.array([answer.probability for answer in answers])
    assert unreliability(score, label) > 0.25
    assert unreliability(probability, label) < 0.05


def test_one_end_of_the_interval_is_calibrated_even_with_few_cases() -> None:
    """Over many small calibrations: the end that the new case's own label chooses is right on average."""
    rng = np.random.default_rng(3)
    chosen, truths = [], []
    for _ in range(300):
        score, label = distorted(rng, 15)
        if label.all() or not label.any():
            continue
        calibration = a_calibration((score[label].tolist(), score[~label].tolist()))
        new, truth = distorted(rng, 20)
        low_and_high = [calibrated(calibration, "mgmt", value).interval or (0, 0) for value in new.tolist()]
        chosen += [ends[int(one)] for ends, one in zip(low_and_high, truth, strict=True)]
        truths += truth.tolist()
    assert unreliability(np.array(chosen), np.array(truths)) < 0.03


def test_more_cases_narrow_the_interval() -> None:
    rng = np.random.default_rng(5)
    widths = []
    for cases in (20, 80, 320, 1280):
        score, label = distorted(rng, cases)
        fit = a_calibration((score[label].tolist(), score[~label].tolist())).mgmt
        widths.append(np.mean(np.array(fit.high) - np.array(fit.low)))
    assert all(wide > narrow for wide, narrow in pairwise(widths))
    assert widths[-1] < 0.06


@pytest.mark.parametrize(
    ("mgmt", "told"),
    [
        (([], []), "0 methylated and 0 unmethylated"),
        (([0.5, 0.7], []), "2 methylated and 0 unmethylated"),
        (([], [0.2]), "0 methylated and 1 unmethylated"),
    ],
)
def test_cases_of_one_class_only_fit_nothing_and_say_so(mgmt: Scores, told: str) -> None:
    calibration = a_calibration(mgmt)
    answer = calibrated(calibration, "mgmt", 0.9)
    assert not calibration.mgmt.is_fitted
    assert answer.probability is answer.interval is answer.decision is None
    assert told in answer.reason
    assert calibrated(calibration, "tumor", 0.9).decision == "present"


@pytest.mark.parametrize(
    ("head", "score", "decision"),
    [
        ("mgmt", 0.02, "unmethylated"),
        ("mgmt", 0.97, "methylated"),
        ("tumor", 0.02, "absent"),
        ("tumor", 0.97, "present"),
    ],
)
def test_a_case_is_decided_where_its_whole_interval_lies_on_one_side(head: str, score: float, decision: str) -> None:
    answer = calibrated(a_calibration(), head, score)
    assert (answer.decision, answer.reason) == (decision, "")


def test_a_case_whose_interval_reaches_over_the_threshold_is_undecided() -> None:
    answer = calibrated(a_calibration(), "mgmt", 0.48)
    assert answer.decision == "undecided"
    assert answer.probability is not None
    low, high = answer.interval or (0, 0)
    assert low <= 0.5 <= high
    assert answer.reason == (
        f"mgmt: undecided: the interval {low:.2f} to {high:.2f} does not lie on one side of the threshold 0.50"
    )


@pytest.mark.parametrize(
    ("mgmt", "told"),
    [
        (([0.2, 0.6, 0.8], [0.1, 0.5, 0.9]), "not shown to be better than chance on 6 validation patients: AUC 0.56, "),
        (([0.9], [0.1] * 30), "AUC 1.00, too few for an interval"),
        (([0.1] * 20, [0.9] * 20), "AUC 0.00, 0.00 to "),
    ],
)
def test_a_head_that_is_not_shown_to_beat_chance_decides_nothing(mgmt: Scores, told: str) -> None:
    calibration = a_calibration(mgmt)
    for score in (0.0, 0.5, 1.0):
        answer = calibrated(calibration, "mgmt", score)
        assert answer.decision == "undecided"
        assert answer.interval is not None
        assert told in answer.reason


def test_a_calibration_is_plain_json_and_reads_back_the_same() -> None:
    calibration = a_calibration(tumor=([0.5], []))
    assert Calibration.model_validate(json.loads(json.dumps(calibration.model_dump(mode="json")))) == calibration


@pytest.mark.parametrize(
    "change",
    [
        {"low": [0.5] * (BINS - 1)},
        {"low": [1.0] * BINS, "high": [0.5] * BINS},
        {"high": [1.5] * BINS},
        {"threshold": None},
        {"positives": 0},
        {"low": [float("nan")] * BINS},
        {"temperature": {"temperature": 0, "bias": 0}},
        {"sets": [{"alpha": 0.1, "lower_to": BINS, "upper_from": 0}]},
        {"risks": [[0.5, 1.5]]},
        {"more": 1},
    ],
)
def test_what_is_no_calibration_is_refused(change: dict[str, object]) -> None:
    stored = a_calibration().model_dump(mode="json")
    with pytest.raises(ValidationError):
        Calibration.model_validate({**stored, "mgmt": {**stored["mgmt"], **change}})


@pytest.mark.parametrize("name", ["temperature", "sets", "risks"])
def test_what_was_fitted_to_one_class_only_is_refused(name: str) -> None:
    stored, fitted = (a_calibration(mgmt).model_dump(mode="json") for mgmt in (([0.5], []), CLEAR))
    with pytest.raises(ValidationError, match="one class only"):
        Calibration.model_validate({**stored, "mgmt": {**stored["mgmt"], name: fitted["mgmt"][name]}})


def test_a_file_of_an_earlier_release_still_answers_and_leaves_out_what_it_lacks() -> None:
    stored = a_calibration().model_dump(mode="json")
    for head in ("mgmt", "tumor"):
        for name in ("temperature", "sets", "risks"):
            del stored[head][name]
    old = calibrated(Calibration.model_validate(stored), "mgmt", 0.97)
    new = calibrated(a_calibration(), "mgmt", 0.97)
    assert (old.decision, old.interval, old.probability) == (new.decision, new.interval, new.probability)
    assert (old.possible, new.possible) == (None, ("methylated",))


def test_an_answer_holds_what_cannot_be_excluded_at_90_percent() -> None:
    """Twelve of each class: of thirteen one may be missed, so the highest negative and the lowest positive count."""
    calibration = a_calibration((np.linspace(0.4, 0.95, 12).tolist(), np.linspace(0.05, 0.6, 12).tolist()))
    # 0.4 to 0.6 is one isotonic block but for the cases that rank rightly within it.
    expected = {0.1: ("unmethylated",), 0.5: ("unmethylated", "methylated"), 0.9: ("methylated",)}
    assert {score: calibrated(calibration, "mgmt", score).possible for score in expected} == expected
    apart = a_calibration(([0.8] * 12, [0.2] * 12))
    assert calibrated(apart, "mgmt", 0.5).possible == ()
    assert calibrated(a_calibration(([0.8] * 8, [0.2] * 8)), "mgmt", 0.5).possible == ("unmethylated", "methylated")


def test_a_head_that_is_not_shown_to_beat_chance_excludes_nothing() -> None:
    calibration = a_calibration(([0.1] * 20, [0.9] * 20))
    assert calibration.mgmt.sets[1].sets(0).tolist() != [True, True]
    assert calibrated(calibration, "mgmt", 0.0).possible == ("unmethylated", "methylated")


def test_the_risks_are_those_of_the_temperatures_probabilities_at_the_threshold() -> None:
    fit = a_calibration().mgmt
    # 24 cases make four steps of five or more; two are on the wrong side of one half at most.
    assert [coverage for coverage, _ in fit.risks] == [6 / 24, 12 / 24, 18 / 24, 1]
    assert fit.risks[0][1] == fit.risks[1][1] == 0
    assert fit.temperature is not None
    wrong = [fit.temperature.probabilities(score) < 0.5 for score in CLEAR[0]] + [
        fit.temperature.probabilities(score) >= 0.5 for score in CLEAR[1]
    ]
    assert fit.risks[-1][1] == pytest.approx(sum(wrong) / 24)


def test_an_area_fits_the_histograms_that_it_came_with() -> None:
    counts = counts_with()
    assert fit_calibration(counts, "x").mgmt.auc == scores_of(counts).mgmt.auc
    assert not fit_head([0.0] * BINS, [0.0] * BINS, None).is_fitted
