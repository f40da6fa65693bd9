import errno
import json
import platform
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from sqlalchemy import Engine

from core.config import validate
from core.errors import AuditError, ConfigError, FederationError, RecordsError
from core.learning.curves import interval_from_area
from core.learning.weights import flatten, unnamed
from core.npy import sha256_of
from core.predictor import load_predictor
from core.records import audit
from core.records.db import open_database, reading, transaction
from core.records.registry import approve_version, list_versions, load_version
from core.records.runs import create_run, move_run, run_of
from core.records.tables import Run
from core.signing import make_key
from core.study import Study
from fl_server import checkpoints, journal, server_app
from fl_server.card import card_of, cohort_of
from fl_server.checkpoints import RoundRecord, SiteRound, round_weights
from fl_server.config import RunConfig, database_url
from fl_server.server_app import make_server_app
from tests.fl_server.factories_answers import RECEIPT, SITES, Answer, a_grid, validation_counts
from tests.fl_server.factories_runs import MANIFEST, MODEL, STUDY, answer
from tests.simulations.factories_federation import a_study, write_study


@pytest.fixture(autouse=True)
def home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FL_HOME", str(tmp_path))


def records() -> Engine:
    return open_database(database_url())


def serve(folder: Path, answer: Answer, study: Study = STUDY, sites: tuple[str, ...] = SITES) -> None:
    """Let the ServerApp of this study's bundle run in a folder of its own."""
    run = folder / "run"
    create_run(records(), run="r", study=study.name, folder=str(run), sites=[*sites], actor="coordinator")
    if run_of(records(), "r").state != "finished":
        move_run(records(), "r", "starting", actor="service")
    make_server_app(write_study(folder, study))(a_grid(answer), Context(1, 1, {}, RecordDict(), {"run": "r"}))


def test_the_best_round_is_registered_even_where_a_later_one_exists(tmp_path: Path) -> None:
    # Rounds 3 and 4 are settled; round 2, whose loss is the lowest, is not.
    serve(tmp_path, answer, a_study(rounds=4))
    (name,) = list_versions(tmp_path / "registry")
    version = load_version(tmp_path / "registry" / name)
    assert version.card["best_round"] == 3
    assert version.card["metrics"]["validation"]["loss"] == pytest.approx(0.9)
    assert len(version.card["rounds"]) == 5
    # Three rounds of (10 * 1 + 20 * 2 + 30 * 6) / 60 each.
    step = unnamed(MANIFEST, version.tensors) - flatten(MODEL)
    np.testing.assert_allclose(step, np.full(MANIFEST.size, 3 * 230 / 60), rtol=1e-5)
    row = run_of(records(), "r")
    assert (row.state, row.version) == ("finished", name)


def test_a_version_can_be_loaded_for_prediction_and_says_which_classes_it_saw(tmp_path: Path) -> None:
    serve(tmp_path, answer)
    (name,) = list_versions(tmp_path / "registry")
    key = make_key(tmp_path / "signing.key", tmp_path / "signing.pub")
    approve_version(tmp_path / "registry", name, key)
    predictor = load_predictor(tmp_path / "registry" / name, key.public_key())
    # These sites have no methylated patient, but tumors and controls, of whom none validates.
    assert "never shown" in predictor.untrained["mgmt"]
    assert not predictor.untrained["tumor"]
    assert not predictor.calibration.tumor.is_fitted


def test_a_finished_run_registers_again_only_where_its_version_is_gone(tmp_path: Path) -> None:
    serve(tmp_path, answer)
    serve(tmp_path, lambda *_: pytest.fail("a site was asked"))
    (name,) = list_versions(tmp_path / "registry")
    (tmp_path / "registry").rename(tmp_path / "moved")
    serve(tmp_path, lambda *_: pytest.fail("a site was asked"))
    assert list_versions(tmp_path / "registry") == [name]


def test_a_run_that_ended_before_it_noted_its_version_registers_it_once(tmp_path: Path) -> None:
    serve(tmp_path, answer)
    (name,) = list_versions(tmp_path / "registry")
    with transaction(records()) as session:
        row = session.get_one(Run, "r")
        row.version, row.state = None, "running"
    serve(tmp_path, lambda *_: pytest.fail("a site was asked"))
    assert list_versions(tmp_path / "registry") == [name]
    assert run_of(records(), "r").version == name


