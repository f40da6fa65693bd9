"""One small synthetic hospital of real DICOM, prepared once for the whole module; every test adds its own twist."""

import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from core.errors import DataError, NotACaseError
from core.imaging.case import load_case
from core.imaging.traits import age_band
from core.study import PreprocessingSettings, digest
from fl_client.config import ComputeSettings, SiteConfig, SiteSettings
from fl_client.prepare import INDEX, PreparedCohort, prepare_cohort
from simulations.hospitals import write_cohort
from simulations.patients import sex_and_age

PATIENT, CONTROL = "00001", "00999"


def a_config(data: Path, prepared: Path, workers: int = 1) -> SiteConfig:
    return SiteConfig(
        site=SiteSettings(name="north", data=data, prepared=prepared),
        preprocessing=PreprocessingSettings(grid=16),
        compute=ComputeSettings(workers=workers),
    )


def index_of(prepared: Path) -> dict[str, dict[str, object]]:
    return {case["id"]: case for case in json.loads((prepared / INDEX).read_text())["cases"]}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cohort")
    write_cohort(out, ["north"], 2, 3, coarse=True, controls=1)
    return out / "north"


@pytest.fixture(scope="module")
def prepared(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedCohort]:
    folder = tmp_path_factory.mktemp("prepared")
    return folder, prepare_cohort(a_config(hospital, folder, workers=2))


