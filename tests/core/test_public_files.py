"""Files that are nobody's secret, known by their hash."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.errors import ConfigError, DataError
from core.public_files import add_public, path_of, public_file


def test_a_file_of_tensors_is_found_by_its_hash(tmp_path: Path) -> None:
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "given")
    sha256 = add_public(tmp_path / "public", tmp_path / "given")
    assert sha256 == hashlib.sha256((tmp_path / "given").read_bytes()).hexdigest()
    assert public_file(tmp_path / "public", sha256, "file").read_bytes() == (tmp_path / "given").read_bytes()


@pytest.mark.parametrize("content", [b"", b"root:x:0:0", None], ids=["empty", "text", "absent"])
def test_what_holds_no_tensors_is_refused_and_not_kept(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "given").write_bytes(content)
    with pytest.raises(DataError, match="no safetensors"):
        add_public(tmp_path / "public", tmp_path / "given")
    assert not (tmp_path / "public").exists()


def test_a_damaged_and_a_missing_file_say_so(tmp_path: Path) -> None:
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "given")
    sha256 = add_public(tmp_path, tmp_path / "given")
    path_of(tmp_path, sha256).write_bytes(b"other")
    with pytest.raises(DataError, match="does not hold"):
        public_file(tmp_path, sha256, "file")
    with pytest.raises(ConfigError, match="are not in"):
        public_file(tmp_path, "0" * 64, "frozen weights")
