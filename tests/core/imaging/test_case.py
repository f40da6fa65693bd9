import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.errors import PreparationError
from core.imaging.case import PreparedCase, Quality, load_case, pixel_digest, save_case


def a_case(tumor: bool = True, seed: int = 0) -> PreparedCase:
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((4, 4, 4, 4)).astype(np.float32)
    mask = rng.integers(0, 3, (4, 4, 4)).astype(np.uint8) if tumor else None
    return PreparedCase(image, image[0] > 0, mask, Quality(("T2w is blank",)), {"grid": {"size": [4, 4, 4]}})


@pytest.mark.parametrize("tumor", [True, False])
def test_a_case_reads_back_as_it_was_saved(tmp_path: Path, tumor: bool) -> None:
    case = a_case(tumor)
    save_case(case, tmp_path / "x.safetensors")
    again = load_case(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(again.image, case.image)
    np.testing.assert_array_equal(again.brain, case.brain)
    assert (again.tumor is None) == (case.tumor is None)
    assert (again.quality, again.record) == (case.quality, case.record)
    assert again.quality.verdict == "unreliable"
    assert Quality().verdict == "usable"


def test_equal_cases_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_case(a_case(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_damaged_file_is_refused_with_a_fix(tmp_path: Path) -> None:
    save_case(a_case(), tmp_path / "whole")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:100])
    (tmp_path / "text").write_text("hello")
    for name in ("half", "text", "absent"):
        with pytest.raises(PreparationError, match="missing or damaged"):
            load_case(tmp_path / name)


@pytest.mark.parametrize("lacking", ["image", "brain", "reasons", "record", "gliofed"])
def test_a_file_that_lacks_a_part_is_refused_with_a_fix(tmp_path: Path, lacking: str) -> None:
    tensors = {name: np.ones((4, 4), np.float32) for name in ("image", "brain") if name != lacking}
    about: dict[str, list[str]] = {name: [] for name in ("reasons", "record") if name != lacking}
    save_file(tensors, tmp_path / "x", {} if lacking == "gliofed" else {"gliofed": json.dumps(about)})
    with pytest.raises(PreparationError, match="missing or damaged"):
        load_case(tmp_path / "x")


def test_the_same_pixels_are_recognised_under_another_name() -> None:
    assert pixel_digest(a_case()) == pixel_digest(a_case(tumor=False))
    assert pixel_digest(a_case()) != pixel_digest(a_case(seed=1))


def test_nobody_else_may_read_a_case_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        save_case(a_case(), tmp_path / "x.safetensors")
    finally:
        os.umask(before)
    assert oct((tmp_path / "x.safetensors").stat().st_mode & 0o777) == "0o600"