@pytest.fixture
def changed(hospital: Path, prepared: tuple[Path, PreparedCohort], tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A copy of the hospital and of what it has prepared, to be spoiled."""
    shutil.copytree(hospital, tmp_path / "data")
    shutil.copytree(prepared[0], tmp_path / "prepared")
    yield tmp_path / "data", tmp_path / "prepared"


def test_every_patient_is_prepared_with_label_and_mask(prepared: tuple[Path, PreparedCohort]) -> None:
    folder, cohort = prepared
    assert (len(cohort.entries), cohort.made, cohort.absent, cohort.excluded) == (3, 3, (), ())
    index = index_of(folder)
    assert {id_: entry["mgmt"] for id_, entry in index.items()} == {"00001": 0, "00002": 1, CONTROL: None} or {
        id_: entry["mgmt"] for id_, entry in index.items()
    } == {"00001": 1, "00002": 0, CONTROL: None}
    tumors = {id_: load_case(folder / str(entry["file"])).tumor for id_, entry in index.items()}
    assert {id_: mask is not None and bool(mask.any()) for id_, mask in tumors.items()} == {
        "00001": True,
        "00002": True,
        CONTROL: False,
    }
    assert json.loads((folder / INDEX).read_text())["preprocessing"] == digest(PreprocessingSettings(grid=16))


def test_sex_age_band_and_scanner_are_kept_at_the_site_for_this_account_alone(
    prepared: tuple[Path, PreparedCohort],
) -> None:
    folder, cohort = prepared
    sex, age = sex_and_age((3, 0, 1))
    traits = {"sex": {"F": "female", "M": "male"}[sex], "age_band": age_band(age), "scanner": "SIEMENS Skyra"}
    assert index_of(folder)[PATIENT]["traits"] == traits == asdict(cohort.entries[0].traits)
    assert stat.S_IMODE((folder / INDEX).stat().st_mode) == 0o600


def test_a_second_call_prepares_nothing_and_changes_no_byte(
    hospital: Path, prepared: tuple[Path, PreparedCohort]
) -> None:
    before = {path.name: path.read_bytes() for path in prepared[0].iterdir()}
    again = prepare_cohort(a_config(hospital, prepared[0]))
    assert again.made == 0
    assert {path.name: path.read_bytes() for path in prepared[0].iterdir()} == before


def test_renamed_files_are_the_same_case(changed: tuple[Path, Path]) -> None:
    data, prepared = changed
    for folder in (data / "train" / PATIENT).iterdir():
        files = sorted(folder.iterdir())
        names = [f"slice {number}" for number in range(len(files))]
        random.Random(1).shuffle(names)
        for file, name in zip(files, names, strict=True):
            file.rename(folder / name)
    assert prepare_cohort(a_config(data, prepared)).made == 0


def test_a_changed_mask_is_another_case(changed: tuple[Path, Path]) -> None:
    data, prepared = changed
    (data / "masks" / f"{PATIENT}.nii.gz").unlink()
    before = index_of(prepared)[PATIENT]["file"]
    assert prepare_cohort(a_config(data, prepared)).made == 1
    assert index_of(prepared)[PATIENT]["file"] != before
    assert load_case(prepared / str(index_of(prepared)[PATIENT]["file"])).tumor is None


def test_a_damaged_prepared_case_is_made_anew(hospital: Path, changed: tuple[Path, Path]) -> None:
    prepared = changed[1]
    case = prepared / str(index_of(prepared)[PATIENT]["file"])
    whole = case.read_bytes()
    case.write_bytes(whole[: len(whole) // 2])
    assert prepare_cohort(a_config(hospital, prepared)).made == 1
    assert case.read_bytes() == whole


def test_an_unreadable_patient_is_listed_with_the_reason_and_the_rest_go_on(changed: tuple[Path, Path]) -> None:
    data, prepared = changed
    shutil.rmtree(data / "train" / PATIENT / "T2w")
    cohort = prepare_cohort(a_config(data, prepared))
    assert [entry.id for entry in cohort.excluded] == [PATIENT]
    assert "T2w" in cohort.excluded[0].reasons[0]
    assert index_of(prepared)[PATIENT]["file"] is None
    assert index_of(prepared)[PATIENT]["traits"]["scanner"] == "SIEMENS Skyra"
    assert index_of(prepared)[CONTROL]["verdict"] == "usable"


def test_labels_of_patients_who_are_not_there_are_named(changed: tuple[Path, Path]) -> None:
    data, prepared = changed
    with (data / "train_labels.csv").open("a") as labels:
        labels.write("04711,1\n")
    assert prepare_cohort(a_config(data, prepared)).absent == ("04711",)


def test_a_patient_without_a_label_is_kept_as_unlabeled(changed: tuple[Path, Path]) -> None:
    data, prepared = changed
    (data / "train_labels.csv").write_text("BraTS21ID,MGMT_value\n")
    assert {entry.mgmt for entry in prepare_cohort(a_config(data, prepared)).entries} == {None}


def test_a_site_without_scans_or_labels_is_told_so(tmp_path: Path, hospital: Path) -> None:
    with pytest.raises(DataError, match=r"no train_labels\.csv"):
        prepare_cohort(a_config(tmp_path, tmp_path / "p"))
    shutil.copy(hospital / "train_labels.csv", tmp_path)
    with pytest.raises(NotACaseError, match="no folder named train"):
        prepare_cohort(a_config(tmp_path, tmp_path / "p"))


def test_a_killed_preparation_goes_on_where_it_was(hospital: Path, tmp_path: Path) -> None:
    prepared, settings = tmp_path / "prepared", tmp_path / "site.toml"
    settings.write_text(
        f'[site]\nname = "north"\ndata = "{hospital}"\nprepared = "{prepared}"\n'
        "[preprocessing]\ngrid = 16\n[compute]\nworkers = 1\n"
    )
    command = [sys.executable, "-m", "fl_client", "prepare", "--config", str(settings)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(prepared.glob("0*.safetensors")):
        assert process.poll() is None, "it ended before it was killed"
        os.sched_yield()
        time.sleep(0.01)  # a poll, not a synchronization: the loop ends on the file
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (prepared / INDEX).exists()
    kept = len(list(prepared.glob("0*.safetensors")))
    cohort = prepare_cohort(a_config(hospital, prepared))
    assert (cohort.made, len(cohort.entries)) == (3 - kept, 3)


def test_nobody_else_may_read_a_prepared_file_whatever_the_umask(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []  # also the temporary files, before they take their names

    def fsync(descriptor: int) -> None:
        if not stat.S_ISDIR(mode := os.fstat(descriptor).st_mode):
            written.append(mode)

    monkeypatch.setattr(os, "fsync", fsync)
    before = os.umask(0)
    try:
        prepare_cohort(a_config(hospital, tmp_path / "deep" / "prepared"))
    finally:
        os.umask(before)
    everything = [tmp_path / "deep" / "prepared", *(tmp_path / "deep" / "prepared").rglob("*")]
    assert len(everything) == 1 + 3 + 1, "the folder, three cases and the index"
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in everything} == dict.fromkeys(
        (path.name for path in everything), "0o0"
    )
    assert len(written) == 3 + 1
    assert not [mode for mode in written if mode & 0o077]


def test_a_folder_that_was_there_keeps_its_rights_and_gets_private_files(hospital: Path, tmp_path: Path) -> None:
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared").chmod(0o755)
    prepare_cohort(a_config(hospital, tmp_path / "prepared"))
    assert oct((tmp_path / "prepared").stat().st_mode & 0o777) == "0o755"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "prepared").iterdir()} == {0o600}
