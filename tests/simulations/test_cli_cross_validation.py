"""`fl-simulate cross-validate` over hospitals of noise; making real scans is tests/simulations/test_hospitals.py's."""

import json
import sys
from pathlib import Path

import pytest

from core.config import load_config
from core.errors import ConfigError
from fl_client.config import SiteConfig
from simulations import cli, scenario
from tests.simulations.factories_federation import a_study, make_sites, write_study


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fl-simulate", "cross-validate", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def a_scenario(folder: Path) -> Path:
    study = write_study(folder, a_study(rounds=1)).read_text()
    top, _, sections = study.partition("\n[")
    path = folder / "tiny.toml"
    path.write_text(f"[cohort]\nsites = 2\n[study]\n{top}\n" + f"\n[{sections}".replace("\n[", "\n[study."))
    return path


def named_by_site(site: Path) -> None:
    """Hospitals of noise number their patients alike; here these are different people."""
    listing = json.loads((site / "prepared" / "cohort.json").read_text())
    for entry in listing["cases"]:
        entry["patient"] = f"{site.name} {entry['id']}"
    (site / "prepared" / "cohort.json").write_text(json.dumps(listing))


@pytest.mark.parametrize(
    ("asked", "rows"),
    [(["--folds", "2"], ["fold 1", "fold 2"]), (["--leave-one-site-out"], ["without a", "without b"])],
)
def test_the_command_writes_a_page_and_figures(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    asked: list[str],
    rows: list[str],
) -> None:
    paths = make_sites(tmp_path / "sites", {"a": 8, "b": 8})
    for path in paths:
        named_by_site(path.parent)
    configs = {path.parent.name: load_config(SiteConfig, path, {}) for path in paths}
    monkeypatch.setattr(scenario, "prepare_sites", lambda *given: configs)
    assert run(monkeypatch, str(a_scenario(tmp_path)), "--out", str(tmp_path / "out"), "--how", "pooled", *asked) == 0
    told = json.loads((tmp_path / "out" / "cross_validation.json").read_text())
    assert [fold["name"] for fold in told["folds"]] == rows
    assert sum(fold["tested"] for fold in told["folds"]) == 16
    page = (tmp_path / "out" / "cross_validation.html").read_text()
    assert all(row in page for row in rows)
    assert "mean of the folds" in capsys.readouterr().out


def test_a_hospital_alone_cannot_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(monkeypatch, "none.toml", "--out", str(tmp_path), "--how", "alone", "--leave-one-site-out")
    assert code == ConfigError.exit_code
    assert "no model of its own" in capsys.readouterr().err
