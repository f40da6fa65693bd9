import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Array, Error, Message

from core.config import load_config
from core.errors import ConfigError, FederationError
from core.learning.evaluation import evaluate
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of, restore, unnamed
from core.messages import Flat
from core.records.registry import list_versions, load_version
from core.study import Study, is_settled
from fl_client import trainer
from fl_client.config import SiteConfig
from fl_client.dataset import load_cohort
from fl_client.training import train_one_round
from fl_server.checkpoints import RoundRecord, round_weights
from simulations.federation import Fault, RunResult, run_federation
from tests.simulations.factories_federation import a_study, make_sites, write_study

CASES = {"site-a": 6, "site-b": 5, "site-c": 7}
SECRET = "/data/patient_007/flair.nii.gz"


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    torch.set_num_threads(1)
    return make_sites(tmp_path_factory.mktemp("hospitals"), CASES)


def run(folder: Path, sites: list[Path], faults: Fault | None = None, **federation: float) -> RunResult:
    """Run a study in a home of its own: FOLDER holds its records and its registry."""
    folder.mkdir(exist_ok=True)
    study = write_study(folder, a_study(**federation))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FL_HOME", str(folder))
        return run_federation(sites, study, folder / "run", faults=faults)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, sites: list[Path]) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder, run(folder, sites)


def by_hand(sites: list[Path], study: Study, absent: tuple[tuple[str, int], ...] = ()) -> list[Flat]:
    """Federated averaging as a textbook's loop: the weights after each round."""
    model = build_model(study.model, study.seed)
    rounds = [flatten(model)]
    for number in range(1, study.federation.rounds + 1):
        total, examples = np.zeros(len(rounds[0])), 0
        for path in sites:
            site = load_config(SiteConfig, path, {}).site
            if (site.name, number) in absent:
                continue
            cohort = load_cohort(site.prepared, study, site.name)
            restore(model, rounds[-1])
            train_one_round(model, cohort.training, study, site.name, number)
            total += len(cohort.training) * flatten(model).astype(np.float64)
            examples += len(cohort.training)
        rounds.append((total / examples).astype(np.float32))
    return rounds


def at(site: str, round_number: int, wrong: Callable[[Message, Callable[[], Message]], list[Message]]) -> Fault:
    def fault(asked: str, task: Message, answer: Callable[[], Message]) -> list[Message]:
        if (asked, task.metadata.group_id) == (site, str(round_number)):
            return wrong(task, answer)
        return [answer()]

    return fault


def spoiled(_task: Message, answer: Callable[[], Message]) -> list[Message]:
    message = answer()
    weights = message.content.array_records["arrays"]["weights"].numpy()
    message.content.array_records["arrays"]["weights"] = Array(np.where(np.arange(len(weights)) == 3, np.nan, weights))
    return [message]


def test_a_federation_equals_the_loop_by_hand_to_the_last_bit(
    uninterrupted: tuple[Path, RunResult], sites: list[Path]
) -> None:
    folder, result = uninterrupted
    rounds = by_hand(sites, a_study())
    assert round_weights(folder / "run", 2).tobytes() == rounds[2].tobytes()
    version = load_version(folder / "registry" / result.version)
    manifest = manifest_of(build_model(a_study().model, 0))
    assert unnamed(manifest, version.tensors).tobytes() == rounds[result.best_round].tobytes()


def test_round_r_reports_the_counts_of_the_model_after_the_round_before(
    uninterrupted: tuple[Path, RunResult], sites: list[Path]
) -> None:
    study = a_study()
    rounds = by_hand(sites, study)
    model = build_model(study.model, 0)
    assert [record.round for record in uninterrupted[1].history] == [1, 2, 3]
    for record, weights in zip(uninterrupted[1].history, rounds, strict=True):
        restore(model, weights)
        for path in sites:
            site = load_config(SiteConfig, path, {}).site
            validation = load_cohort(site.prepared, study, site.name).validation
            assert record.sites[site.name].validation == evaluate(model, validation)


def test_the_registered_version_is_the_settled_round_with_the_lowest_pooled_loss(
    uninterrupted: tuple[Path, RunResult],
) -> None:
    folder, result = uninterrupted
    losses = {
        record.round - 1: float(np.divide(record.validation["loss"], record.validation["cases"]))
        for record in result.history[1:]
        if is_settled(record.round - 1, a_study().federation.rounds)
    }
    card = load_version(folder / "registry" / result.version).card
    assert result.best_round == card["best_round"] == min(losses, key=lambda number: losses[number])
    assert card["metrics"]["validation"]["loss"] == losses[result.best_round]
    assert {site: counts["training"] for site, counts in card["cohort"].items()} == {
        "site-a": 4.0,
        "site-b": 3.0,
        "site-c": 5.0,
    }
    assert [card["heads"][head]["never_trained"] for head in ("mgmt", "tumor")] == ["", ""]
    assert Study.model_validate(card["study"]) == a_study()
    assert {"flwr", "torch"} <= card["libraries"].keys()


