"""The command line as hospital IT meets it: real processes, their exit codes, and what stands on which stream."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigError, NotACaseError, RegistryError
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of, named
from core.records.registry import add_version, approve_version
from core.signing import make_key
from core.study import ModelSettings, PreprocessingSettings, Study
from tests.factories_calibration import a_fit, heads


def fl_client(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fl_client", *map(str, arguments)]
    environment = {"FL_HOME": str(home), "PATH": "", "TERM": "dumb", "COLUMNS": "120"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    study = Study(name="tiny", model=ModelSettings(preset="tiny"), preprocessing=PreprocessingSettings(grid=16))
    model = build_model(study.model, 0)
    card = {
        "study": study.model_dump(mode="json"),
        "preprocessing_version": PREPROCESSING_VERSION,
        "heads": heads(),
    }
    key = make_key(folder / "signing.key", folder / "keys" / "coordinator.pub")
    for approved in (True, False):  # the newest is not approved, and must not be taken
        weights = named(manifest_of(model), flatten(model) + (not approved))
        name = add_version(folder / "registry", "tiny", weights, card, a_fit())
        if approved:
            approve_version(folder / "registry", name, key)
    return folder


def test_help_teaches_with_an_example(tmp_path: Path) -> None:
    for command in ("prepare", "predict"):
        done = fl_client(command, "--help", home=tmp_path)
        assert done.returncode == 0
        assert f"Example: fl-client {command}" in done.stdout


@pytest.mark.parametrize(
    ("name", "content"), [("empty", None), ("text", "hello"), ("absent", ...)], ids=["empty", "text", "absent"]
)
def test_what_is_no_case_is_refused_with_problem_and_fix_on_standard_error(
    home: Path, tmp_path: Path, name: str, content: object
) -> None:
    case = tmp_path / name
    if content is not ...:
        case.mkdir()
    if isinstance(content, str):
        (case / "Image-1.dcm").write_text(content)
    done = fl_client("predict", case, "--json", home=home)
    assert (done.returncode, done.stdout) == (NotACaseError.exit_code, "")
    assert done.stderr.startswith("Problem: ")
    assert "\nFix: " in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_coordinators_key_no_model_is_trusted(tmp_path: Path) -> None:
    done = fl_client("predict", tmp_path, home=tmp_path)
    assert done.returncode == ConfigError.exit_code
    assert "no key" in done.stderr


def test_without_an_approved_model_version_it_says_so(tmp_path: Path) -> None:
    make_key(tmp_path / "signing.key", tmp_path / "keys" / "coordinator.pub")
    done = fl_client("predict", tmp_path, home=tmp_path)
    assert done.returncode == RegistryError.exit_code
    assert "no approved model version" in done.stderr


def test_a_model_that_is_named_must_be_approved_too(home: Path, tmp_path: Path) -> None:
    newest = sorted(path for path in (home / "registry").iterdir() if path.is_dir())[-1]
    done = fl_client("predict", tmp_path, "--model", newest, home=home)
    assert done.returncode == RegistryError.exit_code
    assert f"{newest.name} is not approved" in done.stderr


def test_wrong_settings_are_told_by_name(tmp_path: Path) -> None:
    settings = tmp_path / "site.toml"
    settings.write_text('[site]\nname = "North"\ndata = "x"\nprepared = "y"\n[compute]\nwrokers = 3\n')
    done = fl_client("prepare", "--config", settings, home=tmp_path)
    assert done.returncode == ConfigError.exit_code
    assert "site.name" in done.stderr
    assert "compute.wrokers" in done.stderr


def test_an_unreliable_case_is_an_answer_with_null_probabilities(home: Path, tmp_path: Path) -> None:
    """Four blank-looking noise volumes in which there is no brain."""
    import SimpleITK as sitk

    rng = np.random.default_rng(0)
    for sequence in ("T1w", "T1wCE", "T2w", "FLAIR"):
        image = sitk.GetImageFromArray(rng.random((12, 32, 32)).astype(np.float32))
        image.SetSpacing((2.0, 2.0, 5.0))
        sitk.WriteImage(image, tmp_path / f"{sequence}.nii.gz")
    done = fl_client("predict", tmp_path, "--json", home=home)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["verdict"] == "unreliable"
    assert answer["reasons"]
    for what in ("probability", "interval", "decision"):
        assert answer[f"tumor_{what}"] is answer[f"mgmt_{what}"] is None
    assert answer["model_version"].startswith("0001-tiny-")
