import io
import zipfile
from pathlib import Path

import pytest

from core.study import Study
from fl_client.study_bundle import files_in, printable, unexpected
from fl_server.bundle import write_bundle
from fl_server.fleet import build_bundle
from tests.fl_client.factories_studies import bundled

STUDY = Study(name="glioma")


def replaced(bundle: bytes, name: str, text: str) -> bytes:
    """The same bundle with another text in one of its files."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as before, zipfile.ZipFile(content, "w") as archive:
        for entry in before.namelist():
            archive.writestr(entry, text if entry == name else before.read(entry))
    return content.getvalue()


def test_every_file_of_a_bundle_that_flower_builds_is_known(tmp_path: Path) -> None:
    (tmp_path / "flower").mkdir()
    toml = write_bundle(STUDY, tmp_path / "studies" / "glioma")
    bundle = build_bundle(tmp_path, tmp_path / "studies" / "glioma").read_bytes()
    files = files_in(bundle, "glioma", toml)
    assert {file.name for file in files} == {
        ".info/CONTENT",
        "pyproject.toml",
        *(f"gliofed_study/{name}" for name in ("__init__.py", "client.py", "server.py", "study.toml")),
    }
    assert unexpected(files) == 0


def test_a_further_file_is_unexpected_and_named_first_without_what_moves_a_cursor(tmp_path: Path) -> None:
    toml, bundle = bundled(tmp_path, STUDY, **{"a\x1b[2Jtorch.py": "import os"})
    first = files_in(bundle, "glioma", toml)[0]
    assert (first.name, first.bytes, first.is_expected) == ("a?[2Jtorch.py", 9, False)
    assert first.told.startswith("UNEXPECTED")
    assert unexpected(files_in(bundle, "glioma", toml)) == 1


@pytest.mark.parametrize(
    "name",
    ["pyproject.toml", *(f"gliofed_study/{name}" for name in ("__init__.py", "client.py", "server.py", "study.toml"))],
)
def test_a_known_file_with_another_content_is_unexpected(tmp_path: Path, name: str) -> None:
    toml, bundle = bundled(tmp_path, STUDY)
    files = files_in(replaced(bundle, name, 'x = "y"\n'), "glioma", toml)
    assert [file.name for file in files if not file.is_expected] == [name]


def test_a_pyproject_that_installs_something_is_unexpected(tmp_path: Path) -> None:
    toml, bundle = bundled(tmp_path, STUDY)
    project = (tmp_path / "pyproject.toml").read_text()
    more = project.replace("dependencies = []", 'dependencies = ["stranger"]')
    assert more != project
    assert unexpected(files_in(replaced(bundle, "pyproject.toml", more), "glioma", toml)) == 1


def test_a_name_that_comes_twice_is_unexpected_both_times(tmp_path: Path) -> None:
    toml, bundle = bundled(tmp_path, STUDY)
    content = io.BytesIO(bundle)
    with zipfile.ZipFile(content, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("gliofed_study/client.py", "import os")
    assert unexpected(files_in(content.getvalue(), "glioma", toml)) == 2


def test_a_bundle_that_is_no_archive_is_unexpected() -> None:
    (file,) = files_in(b"hello", "glioma", "")
    assert (file.is_expected, file.bytes) == (False, 5)


def test_text_of_the_other_side_cannot_turn_a_line_around() -> None:
    assert printable("north\u202e\n\x1b") == "north???"