def test_progress_is_reported_site_by_site(tmp_path: Path, sites: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither side of a federation takes its study's settings from variables.
    monkeypatch.setenv("FL_FEDERATION__ROUNDS", "5")
    told: list[tuple[str, int, int]] = []
    monkeypatch.setenv("FL_HOME", str(tmp_path))
    study = write_study(tmp_path, a_study(rounds=1))
    run_federation(sites, study, tmp_path / "run", lambda *step: told.append(step))
    assert told == [("federation", done, 6) for done in range(1, 7)]


def test_a_run_goes_on_without_the_updates_that_failed_or_were_spoiled(tmp_path: Path, sites: list[Path]) -> None:
    def crashed(task: Message, _answer: object) -> list[Message]:
        return [Message(Error(2, f"<class 'OSError'>:<'{SECRET}'>"), reply_to=task)]

    crash, spoil = at("site-a", 1, crashed), at("site-c", 2, spoiled)

    def faults(site: str, task: Message, answer: Callable[[], Message]) -> list[Message]:
        return (crash if task.metadata.group_id == "1" else spoil)(site, task, answer)

    result = run(tmp_path, sites, faults)
    assert list(result.history[0].failed) == ["site-a"]
    assert result.history[1].rejected == {"site-c": "The weights hold NaN or infinity"}
    expected = by_hand(sites, a_study(), absent=(("site-a", 1), ("site-c", 2)))
    assert round_weights(tmp_path / "run", 2).tobytes() == expected[2].tobytes()


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for place in ("run", "registry")
        for path in sorted((folder / place).rglob("*.safetensors"))
    }


def told_by(history: tuple[RoundRecord, ...]) -> list[object]:
    """Return what a history says, but for how long it took."""
    return [(record.round, record.sites, record.validation, record.counted) for record in history]


def test_a_run_that_is_stopped_and_started_again_ends_with_the_same_bits(
    tmp_path: Path, uninterrupted: tuple[Path, RunResult], sites: list[Path]
) -> None:
    def stop(_task: Message, _answer: object) -> list[Message]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, sites, at("site-b", 2, stop))
    result = run(tmp_path, sites)
    assert files_of(tmp_path) == files_of(uninterrupted[0])
    assert told_by(result.history) == told_by(uninterrupted[1].history)


KILLED = """
import sys, os, signal, torch; from pathlib import Path; torch.set_num_threads(1)
from fl_server import journal
from simulations.federation import run_federation
note = journal.note_arrival
def killing(records, question, arrival):
    note(records, question, arrival)
    if (arrival.site, question.round) == (sys.argv[1], 2): os.kill(os.getpid(), signal.SIGKILL)
journal.note_arrival = killing
folder, *sites = map(Path, sys.argv[2:])
run_federation(sites, folder / "study.toml", folder / "run")
"""


def test_a_killed_process_loses_no_answer_that_had_arrived(
    tmp_path: Path, uninterrupted: tuple[Path, RunResult], sites: list[Path]
) -> None:
    """Two of three had arrived in round 2, and those sites are gone for good when the next process takes it up."""
    write_study(tmp_path, a_study())
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "site-b", str(tmp_path), *map(str, sites)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1", "FL_HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert sorted(path.name for path in (tmp_path / "run").glob("round-*")) == ["round-0001.safetensors"]
    assert len(list((tmp_path / "run" / "objects").glob("*.npy"))) == 2
    asked = []

    def asking(site: str, task: Message, answer: Callable[[], Message]) -> list[Message]:
        asked.append((site, task.metadata.group_id))
        return [answer()]

    result = run(tmp_path, sites, asking)
    assert asked == [("site-c", "2"), *((site, "3") for site in CASES)]
    assert files_of(tmp_path) == files_of(uninterrupted[0])
    assert told_by(result.history) == told_by(uninterrupted[1].history)
    assert not list((tmp_path / "run" / "objects").iterdir())


def test_a_finished_run_trains_nobody_and_registers_nothing_again(
    uninterrupted: tuple[Path, RunResult], sites: list[Path]
) -> None:
    folder, result = uninterrupted

    def trained(*_: object) -> list[Message]:
        return pytest.fail("a site was asked")

    assert run(folder, sites, trained) == result
    assert list_versions(folder / "registry") == [result.version]


def test_an_error_inside_a_site_reaches_neither_the_runs_records_nor_any_other_log(
    tmp_path: Path, sites: list[Path], monkeypatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    train = trainer.train

    def fail_at_one_site(task, site, *more):
        if site.site.name == "site-b":
            raise OSError(SECRET)
        return train(task, site, *more)

    monkeypatch.setattr(trainer, "train", fail_at_one_site)
    result = run(tmp_path, sites, rounds=1)
    assert result.history[0].failed == {"site-b": "an unexpected error at the site (code 100)"}
    assert all(b"patient_007" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    speaking = {record.name for record in caplog.records if "patient_007" in caplog.handler.format(record)}
    assert speaking == {"fl_client.client_app"}
    assert "patient_007" not in "".join(capfd.readouterr())


def test_below_quorum_a_run_stops_and_says_who_failed_and_why(tmp_path: Path, sites: list[Path]) -> None:
    broken = make_sites(tmp_path / "broken", {"site-d": 1, "site-e": 1})
    with pytest.raises(FederationError, match="stayed below its quorum") as stopped:
        run(tmp_path / "run", [sites[0], *broken])
    assert "site-d did not answer (the site's cohort is not prepared for this study" in stopped.value.problem
    assert not (tmp_path / "run" / "registry").exists()


def test_a_quorum_that_can_never_be_reached_is_refused_at_once(tmp_path: Path, sites: list[Path]) -> None:
    with pytest.raises(ConfigError, match="quorum of 4"):
        run(tmp_path, sites, quorum=4)


def test_two_sites_of_one_name_are_refused(tmp_path: Path, sites: list[Path]) -> None:
    with pytest.raises(ConfigError, match="same name"):
        run(tmp_path, [*sites, sites[0]])
