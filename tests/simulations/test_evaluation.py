import json
from math import nan

import numpy as np
import pytest
import torch

from core.imaging.case import PreparedCase, Quality, save_case
from core.imaging.traits import Traits
from core.learning.cases import training_case
from core.learning.evaluation import INSIDE, evaluate
from core.learning.groups import ALL, SITE
from core.learning.lesions import region_scores
from core.learning.metrics import counts_of
from core.learning.model import build_model
from core.learning.prediction import predict_scores
from core.report import Table, render
from core.study import ModelSettings
from fl_client.prepare import Entry
from simulations.evaluation import MAPS, Known, evaluate_site, group_tables, judge, map_counts
from simulations.evaluation_parts import figures, groups_part, head_scores, heads_part, map_scores
from tests.simulations.factories_judged import a_judged

torch.set_num_threads(1)
MODEL = build_model(ModelSettings(preset="tiny"), 3)


def an_image(number):
    return np.random.default_rng(number).standard_normal((4, 16, 16, 16)).astype(np.float32)


def a_mask(number):
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[:8, 4:12, 4:8] = 2
    mask[8:12, :4, :4] = 4 if number % 2 else 0
    return mask


def some_cases(count=11):
    masks = [None if number == 0 else a_mask(number) * (number > 2) for number in range(count)]
    return [training_case(an_image(n), mask, None if n == 1 else n % 2) for n, mask in enumerate(masks)]


def known_of(cases):
    return [Known(str(number), "north", Traits("", "", "")) for number in range(len(cases))]


def test_a_judged_case_has_what_prediction_evaluation_and_lesions_say_of_it():
    cases = some_cases()
    judged = judge(MODEL, cases, known_of(cases))
    predicted = predict_scores(MODEL, torch.stack([case.image for case in cases]))
    np.testing.assert_allclose([one.scores["mgmt"] for one in judged], predicted.mgmt, rtol=1e-5)
    np.testing.assert_allclose([one.scores["tumor"] for one in judged], predicted.tumor, rtol=1e-5)
    assert [one.known.id for one in judged] == [str(number) for number in range(11)]
    counts = evaluate(MODEL, cases)
    assert sum(one.loss for one in judged) == pytest.approx(counts["loss"], rel=1e-5)
    assert [one.labels["mgmt"] for one in judged] == [0, None, 0, 1, 0, 1, 0, 1, 0, 1, 0]
    assert [one.labels["tumor"] for one in judged] == [None, 0, 0, *[1] * 8]
    assert judged[0].lesions == judged[0].dice == ()
    references = np.stack([case.tumor_map.numpy() for case in cases[1:]]) > INSIDE
    for place, region in enumerate(region_scores(predicted.tumor_map[1:] > INSIDE, references)):
        assert sum((one.lesions[place] for one in judged[2:]), judged[1].lesions[place]) == region.counts
        assert tuple(one.dice[place] for one in judged[1:]) == region.dice


def test_the_whole_tumor_is_one_lesion_where_its_regions_touch():
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[:4, :4, :4], mask[4:8, :4, :4], mask[12:, 12:, 12:] = 2, 4, 1
    (judged,) = judge(MODEL, [training_case(an_image(1), mask, None)], known_of([0]))
    assert [one.lesions for one in judged.lesions] == [1, 1, 1, 2]


def test_counts_by_group_are_those_of_each_site_that_shows_them():
    judged = [
        *(a_judged(1, 0.9, site="north", sex="female") for _ in range(6)),
        *(a_judged(0, 0.2, site="north", sex="male") for _ in range(5)),
        *(a_judged(0, 0.95, site="south", sex="female") for _ in range(7)),
        *(a_judged(1, 0.1, site="south", sex="male") for _ in range(2)),
        *(a_judged(1, 0.1, site="west") for _ in range(4)),
        *(a_judged(None, 0.1, site="north") for _ in range(3)),
        *(a_judged(0, 0.1, site="north", verdict="unreliable") for _ in range(3)),
    ]
    tables = group_tables(judged)
    cases = {
        attribute: {
            group: sum(counts["mgmt_positive_scores"]) + sum(counts["mgmt_negative_scores"])
            for group, counts in groups.items()
        }
        for attribute, groups in tables["mgmt"].items()
    }
    assert cases == {
        ALL: {ALL: 20},
        SITE: {"north": 11, "south": 9},
        "sex": {"female": 6, "male": 5},
        "scanner": {"SIEMENS Skyra": 20},
        "age": {"60 to 69": 20},
    }
    assert tables["tumor"] == tables[MAPS] == {}
    told = figures(judged)
    assert told["groups"]["mgmt"][SITE]["north"]["auc_bounds"] == (1.0, 1.0)
    # Six positives above five negatives, which are above none: of 6 x 12 pairs only the 6 x 5 of north are in order.
    assert told["groups"]["mgmt"][ALL][ALL]["scores"]["auc"]["value"] == pytest.approx(30 / (8 * 12))
    json.dumps(told)


