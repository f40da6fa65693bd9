import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest

from core.errors import RegistryError
from core.records.registry import add_version, find_version, list_versions, load_version
from core.records.version_files import next_number

WEIGHTS = {"head.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "head.bias": np.float32([0.5])}
FIT = {"threshold": 0.5}


def test_a_version_reads_back_as_it_was_written(tmp_path: Path) -> None:
    name = add_version(tmp_path, "demo", WEIGHTS, {"rounds": 3}, FIT)
    version = load_version(tmp_path / name)
    assert version.name == name == version.card["version"]
    assert version.card["rounds"] == 3
    assert version.calibration == FIT
    assert {k: v.tolist() for k, v in version.tensors.items()} == {k: v.tolist() for k, v in WEIGHTS.items()}


def test_the_newest_version_is_the_one_with_the_highest_number_not_the_last_in_the_alphabet(tmp_path: Path) -> None:
    names = [add_version(tmp_path, "demo", {"w": np.float32([i])}, {}, FIT) for i in range(3)]
    (tmp_path / names[0]).rename(tmp_path / f"10000{names[0][4:]}")
    assert list_versions(tmp_path) == [*names[1:], f"10000{names[0][4:]}"]
    assert add_version(tmp_path, "demo", WEIGHTS, {}, FIT).startswith("10001-")


def test_a_version_is_found_by_its_study_and_weights(tmp_path: Path) -> None:
    assert find_version(tmp_path / "absent", "demo", WEIGHTS) is None
    name = add_version(tmp_path, "demo", WEIGHTS, {}, FIT)
    add_version(tmp_path, "demo", {**WEIGHTS, "head.bias": np.float32([0.25])}, {}, FIT)
    add_version(tmp_path, "other-demo", WEIGHTS, {}, FIT)
    assert find_version(tmp_path, "demo", {key: value.copy() for key, value in WEIGHTS.items()}) == name
    assert find_version(tmp_path, "demo", {**WEIGHTS, "head.bias": np.float32([0.75])}) is None
    assert find_version(tmp_path, "third", WEIGHTS) is None


def test_a_damaged_version_is_not_found(tmp_path: Path) -> None:
    folder = tmp_path / add_version(tmp_path, "demo", WEIGHTS, {}, FIT)
    (folder / "weights.safetensors").chmod(0o644)
    (folder / "weights.safetensors").write_bytes(b"torn")
    assert find_version(tmp_path, "demo", WEIGHTS) is None


def test_an_absent_registry_has_no_versions(tmp_path: Path) -> None:
    assert list_versions(tmp_path / "absent") == []


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / add_version(tmp_path, "demo", WEIGHTS, {}, FIT)
    file = folder / "weights.safetensors"
    file.chmod(0o644)
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(RegistryError, match="not those that were registered"):
        load_version(folder)


@pytest.mark.parametrize("bad", ["{}", "not JSON", "[]", None])
def test_a_folder_that_is_no_version_is_refused(tmp_path: Path, bad: str | None) -> None:
    folder = tmp_path / add_version(tmp_path, "demo", WEIGHTS, {}, FIT)
    (folder / "card.json").unlink()
    if bad is not None:
        (folder / "card.json").write_text(bad)
    with pytest.raises(RegistryError, match="is not a model version"):
        load_version(folder)


def test_weights_with_nan_are_never_registered(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="NaN"):
        add_version(tmp_path, "demo", {"w": np.float32([np.nan])}, {}, FIT)
    assert list_versions(tmp_path) == []


def test_a_version_is_whole_or_absent(tmp_path: Path) -> None:
    """What cannot be written to the card stops the writing in the middle; nothing of it remains."""
    with pytest.raises(TypeError):
        add_version(tmp_path, "demo", WEIGHTS, {"metrics": object()}, FIT)
    assert [path.name for path in tmp_path.iterdir()] == [".last"]


def test_a_version_under_another_name_is_refused(tmp_path: Path) -> None:
    name = add_version(tmp_path, "demo", WEIGHTS, {}, FIT)
    (tmp_path / name).rename(tmp_path / f"0007{name[4:]}")
    with pytest.raises(RegistryError, match=f"is a copy of {name}"):
        load_version(tmp_path / f"0007{name[4:]}")


def test_a_versions_files_are_read_only(tmp_path: Path) -> None:
    folder = tmp_path / add_version(tmp_path, "demo", WEIGHTS, {}, FIT)
    assert [oct(file.stat().st_mode & 0o777) for file in folder.iterdir()] == ["0o444"] * 3
    assert json.loads((folder / "card.json").read_text())["weights_sha256"]


def test_a_deleted_versions_number_is_never_given_again(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / add_version(tmp_path, "demo", WEIGHTS, {}, FIT))
    assert add_version(tmp_path, "demo", WEIGHTS, {}, FIT).startswith("0002-")


def test_who_writes_a_version_waits_for_whoever_writes_one_already(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with next_number(tmp_path) as number:
            later = pool.submit(add_version, tmp_path, "demo", WEIGHTS, {}, FIT)
            assert not wait([later], timeout=0.3).done
        assert number == 1
        assert later.result().startswith("0002-")


def test_two_processes_never_share_a_number(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        names = list(pool.map(add_version, [tmp_path] * 6, ["demo"] * 6, [WEIGHTS] * 6, [{}] * 6, [FIT] * 6))
    assert sorted(name.partition("-")[0] for name in names) == [f"{n:04d}" for n in range(1, 7)]