def no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_pages(*_: object, **__: object) -> None:
    raise RecordsError("The database cannot be used (SQLITE_FULL)", fix="make room")


@pytest.mark.parametrize(
    ("place", "name", "fails", "said", "arrived"),
    [
        (journal, "write_atomically", no_room, "The coordinator's disk is full", 0),
        (journal, "note_arrival", no_pages, "SQLITE_FULL", 0),
        (journal, "open_round", no_pages, "SQLITE_FULL", 0),
        (checkpoints, "write_atomically", no_room, "The coordinator's disk is full", 3),
        (server_app, "close_round", no_pages, "SQLITE_FULL", 3),
        (server_app, "add_version", no_room, "The coordinator's disk is full", 0),
    ],
)
def test_a_full_disk_pauses_a_run_which_ends_with_the_same_bits_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str, fails: object, said: str, arrived: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(place, name, fails)
        with pytest.raises(FederationError, match=said):
            serve(tmp_path, answer)
    row = run_of(records(), "r")
    assert (row.state, said in row.cause) == ("paused", True)
    assert len(list((tmp_path / "run" / "objects").glob("*.npy"))) == arrived
    asked: list[tuple[str, str]] = []

    def asking(site: str, task: Message) -> list[Message]:
        asked.append((site, task.metadata.group_id))
        return answer(site, task)

    serve(tmp_path, asking)
    assert (("site-a", "1") in asked) == (not arrived and name != "add_version")
    assert run_of(records(), "r").state == "finished"
    (name_there,) = list_versions(tmp_path / "registry")
    monkeypatch.setenv("FL_HOME", str(tmp_path / "undisturbed"))
    (tmp_path / "undisturbed").mkdir()
    serve(tmp_path / "undisturbed", answer)
    (undisturbed,) = list_versions(tmp_path / "undisturbed" / "registry")
    assert name_there.partition("-")[2] == undisturbed.partition("-")[2], "the name ends with the weights' hash"


def test_a_changed_audit_log_fails_a_run_instead_of_pausing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*_: object) -> None:
        raise AuditError("Event 3 was changed", fix="find out who did it")

    monkeypatch.setattr(journal, "note_arrival", changed)
    with pytest.raises(AuditError):
        serve(tmp_path, answer)
    assert run_of(records(), "r").state == "failed"


def test_the_log_tells_of_each_round_who_was_asked_what_arrived_and_what_it_came_to(tmp_path: Path) -> None:
    serve(tmp_path, answer)
    with reading(records()) as session:
        told = [(event.action, json.loads(event.body)) for event in audit.events(session)]
    rounds = [(action, body) for action, body in told if action.startswith(("round.", "answer."))]
    one_round = ["round.opened", "round.asked", *["answer.arrived"] * 3, "round.closed"]
    assert [action for action, _ in rounds] == one_round * 4
    incoming = [body["incoming_sha256"] for action, body in rounds if action == "round.opened"]
    aggregates = [body["aggregate_sha256"] for action, body in rounds if action == "round.closed"]
    assert incoming == [sha256_of(flatten(MODEL)), *aggregates[:3]]
    assert aggregates[3] == aggregates[2], "an evaluation changes nothing"
    assert aggregates[2] == sha256_of(round_weights(tmp_path / "run", 3))
    closed = [body for action, body in rounds if action == "round.closed"]
    for place, body in enumerate(closed):
        arrived = [one for action, one in rounds if action == "answer.arrived" and one["round"] == place + 1]
        assert body["weights"] == {one["site"]: one["weights_sha256"] for one in arrived}
        assert body["receipts"] == {one["site"]: one["receipt"] for one in arrived}


def site_round(**cohort: float) -> SiteRound:
    names = ("mgmt_unmethylated", "mgmt_methylated", "tumor_absent", "tumor_present")
    counts = {**dict.fromkeys(("training", *names), 0.0), **cohort}
    return SiteRound(validation_counts(), RECEIPT, 3, {}, {**counts})


def record(number: int, sites: dict[str, SiteRound], counted: bool = True) -> RoundRecord:
    return RoundRecord(number, counted, sites, {}, {}, validation_counts(number), 1.0)


