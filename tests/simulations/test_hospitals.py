import csv
import json
import os
import re
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from core.errors import ConfigError, DataError, FederationError
from core.imaging.volume import SEQUENCES
from core.workers import end_with_parent
from simulations import hospitals
from simulations.hospitals import plan_hospital, site_names, write_cohort
from tests.simulations.factories_patients import a_head


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One patient and one control from the real template."""
    out = tmp_path_factory.mktemp("cohort")
    write_cohort(out, ["north"], 1, 7, coarse=True, controls=1)
    return out


@pytest.fixture
def small_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hospitals, "load_head", lambda spacing: a_head(6.0))


def labels(site: Path) -> dict[str, str]:
    with (site / "train_labels.csv").open(newline="") as file:
        return {row["BraTS21ID"]: row["MGMT_value"] for row in csv.DictReader(file)}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_hospital_has_the_layout_of_the_rsna_miccai_challenge(cohort: Path):
    assert (cohort / "north" / "train_labels.csv").read_text().splitlines()[0] == "BraTS21ID,MGMT_value"
    for identity in ("00001", "00999"):
        folder = cohort / "north" / "train" / identity
        assert {path.name for path in folder.iterdir()} == set(SEQUENCES)
        for sequence in SEQUENCES:
            numbers = [int(re.fullmatch(r"Image-(\d+)\.dcm", path.name)[1]) for path in (folder / sequence).iterdir()]
            assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert {path.name for path in (cohort / "north").iterdir()} == {"train", "train_labels.csv", "masks"}


def test_a_control_has_a_blank_label_and_an_empty_mask_and_a_patient_neither(cohort: Path):
    values = labels(cohort / "north")
    masks = {name: sitk.ReadImage(str(cohort / "north" / "masks" / f"{name}.nii.gz")) for name in values}
    regions = {name: set(np.unique(sitk.GetArrayFromImage(mask)).tolist()) for name, mask in masks.items()}

    assert values["00999"] == ""
    assert values["00001"] in {"0", "1"}
    assert regions == {"00001": {0, 1, 2, 4}, "00999": {0}}
    assert masks["00001"].GetPixelID() == sitk.sitkUInt8


def read_by_position(folder: Path) -> tuple[np.ndarray, list[pydicom.Dataset]]:
    files = [pydicom.dcmread(path) for path in folder.iterdir()]
    row, column = np.array(files[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(row, column)
    files.sort(key=lambda file: normal @ np.array(file.ImagePositionPatient, float))
    return np.stack([file.pixel_array for file in files]).astype(float), files


def test_the_mask_lies_on_the_t1wce_grid_over_what_the_contrast_medium_brightens(cohort: Path):
    mask = sitk.ReadImage(str(cohort / "north" / "masks" / "00001.nii.gz"))
    region = sitk.GetArrayFromImage(mask)
    after, files = read_by_position(cohort / "north" / "train" / "00001" / "T1wCE")

    assert region.shape == after.shape
    assert mask.GetOrigin() == pytest.approx([float(v) for v in files[0].ImagePositionPatient], abs=1e-4)
    assert mask.GetSpacing() == pytest.approx((1.875, 1.875, 5))
    before_image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(cohort / "north/train/00001/T1w")))
    before = sitk.GetArrayFromImage(sitk.Resample(before_image, mask, sitk.Transform(), sitk.sitkLinear))
    inside = region == 4
    elsewhere = (region == 0) & (after > np.percentile(after, 60))
    assert after[inside].mean() / after[elsewhere].mean() > 1.4 * before[inside].mean() / before[elsewhere].mean()


def test_file_numbers_are_not_the_geometric_order(cohort: Path):
    _, files = read_by_position(cohort / "north" / "train" / "00001" / "FLAIR")
    numbers = [int(file.InstanceNumber) for file in files]

    assert numbers not in (sorted(numbers), sorted(numbers, reverse=True))


def test_the_cohorts_truth_names_settings_scanner_latents_and_volumes(cohort: Path):
    truth = json.loads((cohort / "cohort.json").read_text())
    patient, control = truth["sites"]["north"]["patients"]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(cohort / "north" / "masks" / "00001.nii.gz")))

    assert truth["settings"] == {"seed": 7, "separability": 0.9, "coarse": True}
    assert truth["best_possible_auc"] == 0.9
    assert truth["sites"]["north"]["scanner"] == "SIEMENS Skyra"
    assert str(patient["label"]) == labels(cohort / "north")["00001"]
    assert patient["volumes_ml"]["edema"] == pytest.approx((mask == 2).sum() * 1.875 * 1.875 * 5 / 1000, abs=0.01)
    assert (control["label"], control["latent"]) == (None, None)
    assert set(control["volumes_ml"].values()) == {0.0}


def test_several_processes_write_the_same_bytes_as_one(cohort: Path, tmp_path: Path):
    write_cohort(tmp_path, ["north"], 1, 7, coarse=True, controls=1, workers=2)

    assert contents(tmp_path) == contents(cohort)


@pytest.mark.usefixtures("small_heads")
def test_another_seed_gives_other_scans_of_every_patient(tmp_path: Path):
    write_cohort(tmp_path / "a", ["north"], 2, 7, coarse=True)
    write_cohort(tmp_path / "b", ["north"], 2, 8, coarse=True)
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")

    assert not any(a[name] == b[name] for name in a.keys() & b.keys() if name.endswith(".dcm"))
    scans = [[content for name, content in a.items() if f"train/{i}/T1w/" in name] for i in ("00001", "00002")]
    assert not set(scans[0]) & set(scans[1])


@pytest.mark.usefixtures("small_heads")
def test_an_interrupted_call_leaves_no_half_patient_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_cohort(tmp_path / "whole", ["north"], 3, 7, coarse=True)
    real, calls = hospitals.write_series, []

    def stopped_in_the_second_patient(*arguments):
        calls.append(arguments)
        if len(calls) == 7:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(hospitals, "write_series", stopped_in_the_second_patient)
    with pytest.raises(KeyboardInterrupt):
        write_cohort(tmp_path / "halves", ["north"], 3, 7, coarse=True)
    site = tmp_path / "halves" / "north"
    assert [path.name for path in (site / "train").iterdir()] == ["00001"]
    assert not (site / "train_labels.csv").exists()
    written = {path: path.stat().st_mtime_ns for path in (site / "train").rglob("*.dcm")}

    write_cohort(tmp_path / "halves", ["north"], 3, 7, coarse=True)

    assert contents(tmp_path / "halves") == contents(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())


@pytest.mark.usefixtures("small_heads")
def test_two_calls_that_make_the_same_patient_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_cohort(tmp_path / "one", ["north"], 1, 7, coarse=True)
    real, calls = hospitals.write_series, []

    def second_call_runs_meanwhile(*arguments):
        calls.append(arguments)
        real(*arguments)
        if len(calls) == 3:
            write_cohort(tmp_path / "two", ["north"], 1, 7, coarse=True)

    monkeypatch.setattr(hospitals, "write_series", second_call_runs_meanwhile)
    write_cohort(tmp_path / "two", ["north"], 1, 7, coarse=True)

    assert len(calls) == 2 * len(SEQUENCES)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


@pytest.mark.usefixtures("small_heads")
def test_half_patients_are_deleted_a_day_after_their_call_was_killed_and_not_before(tmp_path: Path):
    old, young = (tmp_path / "north" / f".partial-00001-{age}" for age in ("old", "young"))
    for partial, hours in ((old, 25), (young, 23)):
        (partial / "FLAIR").mkdir(parents=True)
        os.utime(partial, (time.time() - hours * 3600,) * 2)

    write_cohort(tmp_path, ["north"], 1, 7, coarse=True)

    assert not old.exists()
    assert young.exists()


@pytest.mark.usefixtures("small_heads")
def test_the_workers_end_with_the_process_that_started_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    initializers = []

    class Pool(ProcessPoolExecutor):
        def __init__(self, workers, context, initializer=None):
            initializers.append(initializer)
            raise InterruptedError

    monkeypatch.setattr(hospitals, "ProcessPoolExecutor", Pool)
    with pytest.raises(InterruptedError):
        write_cohort(tmp_path, ["north"], 2, 7, coarse=True, workers=2)
    assert initializers == [end_with_parent]


@pytest.mark.usefixtures("small_heads")
def test_a_killed_worker_is_told_of_and_the_next_call_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hospitals, "write_patient", die)
    with pytest.raises(FederationError, match="was killed") as told:
        write_cohort(tmp_path, ["north"], 2, 7, coarse=True, workers=2)
    assert "fewer --workers" in told.value.fix
    monkeypatch.undo()
    write_cohort(tmp_path, ["north"], 2, 7, coarse=True)
    assert len(list((tmp_path / "north" / "train").iterdir())) == 2


def die(*_job: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.usefixtures("small_heads")
def test_a_second_call_writes_nothing_and_reports_all_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_cohort(tmp_path, ["north", "south"], 2, 7, coarse=True)
    before = contents(tmp_path)
    reported = []
    monkeypatch.delattr(hospitals, "make_patient")

    write_cohort(tmp_path, ["north", "south"], 2, 7, coarse=True, report=lambda *step: reported.append(step))

    assert contents(tmp_path) == before
    assert reported == [("scan patients at north", 2, 2), ("scan patients at south", 2, 2)]


@pytest.mark.usefixtures("small_heads")
def test_an_outside_hospital_joins_with_its_own_scanner_and_identities(tmp_path: Path):
    write_cohort(tmp_path, ["north"], 1, 7, coarse=True)
    write_cohort(tmp_path, ["outside"], 2, 7, coarse=True, first=3)
    truth = json.loads((tmp_path / "cohort.json").read_text())["sites"]

    assert {site: about["hospital"] for site, about in truth.items()} == {"north": 0, "outside": 3}
    assert truth["outside"]["scanner"] == "TOSHIBA_MEC Vantage Titan"
    assert [patient["id"] for patient in truth["outside"]["patients"]] == ["03001", "03002"]


@pytest.mark.usefixtures("small_heads")
def test_a_folder_of_another_cohort_is_refused(tmp_path: Path):
    write_cohort(tmp_path, ["north"], 1, 7, coarse=True)
    before = contents(tmp_path)

    with pytest.raises(DataError, match="other settings"):
        write_cohort(tmp_path, ["north"], 1, 8, coarse=True)
    with pytest.raises(DataError, match="other settings"):
        write_cohort(tmp_path, ["north"], 1, 7, separability=0.8, coarse=True)
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("small_heads")
def test_a_hospital_under_another_number_is_refused(tmp_path: Path):
    write_cohort(tmp_path, ["north", "south"], 1, 7, coarse=True)
    before = contents(tmp_path)

    with pytest.raises(DataError, match="north as hospital of another number"):
        write_cohort(tmp_path, ["north"], 1, 7, coarse=True, first=2)
    with pytest.raises(DataError, match="north, south as hospital of another number"):
        write_cohort(tmp_path, ["south", "north"], 1, 7, coarse=True)
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("small_heads")
def test_fewer_patients_or_controls_than_are_there_are_refused(tmp_path: Path):
    write_cohort(tmp_path, ["north", "south"], 1, 7, coarse=True)
    write_cohort(tmp_path, ["north"], 2, 7, coarse=True, controls=1)
    before = contents(tmp_path)

    with pytest.raises(DataError, match="holds 1 people whom this call would not make"):
        write_cohort(tmp_path, ["north"], 1, 7, coarse=True, controls=1)
    with pytest.raises(DataError, match="holds 1 people whom this call would not make"):
        write_cohort(tmp_path, ["north", "south"], 3, 7, coarse=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "text", ["[]", '{"settings": {"seed": 7, "separability": 0.9, "coarse": false}, "sites": {"north": 0}}']
)
def test_a_damaged_truth_is_refused(tmp_path: Path, text: str):
    (tmp_path / "cohort.json").write_text(text)

    with pytest.raises(DataError, match="not a cohort"):
        write_cohort(tmp_path, ["north"], 1, 7)


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_file_in_the_folder_s_place_is_refused(tmp_path: Path, out: str):
    (tmp_path / "file").write_text("mine")

    with pytest.raises(ConfigError, match="is not a folder"):
        write_cohort(tmp_path / out, ["north"], 1, 7)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "wrong",
    [
        {"patients": 0},
        {"patients": 900, "controls": 100},
        {"patients": 2, "separability": 1.0},
        {"patients": 2, "separability": 0.4},
        {"patients": 2, "seed": -1},
        {"patients": 2, "first": 100},
        {"patients": -1, "controls": 5},
    ],
)
def test_numbers_that_no_cohort_can_have_are_refused_before_anything_is_written(tmp_path: Path, wrong: dict):
    with pytest.raises(ConfigError):
        write_cohort(tmp_path / "out", ["north"], **{"seed": 7, **wrong})

    assert not (tmp_path / "out").exists()


def test_labels_are_balanced_at_every_size_and_unpredictable():
    for patients in (1, 2, 7, 40):
        values = [plan.label for plan in plan_hospital(7, 1, patients, 0, 0.9)]
        assert abs(2 * sum(values) - patients) <= 1
    firsts = [plan_hospital(7, hospital, 1, 0, 0.9)[0].label for hospital in range(60)]
    assert 15 < sum(firsts) < 45


def test_identities_are_unique_across_hospitals_and_five_digits():
    plans = [plan for hospital in (0, 1, 2, 99) for plan in plan_hospital(7, hospital, 500, 499, 0.9)]

    assert len({plan.identity for plan in plans}) == len(plans)
    assert all(re.fullmatch(r"\d{5}", plan.identity) for plan in plans)
    assert len({plan.seed for plan in plans}) == len(plans)


def test_more_patients_or_controls_leave_the_others_as_they_were():
    few, many = plan_hospital(7, 1, 5, 1, 0.9), plan_hospital(7, 1, 9, 3, 0.9)

    assert many[:5] == few[:5]
    assert many[9] == few[5]


def test_hospitals_have_plain_names():
    assert site_names(6) == ["north", "south", "east", "west", "hospital-05", "hospital-06"]
