import json
import math

import numpy as np
import pytest
import torch

from core.errors import PreparationError
from core.imaging.case import PreparedCase, Quality, save_case
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.augmentation import Augmentation
from core.learning.cases import TrainingCase, augmented, collate, training_case
from core.study import Study, digest
from fl_client.dataset import Drawn, load_cohort, patients_of, split

STUDY = Study(name="test", preprocessing={"grid": 16}, validation_fraction=0.25)


def a_prepared_case(seed, mask="tumor"):
    image = np.random.default_rng(seed).standard_normal((4, 16, 16, 16)).astype(np.float32)
    tumor = None if mask is None else np.zeros((16, 16, 16), np.uint8)
    if mask == "tumor":
        tumor[4:8, 4:8, 4:8] = 1
    return PreparedCase(image, np.ones((16, 16, 16), bool), tumor, Quality())


def a_cohort(folder, cases, preprocessing=None, version=PREPROCESSING_VERSION):
    """Write (identifier, seed, mask, mgmt) as a hospital prepares them; seed None: not readable."""
    entries = []
    for name, seed, mask, mgmt in cases:
        file = None if seed is None else f"{name}-{seed:016x}.safetensors"
        if file:
            save_case(a_prepared_case(seed, mask), folder / file)
        reasons = [] if file else ["T2w is missing"]
        verdict = "usable" if file else "unreliable"
        entries.append({"id": name, "file": file, "mgmt": mgmt, "verdict": verdict, "reasons": reasons})
    written = {"preprocessing": digest(preprocessing or STUDY.preprocessing), "version": version, "cases": entries}
    (folder / "cohort.json").write_text(json.dumps(written))
    return folder


def eight(first_seed=0):
    """Three methylated, three not, two controls."""
    return [(f"{n:05}", first_seed + n, "tumor", n % 2) for n in range(6)] + [
        (f"{n:05}", first_seed + n, "control", None) for n in (6, 7)
    ]


def prints(cases):
    return {case.image.sum().item() for case in cases}


def test_a_prepared_cohort_becomes_training_and_validation_cases(tmp_path):
    cohort = load_cohort(a_cohort(tmp_path, [*eight(), ("00009", None, None, 1)]), STUDY, "north")
    assert (len(cohort.training), len(cohort.validation)) == (6, 2)
    assert not prints(cohort.training) & prints(cohort.validation)
    assert [(case.case, case.reasons) for case in cohort.excluded] == [("00009", ("T2w is missing",))]
    kinds = [(case.mgmt, case.tumor) for case in (*cohort.training, *cohort.validation)]
    assert sorted(kinds, key=str) == sorted([(0, 1)] * 3 + [(1, 1)] * 3 + [(None, 0)] * 2, key=str)


def test_an_image_arrives_as_it_was_prepared(tmp_path):
    cohort = load_cohort(a_cohort(tmp_path, eight()), STUDY, "north")
    prepared = {a_prepared_case(seed).image.tobytes() for seed in range(8)}
    assert {case.image.numpy().tobytes() for case in (*cohort.training, *cohort.validation)} == prepared


def test_a_mask_becomes_each_regions_share_of_each_voxel_of_the_map():
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[0:4, 0:4, 0:4] = 1
    mask[4:8, 0:4, 0:2] = 2
    mask[15, 15, 15] = 4
    case = training_case(np.zeros((4, 16, 16, 16), np.float32), mask, 1)
    assert case.tumor_map.shape == (3, 4, 4, 4)
    assert case.tumor_map[0, 0, 0, 0] == 1
    assert case.tumor_map[1, 1, 0, 0] == 0.5
    assert case.tumor_map[2, 3, 3, 3] == 1 / 64
    assert case.tumor_map.sum().item() == pytest.approx(1 + 0.5 + 1 / 64)
    assert (case.mgmt, case.tumor) == (1, 1)


def test_an_empty_mask_is_no_tumor_and_a_missing_one_is_unknown():
    image = np.zeros((4, 16, 16, 16), np.float32)
    control, unknown = training_case(image, np.zeros((16, 16, 16), np.uint8), None), training_case(image, None, 0)
    assert (control.tumor, control.mgmt, control.tumor_map.max()) == (0, None, 0)
    assert (unknown.tumor, unknown.mgmt, unknown.tumor_map) == (None, 0, None)


