import json

import numpy as np
import torch

from core.learning.cases import training_case
from core.learning.curves import precision_recall_curve
from core.learning.intervals import wilson_interval
from core.report import Picture, Table
from simulations.error_analysis import ErrorRate, error_figures, error_rates, errors_part, is_wrong, size_groups, worst
from simulations.plots_evaluation import Shown, draw_cases, draw_curves, draw_forest
from tests.simulations.factories_judged import a_judged

torch.set_num_threads(1)
JUDGED = [
    a_judged(1, 0.9, tumor=1, tumor_score=0.9, name="a", ml=1.0, loss=0.2),
    a_judged(1, 0.4, tumor=1, tumor_score=0.9, name="b", ml=2.0, loss=3.0, scanner=""),
    a_judged(0, 0.5, tumor=1, tumor_score=0.1, name="c", ml=3.0, loss=3.0),
    a_judged(0, 0.1, tumor=1, tumor_score=0.9, name="d", ml=4.0, loss=5.0, verdict="unreliable"),
    a_judged(0, 0.9, tumor=1, tumor_score=0.9, name="e", ml=5.0, loss=0.1, verdict="unreliable"),
    a_judged(None, 0.9, tumor=0, tumor_score=0.9, name="f", ml=0.0, loss=0.3),
]


def a_case(mask=None):
    return training_case(np.ones((4, 16, 16, 16), np.float32), mask, None)


def test_a_call_is_wrong_at_one_half():
    assert [is_wrong(one, "mgmt") for one in JUDGED[:5]] == [False, True, True, False, True]
    assert [is_wrong(one, "tumor") for one in JUDGED] == [False, False, True, False, False, True]


def test_error_rates_by_hand():
    def rate(errors, cases):
        return ErrorRate(cases, errors, wilson_interval(errors, cases))

    third = ("1st third, up to 2.3 ml", "2nd third, 2.3 to 3.7 ml", "3rd third, over 3.7 ml")
    assert error_rates(JUDGED, "mgmt") == {
        "all": {"all": rate(3, 5)},
        "scanner": {"SIEMENS Skyra": rate(2, 4), "unknown": rate(1, 1)},
        "quality": {"usable": rate(2, 3), "unreliable": rate(1, 2)},
        "tumor size": {third[0]: rate(1, 2), third[1]: rate(1, 1), third[2]: rate(1, 2)},
    }
    assert error_rates(JUDGED, "tumor")["tumor size"] == {
        third[0]: rate(0, 2), third[1]: rate(1, 1), third[2]: rate(0, 2), "no tumor": rate(1, 1),
    }  # fmt: skip


def test_tumor_sizes_fall_into_thirds_and_what_has_none_or_is_unknown_is_apart():
    assert [name.split(",")[0] for name in size_groups([1, 9, 5, None, 0, 5, 1, 9])] == [
        "1st third", "3rd third", "2nd third", "unknown", "no tumor", "2nd third", "1st third", "3rd third",
    ]  # fmt: skip
    # The limits are 2 and 3, which belong to the third below them.
    assert [name[0] for name in size_groups([1, 2, 3, 4])] == ["1", "1", "2", "3"]
    assert size_groups([0, None]) == ["no tumor", "unknown"]


def test_the_worst_cases_come_first():
    assert [JUDGED[place].known.id for place in worst(JUDGED)] == ["d", "b", "c", "f"]
    assert [one["case"] for one in error_figures(JUDGED)["worst"]] == ["d", "b", "c", "f"]
    json.dumps(error_figures(JUDGED))


def test_the_page_shows_pictures_of_the_worst_and_every_rate():
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[:8, 4:12, 4:8] = 2
    told, table, picture = errors_part(JUDGED, [a_case(mask), a_case(), *[a_case()] * 4]).content
    assert isinstance(picture, Picture)
    assert isinstance(table, Table)
    assert ("all cases", "3 of 5 (23% to 88%)", "2 of 6 (10% to 70%)") in table.rows
    assert ("tumor size: no tumor", "-", "1 of 1 (21% to 100%)") in table.rows
    assert "Wilson" in str(told)
    assert len(errors_part([], []).content) == 2


def test_pictures_are_drawn_from_awkward_data_too():
    nothing = np.zeros((4, 4, 4), np.float32)
    pictures = [
        draw_cases([Shown("blank", np.zeros((4, 16, 16, 16), np.float32), nothing, None)]),
        draw_cases([Shown("none found", np.ones((4, 16, 16, 16), np.float32), nothing, nothing + 1)] * 2),
        draw_curves({}, {}),
        draw_forest({}),
        draw_forest({"head": {"sex": []}}),
    ]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_precision_and_recall_by_hand():
    recall, precision = precision_recall_curve([1, 0, 1, 0], [0.9, 0.8, 0.8, 0.1])
    np.testing.assert_allclose(recall, [0.5, 1, 1])
    np.testing.assert_allclose(precision, [1, 2 / 3, 0.5])
