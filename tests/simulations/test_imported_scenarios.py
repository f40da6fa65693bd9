"""Shipped scenarios on downloads in miniature, from import to report, by the commands that a researcher types."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import simulations
from simulations.cli import app
from tests.simulations.factories_heads_public import with_heads
from tests.simulations.factories_public import rsna, ucsf, upenn

SCENARIOS = Path(simulations.__file__).parent / "scenarios"
SMALL = {
    "FL_COHORT__SITES": "2",
    "FL_STUDY__MODEL__PRESET": "tiny",
    "FL_STUDY__PREPROCESSING__GRID": "16",
    "FL_STUDY__FEDERATION__ROUNDS": "2",
    "FL_STUDY__VALIDATION_FRACTION": "0.4",
    "FL_COMPUTE__WORKERS": "1",
    "FL_COMPUTE__DEVICE": "cpu",
}


@pytest.fixture(autouse=True)
def home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FL_HOME", str(tmp_path / "home"))
    yield


def simulate(*words: object, **settings: str) -> None:
    done = CliRunner().invoke(app, [str(word) for word in words], env=SMALL | settings, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def people(out: Path) -> dict[str, set[str]]:
    return {site.name: {one.name for one in site.glob("train/*")} for site in (out / "hospitals").iterdir()}


def test_rsnas_dicom_trains_and_upenns_stripped_nifti_tests(tmp_path: Path) -> None:
    rows = "".join(f"UPENN-GBM-0000{n}_11,M,60,NOS,{word}\n" for n, word in ((1, "Methylated"), (2, "Unmethylated")))
    source = upenn(tmp_path / "tcia", ["UPENN-GBM-00001_11", "UPENN-GBM-00002_11"], rows, ["UPENN-GBM-00001_11"])
    with_heads("upenn-gbm", source)
    # Of seed 7 the first two go to one site and the others to the other: each trains on one, together on both labels.
    labels = "00000,0\n00002,0\n00003,1\n00005,1"
    with_heads("rsna", rsna(tmp_path / "kaggle", ["00000", "00002", "00003", "00005"], labels))
    simulate("import", "rsna", tmp_path / "kaggle", "--out", tmp_path / "rsna")
    simulate("import", "upenn-gbm", source, "--out", tmp_path / "upenn")
    out = tmp_path / "out"
    cohorts = ("--cohort", tmp_path / "rsna", "--external", tmp_path / "upenn")
    simulate("run", SCENARIOS / "rsna-external-upenn.toml", *cohorts, "--out", out)
    sites = people(out)
    assert sites.pop("outside") == {"UPENN-GBM-00001", "UPENN-GBM-00002"}
    assert sorted(map(len, sites.values())) == [2, 2]
    results = json.loads((out / "results.json").read_text())
    assert [row["name"] for row in results["models"]] == ["site-1 alone", "site-2 alone", "pooled", "federation"]
    assert all(row["auc"] in (0, 0.5, 1) for row in results["models"])
    assert results["outside_patients"] == results["mgmt_decisions"]["patients"] == 2
    assert results["excluded"] == {"site-1": 0, "site-2": 0, "outside": 0}
    assert results["best_possible_auc"] is None
    page = (out / "report.html").read_text("utf-8")
    assert "not known" in page
    assert "by construction" not in page
    assert "These patients are real" in page
    assert "patients are synthetic" not in page
    assert "planted" not in page
    assert all(note in page for note in results["notes"])


def test_ucsfs_nifti_with_masks_trains_and_tests_on_whom_it_holds_out_and_a_second_call_keeps_all(
    tmp_path: Path,
) -> None:
    names = [f"UCSF-PDGM-{n:04}" for n in range(1, 5)]
    rows = "".join(f"{name},M,4,{('positive', 'negative')[n % 2]},,\n" for n, name in enumerate(names))
    with_heads("ucsf-pdgm", ucsf(tmp_path / "tcia", names, rows))
    simulate("import", "ucsf-pdgm", tmp_path / "tcia", "--out", tmp_path / "ucsf")
    out, run = tmp_path / "out", ("run", SCENARIOS / "rsna-iid.toml", "--cohort", tmp_path / "ucsf", "--out")
    one_site = {"FL_COHORT__SITES": "1", "FL_STUDY__FEDERATION__QUORUM": "1"}
    simulate(*run, out, **one_site)
    sites = people(out)
    assert [len(sites[site]) for site in ("site-1", "outside")] == [2, 2]
    assert sites["site-1"] | sites["outside"] == set(names)
    cohort = json.loads((out / "prepared" / "site-1" / "cohort.json").read_text())
    assert [case["verdict"] for case in cohort["cases"]] == ["usable", "usable"]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    first = json.loads((out / "results.json").read_text())
    simulate(*run, out, **one_site)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads((out / "results.json").read_text())["models"] == first["models"]
