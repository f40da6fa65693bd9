"""Real trainings on small noise, watched by what enters the network."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from core.errors import ConfigError, DataError
from core.learning.model import GliomaNet
from core.study import Study
from simulations import code_version, cross_validation
from simulations.cross_validation import RECIPES, Recipe, auc_of, cross_validate, inner_search
from simulations.folds import folds, leave_one_site_out
from tests.simulations.factories_people import a_scan, by_person, cases_of, digest_of, hospitals

torch.set_num_threads(1)

# Nothing is varied, so that every image enters the network as it is.
STUDY = Study(
    name="test",
    model={"preset": "tiny", "dropout": 0},
    preprocessing={"grid": 16},
    augmentation={"flip": False, "rotation_degrees": 0, "zoom": 0, "intensity_shift": 0, "intensity_scale": 0},
    federation={"rounds": 1},
)
SIZES = {"north": 6, "south": 6}


@contextmanager
def watched() -> Iterator[dict[str, set[str]]]:
    """Yield which images any network trains on or looks at while the block runs."""
    seen: dict[str, set[str]] = {"trained": set(), "looked at": set()}

    def look(module, inputs):
        if isinstance(module, GliomaNet):
            kind = "trained" if module.training else "looked at"
            seen[kind] |= {digest_of(image) for image in inputs[0].cpu()}

    handle = torch.nn.modules.module.register_module_forward_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


def scans_of(side) -> set[str]:
    return {drawn.pixels for _, drawn in cases_of(side)}


def with_twins():
    """Two hospitals that share a patient by pixels, and one of whom has a patient twice."""
    north = [a_scan("north", f"n{n}", n, n % 2, grid=16) for n in range(6)]
    south = [a_scan("south", f"s{n}", 10 + n, n % 2, grid=16) for n in range(6)]
    south.append(a_scan("south", "twin", 3, 1, grid=16))
    north.append(a_scan("north", "n4", 30, 0, grid=16))
    return by_person({"north": north, "south": south})


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_no_network_sees_a_tested_image_before_it_is_tested(tmp_path, recipe):
    for fold in folds(with_twins(), 3, 1, 7)[:2]:

        def train(*given, fold=fold):
            with watched() as seen:
                answers = recipe.train(*given)
            assert seen["trained"] | seen["looked at"] == scans_of(fold.train)
            assert seen["trained"] < scans_of(fold.train)
            assert not seen["trained"] & (seen["looked at"] - seen["trained"])
            return answers

        with watched() as seen:
            (result,) = cross_validate([fold], STUDY, tmp_path, Recipe(recipe.name, train))
        assert {score.pixels for score in result.scores} == scans_of(fold.test) <= seen["looked at"]
        assert not seen["trained"] & scans_of(fold.test)


def test_a_left_out_sites_images_and_their_twins_reach_no_training(tmp_path):
    for fold in leave_one_site_out(with_twins()):
        with watched() as seen:
            (result,) = cross_validate([fold], STUDY, tmp_path, RECIPES["federated"])
        (left_out,) = fold.test
        assert {score.site for score in result.scores} == {left_out}
        assert not seen["trained"] & scans_of(fold.test)


def test_the_watch_sees_a_planted_leak(tmp_path, monkeypatch):
    fold = folds(hospitals(SIZES, grid=16), 3, 1, 7)[0]
    leaking = replace(fold, train={**fold.train, "south": (*fold.train["south"], *fold.test["north"])})
    with pytest.raises(DataError, match="both trains on and tests"):
        cross_validate([leaking], STUDY, tmp_path, RECIPES["pooled"])
    monkeypatch.setattr(cross_validation, "check_apart", lambda fold: None)
    with watched() as seen:
        cross_validate([leaking], STUDY, tmp_path, RECIPES["pooled"])
    assert seen["trained"] & scans_of(fold.test)


def test_what_chooses_the_settings_never_sees_the_people_who_are_tested(tmp_path):
    candidates = [STUDY, STUDY.model_copy(update={"seed": 8})]
    (*_, fold) = folds(with_twins(), 3, 1, 7)
    search = inner_search(candidates, 2, 7, tmp_path, RECIPES["pooled"])

    def choose(train, report):
        with watched() as seen:
            chosen = search(train, report)
        everything = seen["trained"] | seen["looked at"]
        assert everything == scans_of(fold.train)
        assert not everything & scans_of(fold.test)
        return chosen

    (result,) = cross_validate([fold], choose, tmp_path, RECIPES["pooled"])
    assert result.study in candidates
    assert {score.pixels for score in result.scores} == scans_of(fold.test)


def test_the_best_of_the_inner_folds_is_refitted_on_all_training_people(tmp_path):
    """Methylation is in every voxel. The first candidate learns it the wrong way round, the two others rightly."""
    steps = {"federation": {"rounds": 6}, "training": {"learning_rate": 2e-2}}
    wrong, right, alike = (
        Study.model_validate(STUDY.model_dump() | steps | {"name": name}) for name in ("wrong", "right", "alike")
    )
    trainings = []

    def train(cohorts, study, *rest):
        if study == wrong:
            cohorts = {
                site: replace(cohort, training=turned(cohort.training), validation=turned(cohort.validation))
                for site, cohort in cohorts.items()
            }
        trainings.append((study.name, sum(len(cohort.training + cohort.validation) for cohort in cohorts.values())))
        return RECIPES["pooled"].train(cohorts, study, *rest)

    recipe = Recipe("pooled", train)
    fold = folds(hospitals({"north": 12, "south": 12}, grid=16, shift=2.0), 3, 1, 7)[0]
    (result,) = cross_validate([fold], inner_search([wrong, right, alike], 2, 7, tmp_path, recipe), tmp_path, recipe)
    inner = [("wrong", 8)] * 2 + [("right", 8)] * 2 + [("alike", 8)] * 2
    assert trainings == [*inner, ("right", 16)]
    assert (result.study, result.trained, result.tested) == (right, 16, 8)
    assert auc_of(result.scores) == 1


def turned(cases):
    return tuple(replace(case, mgmt=1 - case.mgmt) for case in cases)


def test_an_interrupted_call_goes_on_with_the_fold_that_was_under_way(tmp_path):
    parts = folds(hospitals(SIZES, grid=16), 3, 1, 7)
    study = STUDY.model_copy(update={"federation": STUDY.federation.model_copy(update={"rounds": 2})})
    whole = cross_validate(parts, study, tmp_path / "whole", RECIPES["federated"])
    told = []

    def stop(step, done, total):
        told.append((step, done))
        if told.count(("federation", 2)) == 2:  # in the second round of the second fold
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(parts, study, tmp_path / "cut", RECIPES["federated"], report=stop)
    told.clear()
    again = cross_validate(
        parts, study, tmp_path / "cut", RECIPES["federated"], report=lambda step, done, total: told.append((step, done))
    )
    assert again == whole
    federated = [done for step, done in told if step == "federation"]
    assert federated == [3, 1, 2, 3]  # the end of the second fold, and the third
    assert not [path for path in (tmp_path / "cut").iterdir() if path.is_dir()]


def test_a_fold_is_trained_anew_for_other_settings_labels_and_people_only(tmp_path):
    calls = []

    def train(cohorts, study, folder, device, report):
        calls.append(study.seed)
        return RECIPES["pooled"].train(cohorts, study, folder, device, report)

    recipe = Recipe("pooled", train)
    sites = hospitals(SIZES, grid=16)
    fold = folds(sites, 3, 1, 7)[0]
    first = cross_validate([fold], STUDY, tmp_path, recipe)
    assert cross_validate([replace(fold, name="again")], STUDY, tmp_path, recipe)[0].scores == first[0].scores
    assert cross_validate([fold], STUDY.model_copy(update={"name": "renamed"}), tmp_path, recipe)
    assert len(calls) == 2  # a study's name is one of its settings
    cross_validate(
        [fold],
        STUDY.model_copy(update={"stopping": STUDY.stopping.model_copy(update={"patience": 1})}),
        tmp_path,
        recipe,
    )
    assert len(calls) == 3  # rounds may now be fewer
    cross_validate([fold], STUDY, tmp_path, Recipe("other", train))
    cross_validate([fold], STUDY.model_copy(update={"validation_fraction": 0.5}), tmp_path, recipe)
    ((victim,), *others) = fold.train["north"]
    relabeled = replace(victim, case=replace(victim.case, mgmt=1 - victim.case.mgmt))
    cross_validate([replace(fold, train={**fold.train, "north": ((relabeled,), *others)})], STUDY, tmp_path, recipe)
    drawn_on = replace(victim, case=replace(victim.case, tumor_map=torch.zeros(3, 4, 4, 4)))
    cross_validate([replace(fold, train={**fold.train, "north": ((drawn_on,), *others)})], STUDY, tmp_path, recipe)
    cross_validate([replace(fold, train={**fold.train, "north": tuple(others)})], STUDY, tmp_path, recipe)
    assert len(calls) == 8


def test_each_fold_keeps_the_code_that_trained_it_and_one_that_went_on_with_other_code_keeps_both(
    tmp_path, monkeypatch
):
    parts = folds(hospitals(SIZES, grid=16), 3, 1, 7)

    def run(code, recipe, stop_at=None):
        def stop(step, done, total):
            told.append(step)
            if told.count("federation") == stop_at:
                raise KeyboardInterrupt

        told = []
        monkeypatch.setattr(code_version, "code_version", lambda: code)
        return [result.code for result in cross_validate(parts, STUDY, tmp_path, RECIPES[recipe], report=stop)]

    with pytest.raises(KeyboardInterrupt):
        run("old", "federated", stop_at=3)  # after the first round of the second fold
    assert run("new", "federated") == ["old", "old, new", "new"]
    assert run("newer", "federated") == ["old", "old, new", "new"]
    assert {path.suffix for path in tmp_path.iterdir()} == {".json"}


def test_a_fold_of_which_nothing_was_kept_is_of_the_code_that_trained_it_anew(tmp_path, monkeypatch):
    fold = folds(hospitals(SIZES, grid=16), 3, 1, 7)[0]

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(code_version, "code_version", lambda: "old")
    with pytest.raises(KeyboardInterrupt):
        cross_validate([fold], STUDY, tmp_path, Recipe("pooled", interrupted))
    monkeypatch.setattr(code_version, "code_version", lambda: "new")
    (result,) = cross_validate([fold], STUDY, tmp_path, RECIPES["pooled"])
    assert result.code == "new"


def test_what_cannot_be_cross_validated_is_refused_before_training(tmp_path):
    parts = folds(hospitals({"north": 8, "south": 2}, grid=16), 2, 1, 7)
    with pytest.raises(DataError, match="leaves south with too few people"):
        cross_validate(parts, STUDY, tmp_path, RECIPES["pooled"])
    private = STUDY.model_copy(update={"privacy": STUDY.privacy.model_copy(update={"epsilon": 3.0})})
    with pytest.raises(ConfigError, match="differential privacy"):
        cross_validate(folds(hospitals(SIZES, grid=16), 2, 1, 7), private, tmp_path, RECIPES["pooled"])
    with pytest.raises(ConfigError, match="no settings"):
        inner_search([], 2, 7, tmp_path, RECIPES["pooled"])
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_of_scores_says_what_to_do(tmp_path):
    parts = folds(hospitals(SIZES, grid=16), 3, 1, 7)[:1]
    cross_validate(parts, STUDY, tmp_path, RECIPES["pooled"])
    (path,) = tmp_path.glob("*.json")
    path.write_text(path.read_text()[:-9])
    with pytest.raises(DataError, match="holds no scores"):
        cross_validate(parts, STUDY, tmp_path, RECIPES["pooled"])