def test_counts_of_a_group_are_those_that_a_site_sends_of_all_its_cases():
    judged = [a_judged(label, score) for label, score in ((1, 0.9), (0, 0.4), (1, 0.3), (0, 0.1), (1, 0.5))]
    none = [nan] * 5
    whole = counts_of(
        {"mgmt": [0.9, 0.4, 0.3, 0.1, 0.5], "tumor": none}, {"mgmt": [1, 0, 1, 0, 1], "tumor": none}, [[], [], []], none
    )
    found = group_tables(judged)["mgmt"][ALL][ALL]
    assert found == {name: value for name, value in whole.items() if name.startswith("mgmt_")}


def test_scores_of_a_head_by_hand():
    judged = [a_judged(label, score) for label, score in ((1, 0.9), (1, 0.7), (1, 0.3), (0, 0.6), (0, 0.2), (0, 0.1))]
    found = head_scores([*judged, a_judged(None, 0.99), a_judged(0, 0.99, verdict="unreliable")], "mgmt")
    # Eight of nine pairs are in order; of three called positive two are.
    assert found["auc"]["value"] == found["auc_bootstrap"]["value"] == pytest.approx(8 / 9)
    assert (found["precision"]["value"], found["recall"]["value"]) == pytest.approx((2 / 3, 2 / 3))
    assert found["brier"]["value"] == pytest.approx((0.01 + 0.09 + 0.49 + 0.36 + 0.04 + 0.01) / 6)
    for name in ("auc", "auc_bootstrap"):
        assert found[name]["low"] < 8 / 9 < found[name]["high"]


def test_scores_of_maps_by_hand():
    judged = [
        a_judged(lesions=(2, 1, 0), dice=0.5),
        a_judged(lesions=(0, 0, 3), dice=0.0),
        a_judged(lesions=(1, 1, 0), dice=0.7),
        a_judged(lesions=(0, 0, 0), dice=None),
        a_judged(),
        a_judged(lesions=(9, 9, 9), dice=1.0, verdict="unreliable"),
    ]
    found = map_scores(judged, "whole tumor")
    assert (found["maps"], found["lesions"]) == (4, 3)
    assert found["sensitivity"]["value"] == pytest.approx(2 / 3)
    # Of two cases with lesions a resample has the first twice, the second twice, or both.
    assert (found["sensitivity"]["low"], found["sensitivity"]["high"]) == (0.5, 1.0)
    assert found["false_positives_a_case"]["value"] == 0.75
    assert found["dice"]["value"] == pytest.approx(0.4)
    counts = map_counts(judged[:4])
    assert [counts[name][-1] for name in ("lesions", "found", "predicted", "false_positives", "dice_maps")] == [
        3, 2, 5, 3, 3,
    ]  # fmt: skip
    assert counts["dice"][-1] == pytest.approx(1.2)


def test_the_table_of_groups_says_how_many_are_withheld_and_no_name_of_theirs():
    judged = [a_judged(n % 2, 0.1 * (n % 10), sex="female") for n in range(12)]
    judged += [a_judged(n % 2, 0.5, sex="male", lesions=(1, 1, 0), dice=1.0) for n in range(7)]
    judged += [a_judged(1, 0.5, sex="other")]
    (table,) = [piece for piece in groups_part(judged).content if isinstance(piece, Table) and len(piece.header) == 8]
    cells = {row[0]: row[1] for row in table.rows}
    assert cells["all cases"] == "20 (10)"
    assert cells["sex: female"] == "12 (6)"
    assert cells["sex: withheld"] == "8"
    assert not {"sex: male", "sex: other"} & cells.keys()


@pytest.mark.parametrize("judged", [[], [a_judged()], [a_judged(1, 0.4)] * 6, [a_judged(lesions=(0, 0, 0))] * 6])
def test_nothing_to_say_makes_a_page_all_the_same(judged):
    parts = [heads_part(judged), groups_part(judged)]
    tables = [piece for part in parts for piece in part.content if isinstance(piece, Table)]
    assert not [cell for table in tables for row in table.rows for cell in row if "nan" in cell or "None" in cell]
    assert render("t", "w", parts)
    json.dumps(figures(judged), allow_nan=False)


def test_a_site_is_judged_with_its_traits_on_usable_and_unreliable_cases_and_never_by_an_untrained_head(tmp_path):
    grid = {"grid": {"spacing": [2.0, 2.0, 5.0]}}
    for name, reasons in (("a", ()), ("b", ("moved",))):
        mask = a_mask(0)
        case = PreparedCase(an_image(1), np.ones((16, 16, 16), bool), mask, Quality(reasons), grid)
        save_case(case, tmp_path / f"{name}.safetensors")
    traits = Traits("male", "50 to 59", "GE")
    entries = [
        Entry("a", "a", "a.safetensors", 1, "usable", (), traits),
        Entry("b", "b", "b.safetensors", 0, "unreliable", ("moved",), traits),
        Entry("c", "c", None, 0, "unreliable", ("lost",), traits),
    ]
    untrained = {"mgmt": "", "tumor": "never shown both kinds"}
    found = evaluate_site(entries, tmp_path, "south", MODEL, untrained)
    # 8 x 8 x 4 voxels of 20 mm3.
    assert [one.known for one in found.judged] == [
        Known("a", "south", traits, "usable", 5.12),
        Known("b", "south", traits, "unreliable", 5.12),
    ]
    assert [one.labels for one in found.judged] == [{"mgmt": 1, "tumor": None}, {"mgmt": 0, "tumor": None}]
    assert len(found.cases) == 2
    assert found.judged[0].lesions