def test_a_class_is_seen_when_any_site_that_counted_has_it() -> None:
    a, b = site_round(mgmt_unmethylated=3.0, tumor_present=3.0), site_round(mgmt_methylated=2.0, tumor_present=2.0)
    never = site_round(tumor_absent=9.0)
    history = (record(1, {"c": never}, counted=False), record(1, {"a": a}), record(2, {"a": a, "b": b}))
    # Rounds 1 and 2 are validated by two sites each, round 1 with the lower loss.
    card = card_of(STUDY, MANIFEST, (*history, record(3, {"a": a, "b": b})))
    assert card["best_round"] == 1
    assert card["heads"]["mgmt"] == {
        "trained_on": {"unmethylated": 3, "methylated": 0},
        "validated_on": {"unmethylated": 0, "methylated": 0},
        "validation_cases": "validation patients",
        "never_trained": "mgmt: the model was never shown both methylated and unmethylated patients",
    }
    assert "with and without a tumor" in card["heads"]["tumor"]["never_trained"]
    # Round 3's model is validated by the most sites.
    later = card_of(
        STUDY,
        MANIFEST,
        (*history[:2], record(2, {"a": a}), record(3, {"a": a, "b": b}), record(4, {"a": a, "b": b, "c": never})),
    )
    assert later["best_round"] == 3
    assert later["heads"]["mgmt"]["trained_on"] == {"unmethylated": 3, "methylated": 2}
    assert later["heads"]["mgmt"]["never_trained"] == ""
    assert later["heads"]["tumor"]["trained_on"] == {"absent": 0, "present": 5}
    assert json.dumps(later)


def test_a_card_tells_other_sites_no_histogram_of_one(tmp_path: Path) -> None:
    serve(tmp_path, answer)
    (name,) = list_versions(tmp_path / "registry")
    rounds = load_version(tmp_path / "registry" / name).card["rounds"]
    told = [*rounds, *(site for record in rounds for site in record["sites"].values())]
    assert all({"cases", "loss", "mgmt_true_positives"} <= one["validation"].keys() for one in told)
    assert max(len(value) for one in told for value in one["validation"].values() if isinstance(value, list)) == 3


def test_a_card_gives_each_area_an_interval_and_names_all_that_computed_it() -> None:
    ranked = {**validation_counts(), "mgmt_positive_scores": [1.0] + [0.0] * 254 + [2.0]}
    ranked["mgmt_negative_scores"] = [0.0, 2.0] + [0.0] * 254
    sites = {"a": site_round(mgmt_methylated=3.0)}
    validated = RoundRecord(2, True, sites, {}, {}, {**ranked}, 1.0)
    card = card_of(STUDY, MANIFEST, (record(1, sites), validated))
    # Of 3 positives two outscore both of 2 negatives, one neither.
    mgmt, tumor = (card["metrics"]["validation"][task] for task in ("mgmt", "tumor"))
    assert mgmt["auc"] == pytest.approx(2 / 3)
    assert mgmt["auc_interval"] == interval_from_area(mgmt["auc"], 3, 2)
    assert tumor["auc"] is tumor["auc_interval"] is None
    assert card["libraries"]["python"] == platform.python_version()
    assert {"SimpleITK", "pydicom", "safetensors"} <= card["libraries"].keys()


def test_a_cohort_is_the_newest_that_counted_up_to_the_best_round() -> None:
    old, new, later = (site_round(training=n) for n in (3.0, 4.0, 5.0))
    history = (record(1, {"b": old, "a": old}), record(2, {"a": new}), record(3, {"a": later}))
    assert {site: counts["training"] for site, counts in cohort_of(history, 2).items()} == {"a": 4.0, "b": 3.0}


@pytest.mark.parametrize("wrong", [{}, {"run": ""}, {"run": "../r"}, {"run": "r", "rounds": 3}])
def test_a_run_config_names_a_run_and_nothing_else(wrong: dict[str, str | int]) -> None:
    with pytest.raises(ConfigError):
        validate(RunConfig, wrong, "run")


def test_a_quorum_beyond_the_expected_sites_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="quorum of 2 can never be reached by 1 site"):
        serve(tmp_path, answer, sites=("site-a",))
    row = run_of(records(), "r")
    assert row.state == "failed"
    assert "quorum of 2" in row.cause


def test_a_variable_of_the_coordinators_process_does_not_change_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FL_TRAINING__LEARNING_RATE", "0.5")
    serve(tmp_path, answer)
    (name,) = list_versions(tmp_path / "registry")
    assert Study.model_validate(load_version(tmp_path / "registry" / name).card["study"]) == STUDY
