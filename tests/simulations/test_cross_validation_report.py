import json
from dataclasses import replace

import numpy as np
import pytest

from core.learning.curves import auc, auc_interval
from core.learning.intervals import folds_interval, mean_interval
from core.report import Picture, Table, render
from core.study import Study
from simulations.cross_validation import FoldResult, Score
from simulations.cross_validation_report import (
    as_json,
    by_fold,
    by_site,
    cross_validation_part,
    mean_of_folds,
    over_all,
)

STUDY = Study(name="test")


def a_result(fold, repeat, site_labels_scores, code="0.1.0+a"):
    scores = tuple(
        Score(site, f"{site} {label} {said}", label, 1, said, 0.5) for site, label, said in site_labels_scores
    )
    return FoldResult(fold, repeat, STUDY, 8, 4, code, scores)


# Areas by hand: fold 1 ranks 4 of 4 pairs rightly, fold 2 ranks 3 of 4.
FIRST = a_result("fold 1", 1, [("a", 0, 0.1), ("a", 1, 0.6), ("b", 0, 0.2), ("b", 1, 0.7), ("b", None, 0.9)])
SECOND = a_result("fold 2", 1, [("a", 0, 0.3), ("a", 1, 0.2), ("b", 0, 0.1), ("b", 1, 0.8)])


def test_areas_by_fold_site_and_over_all_by_hand():
    assert [(area.name, area.cases, area.methylated, area.auc) for area in by_fold([FIRST, SECOND])] == [
        ("fold 1", 4, 2, 1.0),
        ("fold 2", 4, 2, 0.75),
    ]
    # a: 0.1 and 0.3 against 0.6 and 0.2: 3 of 4. b: 0.2 and 0.1 against 0.7 and 0.8: 4 of 4.
    assert [(area.name, area.auc) for area in by_site([FIRST, SECOND])] == [("a", 0.75), ("b", 1.0)]
    together = over_all([FIRST, SECOND])
    # Negatives 0.1, 0.2, 0.3, 0.1; positives 0.6, 0.7, 0.2 (above two, ties one), 0.8.
    assert (together.cases, together.auc) == (8, (4 + 4 + 2.5 + 4) / 16)
    labels, said = [0, 1, 0, 1] * 2, [0.1, 0.6, 0.2, 0.7, 0.3, 0.2, 0.1, 0.8]
    assert together.interval == auc_interval(labels, said)


def test_the_mean_of_the_folds_has_the_corrected_interval_within_0_and_1():
    mean, independent = mean_of_folds([FIRST, SECOND])
    assert mean.auc == 0.875
    # 4 tested for each 8 trained on; two folds: far wider than 0 to 1.
    assert mean.interval == independent == (0.0, 1.0)
    many = [replace(FIRST, repeat=n) if n % 2 else replace(SECOND, repeat=n) for n in range(1, 11)]
    mean, independent = mean_of_folds(many)
    low, high = folds_interval([1.0, 0.75] * 5, 0.5)
    assert mean.interval == (pytest.approx(low), 1.0)
    assert high > 1
    assert independent == pytest.approx(mean_interval([1.0, 0.75] * 5))


def test_repeats_are_averaged_so_that_the_same_patients_told_twice_are_not_twice_as_many():
    once, twice = [FIRST, SECOND], [FIRST, SECOND, replace(FIRST, repeat=2), replace(SECOND, repeat=2)]
    assert over_all(twice) == over_all(once)
    assert by_site(twice) == by_site(once)
    assert [area.name for area in by_fold(twice)][2:] == ["fold 1, repeat 2", "fold 2, repeat 2"]


def test_a_fold_of_one_class_has_no_area_and_does_not_count_in_the_mean():
    lone = a_result("fold 3", 1, [("a", 0, 0.4), ("b", 0, 0.3)])
    assert by_fold([FIRST, SECOND, lone])[2].texts() == ("fold 3", "2", "0", "-", "-")
    assert mean_of_folds([FIRST, SECOND, lone])[0].auc == 0.875
    nobody, independent = mean_of_folds([lone])
    assert (nobody.auc, nobody.interval, independent) == (None, None, None)
    assert cross_validation_part("pooled", [lone])


def test_the_page_shows_every_fold_and_site_and_json_holds_what_it_shows():
    part = cross_validation_part("federated", [FIRST, SECOND])
    headline, folds, sites = (piece for piece in part.content if isinstance(piece, Table))
    assert headline.rows[0][3] == "0.875"
    assert [row[0] for row in folds.rows] == ["fold 1", "fold 2"]
    assert [row[0] for row in sites.rows] == ["a", "b"]
    assert folds.header[-1] == "tested"
    assert sum(isinstance(piece, Picture) for piece in part.content) == 1
    assert "8 people in 2 folds" in render("t", "w", [part])
    told = json.loads(json.dumps(as_json("federated", [FIRST, SECOND])))
    assert told["mean_of_folds"]["auc"] == 0.875
    assert [fold["trained"] for fold in told["folds"]] == [8, 8]
    assert told["folds"][0]["study"]["name"] == "test"


def test_folds_that_chose_their_settings_say_which():
    chosen = replace(SECOND, study=STUDY.model_copy(update={"seed": 8}))
    table = next(
        piece
        for piece in cross_validation_part("federated", [FIRST, chosen]).content
        if isinstance(piece, Table) and piece.header[0] == "fold"
    )
    assert table.header[-1] == "settings"
    assert len({row[-1] for row in table.rows}) == 2


def test_folds_of_different_code_are_told_on_the_page_and_in_json():
    def page(*results):
        return render("t", "w", [cross_validation_part("pooled", results)])

    assert "Code: 0.1.0+a." in page(FIRST, SECOND)
    for other in ("0.1.0+b", "0.1.0+a, 0.1.0+b"):  # trained by another; begun by one and ended by another
        changed = replace(SECOND, code=other)
        assert "may not compare: 0.1.0+a, 0.1.0+b." in page(FIRST, changed)
        assert [fold["code"] for fold in as_json("pooled", [FIRST, changed])["folds"]] == ["0.1.0+a", other]
    assert "may not compare" in page(replace(FIRST, code="0.1.0+a, 0.1.0+b"))


def test_left_out_sites_are_told_once_not_twice():
    parts = [
        a_result(f"without {site}", 1, [(site, 0, 0.1), (site, 1, 0.6), (site, 0, 0.2), (site, 1, said)])
        for site, said in (("a", 0.15), ("b", 0.9))
    ]
    tables = [piece for piece in cross_validation_part("pooled", parts).content if isinstance(piece, Table)]
    assert [table.header[0] for table in tables] == ["", "fold"]


def test_an_area_is_that_of_its_scores_alone():
    rng = np.random.default_rng(0)
    labels, said = rng.integers(0, 2, 30).tolist(), rng.random(30).tolist()
    (area,) = by_fold([a_result("fold 1", 1, [("a", label, one) for label, one in zip(labels, said, strict=True)])])
    assert area.auc == auc(labels, said)
    assert area.interval == auc_interval(labels, said)