def test_the_split_does_not_depend_on_the_order_of_the_list(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = load_cohort(a_cohort(tmp_path / "a", eight()), STUDY, "north")
    second = load_cohort(a_cohort(tmp_path / "b", list(reversed(eight()))), STUDY, "north")
    assert [case.image.sum() for case in first.training] == [case.image.sum() for case in second.training]
    assert prints(first.validation) == prints(second.validation)


def test_seed_and_site_draw_other_splits(tmp_path):
    cases = [(f"{n:05}", n, "tumor", n % 2) for n in range(12)]
    folder = a_cohort(tmp_path, cases)
    splits = [
        frozenset(prints(load_cohort(folder, study, site).validation))
        for study in (STUDY, STUDY.model_copy(update={"seed": 8}))
        for site in ("north", "south")
    ]
    assert len(set(splits)) > 2


def some_drawn(kinds):
    blank = torch.zeros(4, 16, 16, 16)
    return [
        (Drawn(f"{n:02}", f"{n:02}", f"{n:02}", TrainingCase(blank + n, None, mgmt, tumor)),)
        for n, (mgmt, tumor) in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ("kinds", "fraction", "validating"),
    [
        # 8 methylated, 8 not, a quarter of each.
        ([(1, 1)] * 8 + [(0, 1)] * 8, 0.25, {(1, 1): 2, (0, 1): 2}),
        # 4 of 18: 1.78, 1.78 and 0.44.
        ([(1, 1)] * 8 + [(0, 1)] * 8 + [(None, 0)] * 2, 0.2, {(1, 1): 2, (0, 1): 2}),
        # 5 of 10: 4.5 and 0.5, but the only control trains; so it does where its remainder is the largest, 0.7 to 0.3.
        ([(1, 1)] * 9 + [(None, 0)], 0.5, {(1, 1): 5}),
        ([(1, 1)] * 9 + [(None, 0)], 0.7, {(1, 1): 7}),
        # At least one validates, at least one trains.
        ([(1, 1)] * 2, 0.01, {(1, 1): 1}),
        ([(1, 1)] * 2, 0.89, {(1, 1): 1}),
    ],
)
def test_each_kind_validates_in_its_share(kinds, fraction, validating):
    training, validation = split(some_drawn(kinds), fraction)
    counted = [(case.mgmt, case.tumor) for case in validation]
    assert {kind: counted.count(kind) for kind in set(counted)} == validating
    assert len(training) + len(validation) == len(kinds)


def test_one_more_patient_moves_few_others():
    before, after = (split(some_drawn([(1, 1)] * count), 0.25)[1] for count in (20, 21))
    assert (
        len({case.image[0, 0, 0, 0].item() for case in before} ^ {case.image[0, 0, 0, 0].item() for case in after}) <= 1
    )


def test_the_same_pixels_under_two_names_stay_on_one_side(tmp_path):
    for seed in range(6):
        study = STUDY.model_copy(update={"seed": seed})
        cases = [(f"{n:05}", n // 2, "tumor", 1) for n in range(8)]
        cohort = load_cohort(a_cohort(tmp_path, cases), study, "north")
        assert not prints(cohort.training) & prints(cohort.validation)
        assert len(cohort.training) + len(cohort.validation) == 8


@pytest.mark.parametrize(
    ("cases", "problem"),
    [
        ([], "no cases"),
        ([("00001", 1, "tumor", 1)], "Only 1 of 1 cases"),
        ([("00001", 1, "tumor", 1), ("00002", None, None, 0)], "Only 1 of 2 cases"),
        ([("00001", 1, "tumor", 1), ("00002", 1, "tumor", 1)], "two different ones"),
    ],
)
def test_too_few_cases_are_refused_with_the_reason(tmp_path, cases, problem):
    with pytest.raises(PreparationError, match=problem):
        load_cohort(a_cohort(tmp_path, cases), STUDY, "north")


def test_a_cohort_prepared_with_other_settings_is_refused(tmp_path):
    other = STUDY.preprocessing.model_copy(update={"margin_mm": 9.0})
    with pytest.raises(PreparationError, match="other settings"):
        load_cohort(a_cohort(tmp_path, eight(), other), STUDY, "north")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"preprocessing": "x"}', "\x00"])
def test_a_damaged_list_is_refused(tmp_path, content):
    (tmp_path / "cohort.json").write_text(content)
    with pytest.raises(PreparationError, match="damaged"):
        load_cohort(tmp_path, STUDY, "north")


def test_an_unprepared_folder_is_refused_without_naming_it(tmp_path):
    with pytest.raises(PreparationError, match="no prepared cohort") as refusal:
        load_cohort(tmp_path, STUDY, "north")
    assert str(tmp_path) not in refusal.value.problem


def test_a_case_of_another_grid_is_refused(tmp_path):
    study = STUDY.model_copy(update={"preprocessing": STUDY.preprocessing.model_copy(update={"grid": 32})})
    with pytest.raises(PreparationError, match="grid is 32"):
        load_cohort(a_cohort(tmp_path, eight(), study.preprocessing), study, "north")


def test_cases_that_another_release_prepared_are_refused(tmp_path):
    a_cohort(tmp_path, eight(), version="0-00000000")
    with pytest.raises(PreparationError, match="another release"):
        load_cohort(tmp_path, STUDY, "north")


def test_a_batch_says_nan_where_a_case_is_silent():
    image = np.ones((4, 16, 16, 16), np.float32)
    cases = [training_case(image, None, 1), training_case(2 * image, np.zeros((16, 16, 16), np.uint8), None)]
    images, targets = collate(cases, torch.device("cpu"))
    assert images.shape == (2, 4, 16, 16, 16)
    assert images[:, 0, 0, 0, 0].tolist() == [1, 2]
    assert targets.mgmt[0] == 1 and math.isnan(targets.mgmt[1])
    assert math.isnan(targets.tumor[0]) and targets.tumor[1] == 0
    assert targets.tumor_map[0].isnan().all() and not targets.tumor_map[1].any()


def test_a_varied_case_keeps_its_labels_and_leaves_the_original_alone():
    image = np.random.default_rng(1).standard_normal((4, 16, 16, 16)).astype(np.float32)
    case = training_case(image.copy(), None, 1)
    images, targets = augmented([case], [Augmentation(flip=(True, False, False))], torch.device("cpu"))
    assert targets.mgmt == 1 and targets.tumor.isnan() and targets.tumor_map.isnan().all()
    assert np.array_equal(images[0].numpy(), image[:, ::-1])
    assert np.array_equal(case.image.numpy(), image)


def test_a_case_without_a_map_has_none_however_it_is_turned():
    image = np.ones((4, 16, 16, 16), np.float32)
    cases = [training_case(image, None, 1), training_case(image, np.ones((16, 16, 16), np.uint8), 1)]
    _, targets = augmented(cases, [Augmentation(rotation=(30, 20, 10), zoom=0.7)] * 2, torch.device("cpu"))
    assert targets.tumor_map[0].isnan().all()
    assert not targets.tumor_map[1].isnan().any()


def test_an_unchanged_cohort_is_read_once_and_a_changed_one_anew(tmp_path):
    first = load_cohort(a_cohort(tmp_path, eight()), STUDY, "north")
    assert load_cohort(tmp_path, STUDY, "north") is first
    assert load_cohort(tmp_path, STUDY, "south") is not first
    assert load_cohort(tmp_path, STUDY.model_copy(update={"seed": 8}), "north") is not first
    fewer = load_cohort(a_cohort(tmp_path, eight()[:6]), STUDY, "north")
    assert len(fewer.training) + len(fewer.validation) == 6


def test_a_person_is_all_that_shares_a_name_or_pixels_with_it():
    blank = torch.zeros(4, 16, 16, 16)

    def drawn(ticket, patient, pixels):
        return Drawn(ticket, patient, pixels, TrainingCase(blank, None, 1, 1))

    # 1 and 4 share a name, 4 and 2 their pixels, so 1, 2 and 4 are one person.
    people = patients_of([drawn("4", "a", "y"), drawn("3", "c", "z"), drawn("2", "b", "y"), drawn("1", "a", "x")])
    assert [[one.ticket for one in person] for person in people] == [["1", "2", "4"], ["3"]]


def test_two_scans_of_a_person_stay_on_one_side(tmp_path):
    for seed in range(6):
        study = STUDY.model_copy(update={"seed": seed})
        folder = a_cohort(tmp_path, [(f"{n:05}", n, "tumor", 1) for n in range(8)])
        listing = json.loads((folder / "cohort.json").read_text())
        for case in listing["cases"]:
            case["patient"] = f"person {int(case['id']) // 2}"
        (folder / "cohort.json").write_text(json.dumps(listing))
        cohort = load_cohort(folder, study, "north")
        assert [len(patient) for patient in cohort.patients] == [2] * 4
        shares = [len(side) for side in (cohort.training, cohort.validation)]
        assert shares == [6, 2], "1 of 4 people"
