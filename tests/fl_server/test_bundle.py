import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from core.config import load_config
from core.study import FederationSettings, Study
from fl_server.bundle import MODULE, write_bundle
from fl_server.fleet import build_bundle

STUDY = Study(name="glioma", federation=FederationSettings(rounds=3))


def built(home: Path, study: Study) -> bytes:
    (home / "flower").mkdir(exist_ok=True)
    folder = home / "studies" / study.name
    write_bundle(study, folder)
    return build_bundle(home, folder).read_bytes()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    home = tmp_path_factory.mktemp("home")
    return home / "studies" / "glioma", built(home, STUDY)


def test_a_bundle_holds_a_stub_a_side_and_the_study_and_nothing_else(bundle: tuple[Path, bytes]) -> None:
    folder, _ = bundle
    with zipfile.ZipFile(folder.with_name("glioma.fab")) as archive:
        ours = {name for name in archive.namelist() if not name.startswith(".")}
    assert ours == {
        "pyproject.toml",
        *(f"{MODULE}/{name}" for name in ("__init__.py", "client.py", "server.py", "study.toml")),
    }


def test_the_study_in_a_bundle_is_the_one_that_was_launched(bundle: tuple[Path, bytes]) -> None:
    assert load_config(Study, bundle[0] / MODULE / "study.toml", {}) == STUDY


def test_the_same_study_gives_the_same_bytes_and_any_other_setting_others(
    bundle: tuple[Path, bytes], tmp_path: Path
) -> None:
    assert built(tmp_path, STUDY) == bundle[1]
    other = STUDY.model_copy(update={"federation": FederationSettings(rounds=3, deadline_s=7)})
    assert sha256(built(tmp_path, other)).digest() != sha256(bundle[1]).digest()


@pytest.mark.parametrize(("stub", "kind"), [("client", "ClientApp"), ("server", "ServerApp")])
def test_each_stub_is_flowers_app_of_our_installed_packages(bundle: tuple[Path, bytes], stub: str, kind: str) -> None:
    code = f"from {MODULE}.{stub} import app; import fl_client; print(type(app).__name__, fl_client.__path__[0])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=bundle[0], capture_output=True, text=True, check=True,
        env={"PATH": "", "FLWR_TELEMETRY_ENABLED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    name, place = done.stdout.split()
    assert name == kind
    assert str(bundle[0]) not in place
