"""DICOM of two hospitals -> a federation of the real apps -> a model version -> an outside patient's prediction.

One small scenario is run once for the whole module; it is the demo with fewer patients and rounds.
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import load_config
from core.learning.prediction import predict_scores
from core.predictor import load_predictor, predict_case
from core.records.home import home, registry_folder, trusted_key
from core.records.registry import list_versions, load_version
from simulations.scenario import Outcome, Scenario, run_scenario
from simulations.scenario_report import decisions_of, write_report

SCENARIO = """
[cohort]
sites = 2
patients = 4
controls = 1
outside_patients = 4
outside_controls = 1
separability = 0.95
seed = 11
[study]
name = "small"
validation_fraction = 0.4
[study.model]
preset = "tiny"
[study.preprocessing]
grid = 16
[study.training]
epochs_per_round = 1
[study.federation]
rounds = 2
[compute]
workers = 2
"""


@pytest.fixture(scope="module", autouse=True)
def home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A registry for this module alone; the template head, which takes long to build, is shared."""
    folder = tmp_path_factory.mktemp("home")
    (home() / "cache").mkdir(parents=True, exist_ok=True)
    (folder / "cache").symlink_to(home() / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FL_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, home_of_its_own: Path) -> tuple[Path, Outcome]:
    out = tmp_path_factory.mktemp("scenario")
    (out / "scenario.toml").write_text(SCENARIO)
    return out, run_scenario(load_config(Scenario, out / "scenario.toml", {}), out)


def test_every_model_is_measured_on_the_same_outside_patients(demo: tuple[Path, Outcome]) -> None:
    _, outcome = demo
    assert [row.name for row in outcome.rows] == ["north alone", "south alone", "pooled", "federation"]
    assert all(len(scores) == len(outcome.labels) for scores in outcome.probabilities.values())
    assert sorted(set(outcome.labels)) == [0, 1]
    assert outcome.hospitals.ceiling == 0.95


def test_the_best_round_is_a_version_whose_card_says_what_it_is(demo: tuple[Path, Outcome]) -> None:
    _, outcome = demo
    assert list_versions(registry_folder()) == [outcome.run.version]
    card = load_version(registry_folder() / outcome.run.version).card
    assert card["best_round"] == outcome.run.best_round
    assert set(card["cohort"]) == {"north", "south"}
    assert [card["heads"][head]["never_trained"] for head in ("mgmt", "tumor")] == ["", ""]
    assert {"flwr", "torch"} <= set(card["libraries"])
    assert [len(record["sites"]) for record in card["rounds"]] == [2, 2, 2]


def test_the_federation_is_ranked_by_raw_scores_and_told_by_calibrated_ones(demo: tuple[Path, Outcome]) -> None:
    _, outcome = demo
    predictor = load_predictor(registry_folder() / outcome.run.version, trusted_key())
    images = torch.from_numpy(np.stack([patient.case.image for patient in outcome.patients]))
    scores = predict_scores(predictor.model, images)
    labeled = [index for index, patient in enumerate(outcome.patients) if patient.mgmt is not None]
    assert outcome.probabilities["federation"] == [scores.mgmt[index] for index in labeled]
    assert list(outcome.tumor_scores) == scores.tumor.tolist()
    decided = decisions_of(outcome)
    assert decided["patients"] == len(labeled) == decided["decided"] + decided["undecided"] + decided["no answer"]
    assert decided["right"] <= decided["decided"]


def test_a_second_call_trains_and_prepares_nothing_and_finds_the_same(demo: tuple[Path, Outcome]) -> None:
    out, outcome = demo
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.suffix in {".safetensors", ".dcm"}}
    again = run_scenario(load_config(Scenario, out / "scenario.toml", {}), out)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.probabilities == outcome.probabilities
    assert list_versions(registry_folder()) == [outcome.run.version]


def test_a_patient_predicted_from_dicom_gets_the_bits_of_the_prepared_one_whatever_the_files_are_called(
    demo: tuple[Path, Outcome], tmp_path: Path
) -> None:
    out, outcome = demo
    patient, expected = outcome.patients[0], outcome.predictions[0]
    shutil.copytree(out / "hospitals" / "outside" / "train" / patient.id, tmp_path / "case")
    for folder in (tmp_path / "case").iterdir():
        files = sorted(folder.iterdir())
        numbers = random.Random(2).sample(range(1000), len(files))
        for file, number in zip(files, numbers, strict=True):
            file.rename(folder / f"Image-{number}.dcm.renamed")
    prediction = predict_case(load_predictor(registry_folder() / outcome.run.version, trusted_key()), tmp_path / "case")
    assert prediction.as_json() == expected.as_json()
    assert prediction.verdict == "usable"


def test_the_command_line_gives_the_same_answer_as_one_json_object(demo: tuple[Path, Outcome]) -> None:
    out, outcome = demo
    patient, expected = outcome.patients[-1], outcome.predictions[-1]
    case = out / "hospitals" / "outside" / "train" / patient.id
    version = registry_folder() / outcome.run.version
    for model in ([], ["--model", str(version)]):  # the scenario's is the only one approved
        command = [sys.executable, "-m", "fl_client", "predict", str(case), *model, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout)
        assert answer == json.loads(json.dumps(expected.as_json()))
    assert set(answer) >= {"tumor_probability", "mgmt_probability", "model_version", "verdict", "reasons"}


def test_the_report_is_one_page_that_needs_nothing_else(demo: tuple[Path, Outcome]) -> None:
    out, outcome = demo
    page = write_report(outcome, out).read_text("utf-8")
    assert page.count("data:image/png;base64,") == 7
    assert all(row.name in page for row in outcome.rows)
    assert "cannot replace the tissue test" in page or "none can replace the tissue test" in page
    assert not any(word in page for word in ("http://", "https://", "<script", "<link"))
    results = json.loads((out / "results.json").read_text())
    assert [model["name"] for model in results["models"]] == [row.name for row in outcome.rows]
    assert set(results["seconds"]) == {
        "make hospitals", "prepare scans", "federation", "alone and pooled", "predict outside patients",
    }  # fmt: skip
