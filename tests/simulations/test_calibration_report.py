"""What a report says of scores whose truth is known."""

import json

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import betabinom

from core.learning.intervals import wilson_interval
from core.report import Picture, Table, render
from simulations.calibration_report import RAW, SCALED, VENN_ABERS, Scored, calibration_part
from simulations.plots_calibration import draw_reliability, draw_risks, groups_of

TEMPERATURE, BIAS = 2.5, -0.6


def drawn(seed, cases):
    """Scores that are far too sure: the true log odds are their logits divided by the temperature, plus the bias."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.5, 3, cases)
    return Scored(rng.random(cases) < expit(logits / TEMPERATURE + BIAS), expit(logits))


@pytest.fixture(scope="module")
def told():
    return calibration_part("federation", "mgmt", drawn(1, 600), drawn(2, 1500))


def test_a_known_temperature_is_found_and_ends_the_error_on_held_out_cases(told):
    _, figures = told
    assert figures["temperature"]["temperature"] == pytest.approx(TEMPERATURE, rel=0.2)
    assert figures["temperature"]["bias"] == pytest.approx(BIAS, abs=0.25)
    error = {name: figures["probabilities"][name]["ece_equal_mass"] for name in (RAW, SCALED, VENN_ABERS)}
    assert error[RAW]["low"] > 0.1
    assert error[SCALED]["value"] < 0.05
    assert error[VENN_ABERS]["value"] < 0.07
    assert error[SCALED]["high"] < error[RAW]["low"]


def test_coverage_of_held_out_cases_is_as_the_promise_lets_it_be(told):
    """At least the nominal share, but for what a beta-binomial of these cases leaves to chance."""
    _, figures = told
    classes = ("negatives", "positives")
    for row in figures["sets"]:
        for label, name in enumerate(classes):
            fitted, shown = figures["calibration_cases"][name], figures["held_out_cases"][name]
            misses = int(row["alpha"] * (fitted + 1))
            least = betabinom.ppf(0.001, shown, fitted + 1 - misses, misses)
            hits = round(row["coverage"][label] * shown)
            assert hits >= least
            assert row["coverage_intervals"][label] == wilson_interval(hits, shown)
        assert row["single"] + row["both"] + row["neither"] == pytest.approx(1)
        assert row["single"] <= row["of_single_scores"]["single"] + row["of_single_scores"]["neither"]
    assert [row["alpha"] for row in figures["sets"]] == [0.05, 0.1, 0.2]


def test_held_out_cases_fit_nothing():
    """Other labels of theirs change no threshold, temperature or set."""
    held_out = drawn(2, 60)
    turned = Scored(1 - np.asarray(held_out.labels, float), held_out.scores)
    first, second = (calibration_part("m", "tumor", drawn(1, 80), cases)[1] for cases in (held_out, turned))
    for name in ("threshold", "temperature", "risk_coverage_told", "calibration_cases"):
        assert first[name] == second[name]
    assert [row["both"] for row in first["sets"]] == [row["both"] for row in second["sets"]]
    assert first["probabilities"] != second["probabilities"]


def test_the_operating_point_is_that_of_the_calibration_cases(told):
    _, figures = told
    cases = figures["calibration_cases"]
    assert figures["threshold"] == pytest.approx(cases["positives"] / sum(cases.values()))
    served = figures["probabilities"][VENN_ABERS]
    assert served["threshold"] == figures["threshold"]
    assert served["recall"]["value"] + served["specificity"]["value"] > 1.3  # Youden's J
    assert figures["probabilities"][RAW]["threshold"] == 0.5


def test_knowing_when_to_be_silent_pays(told):
    _, figures = told
    curve = figures["risk_coverage"][SCALED]
    assert [round(coverage, 2) for coverage, _ in curve] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    assert curve[1][1] < curve[-1][1] / 2
    assert figures["aurc"][SCALED] < curve[-1][1]


def test_the_decisions_of_a_model_that_tells_nothing_are_none():
    rng = np.random.default_rng(6)
    chance, others = (Scored(np.arange(80) % 2, rng.random(80)) for _ in range(2))
    _, figures = calibration_part("m", "mgmt", chance, others)
    assert figures["decisions"] == {"cases": 80, "decided": 0, "right": 0, "right_interval": None}


def test_decisions_are_counted_against_the_truth():
    apart = Scored([0] * 30 + [1] * 30, [0.2] * 30 + [0.8] * 30)
    _, figures = calibration_part("m", "tumor", apart, Scored([0, 0, 1, 1, 1], [0.1, 0.8, 0.8, 0.9, 0.2]))
    assert figures["decisions"]["decided"] == 5
    assert figures["decisions"]["right"] == 3


def test_the_part_is_a_page_and_the_figures_are_json(told):
    part, figures = told
    assert json.loads(json.dumps(figures))["head"] == "mgmt"
    page = render("t", "w", [part])
    assert page.count("<img") == 2
    assert "hold unmethylated" in page
    tables = [piece for piece in part.content if isinstance(piece, Table)]
    assert all(len(row) == len(table.header) for table in tables for row in table.rows)


@pytest.mark.parametrize(
    ("calibration", "held_out"),
    [
        (Scored([1.0] * 9, [0.7] * 9), drawn(2, 30)),
        (drawn(1, 30), Scored([], [])),
        (drawn(1, 30), Scored([np.nan, np.nan], [0.1, 0.2])),
    ],
)
def test_where_nothing_can_be_fitted_or_shown_the_part_says_so(calibration, held_out):
    part, figures = calibration_part("m", "mgmt", calibration, held_out)
    assert "both classes are needed" in str(part.content[0])
    assert "sets" not in figures


@pytest.mark.parametrize("held_out", [Scored([1.0], [0.5]), Scored([0.0, np.nan, 0.0], [0.0, 0.3, 1.0])])
def test_few_cases_of_one_class_are_shown_as_what_they_are(held_out):
    part, figures = calibration_part("m", "mgmt", Scored([1, 0, 1], [1.0, 0.0, 1.0]), held_out)
    assert any(isinstance(piece, Picture) for piece in part.content)
    assert any("-" in row for piece in part.content if isinstance(piece, Table) for row in piece.rows)
    assert figures["sets"][0]["both"] == 1


def test_scores_that_are_none_are_refused():
    with pytest.raises(ValueError, match="0 to 1"):
        calibration_part("m", "mgmt", drawn(1, 20), Scored([1.0, 0.0], [2.0, 0.1]))


def test_groups_by_hand():
    first, second = groups_of([0, 1, 1, 1], [0.1, 0.3, 0.8, 1.0], bins=2)
    assert (first.probability, first.cases, first.share.value) == (pytest.approx(0.2), 2, 0.5)
    assert (second.probability, second.cases, second.share.value) == (pytest.approx(0.9), 2, 1)
    assert (first.share.low, first.share.high) == wilson_interval(1, 2)


def test_pictures_are_drawn_from_awkward_data_too():
    alone = (np.array([1.0]), np.array([0.0]))
    for picture in (draw_reliability({"a": []}), draw_risks({"a": alone}, []), draw_risks({}, [(1.0, 0.5)])):
        assert picture.startswith(b"\x89PNG")
