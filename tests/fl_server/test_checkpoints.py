import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import FederationError
from core.messages import Counts, Manifest, Part
from core.study import FederationSettings, PrivacySettings, Study
from fl_server import checkpoints
from fl_server.checkpoints import (
    RoundRecord,
    RunState,
    SiteRound,
    best_round,
    load_state,
    read_history,
    round_weights,
    save_state,
)

MANIFEST = Manifest((Part("weight", (3,)),))
STUDY = Study(name="glioma", federation=FederationSettings(rounds=4))
# None of a few rounds is of its last quarter.
LONG = Study(name="glioma", federation=FederationSettings(rounds=100))
INITIAL = np.zeros(3, np.float32)


def record_of(number: int, loss: float, sites: int = 2, counted: bool = True) -> RoundRecord:
    validation: Counts = {"cases": 2.0, "loss": 2 * loss, "mgmt_positive_scores": [0.1, 2.0]}
    brought = {f"site-{i}": SiteRound(validation, "0" * 64, 3, {"loss": 0.1}, {"training": 3.0}) for i in range(sites)}
    return RoundRecord(number, counted, brought, {"site-8": "NaN"}, {"site-9": "offline"}, validation, 0.5)


def weights_of(number: int) -> np.ndarray:
    return np.array([number, 0.1, -number], np.float32)


def save_rounds(run: Path, losses: list[float], study: Study = STUDY) -> RunState:
    state = RunState(0, INITIAL)
    for number, loss in enumerate(losses, start=1):
        state = RunState(number, weights_of(number), (*state.history, record_of(number, loss)))
        save_state(run, study, MANIFEST, state)
    return state


def test_a_folder_without_a_run_is_its_beginning(tmp_path: Path) -> None:
    state = load_state(tmp_path / "run", STUDY, MANIFEST, INITIAL)
    assert (state.round, state.history) == (0, ())
    np.testing.assert_array_equal(state.weights, INITIAL)


def test_a_state_is_read_back_as_it_was(tmp_path: Path) -> None:
    saved = save_rounds(tmp_path, [0.9, 0.7, 0.1 + 0.2])
    loaded = load_state(tmp_path, STUDY, MANIFEST, INITIAL)
    assert (loaded.round, loaded.history) == (3, saved.history)
    assert loaded.weights.tobytes() == saved.weights.tobytes()
    assert read_history(tmp_path) == saved.history


def test_where_no_site_validates_the_loss_alone_decides() -> None:
    history = tuple(
        replace(record_of(number, loss), sites={f"site-{i}": SiteRound({}, "0" * 64) for i in range(sites)})
        # The coordinator's last look has no sites at all.
        for number, loss, sites in ((1, 9.0, 2), (2, 0.5, 1), (3, 0.7, 2), (4, 0.4, 0))
    )
    assert [best_round(history[:count], LONG) for count in (1, 2, 3, 4)] == [0, 1, 1, 3]


def test_the_best_round_is_the_one_whose_successor_reports_the_lowest_loss() -> None:
    # Round 2's model starts round 3, where its loss of 0.4 is counted.
    assert best_round(tuple(record_of(n, loss) for n, loss in [(1, 0.1), (2, 0.5), (3, 0.4), (4, 0.6)]), LONG) == 2


def test_the_initial_model_and_an_unvalidated_one_are_never_the_best() -> None:
    assert best_round((), LONG) == 0
    assert best_round((record_of(1, 0.1),), LONG) == 0


def test_a_try_below_quorum_says_nothing_about_the_best_round() -> None:
    assert (
        best_round((record_of(1, 1), record_of(2, 0.0, counted=False), record_of(2, 0.5), record_of(3, 0.3)), LONG) == 2
    )


def test_a_loss_over_fewer_sites_does_not_beat_one_over_all() -> None:
    assert best_round((record_of(2, 0.5, sites=3), record_of(3, 0.1, sites=2), record_of(4, 0.4, sites=3)), LONG) == 3


def test_of_equal_losses_the_earlier_round_is_the_best() -> None:
    assert best_round((record_of(2, 0.5), record_of(3, 0.5)), LONG) == 1


def test_a_settled_round_goes_before_all_earlier_ones() -> None:
    """Of four rounds the last two are settled: 3 and 4, of which round 4's loss is lower."""
    history = tuple(record_of(number, loss) for number, loss in [(1, 9), (2, 0.2), (3, 0.1), (4, 0.9), (5, 0.8)])
    assert [best_round(history[:count], STUDY) for count in (1, 2, 3, 4, 5)] == [0, 1, 2, 3, 4]


def test_a_settled_round_of_fewer_sites_goes_before_an_earlier_one_of_all() -> None:
    history = (record_of(2, 0.2, sites=3), record_of(4, 0.5, sites=2), record_of(5, 0.9, sites=3))
    assert [best_round(history[:count], STUDY) for count in (1, 2, 3)] == [1, 3, 4]


def test_under_differential_privacy_the_rate_stays_and_the_lowest_loss_decides() -> None:
    private = STUDY.model_copy(update={"privacy": PrivacySettings(epsilon=3, validation="a" * 64)})
    assert best_round((record_of(2, 0.2), record_of(3, 0.1), record_of(5, 0.8)), private) == 2


def test_the_first_settled_round_is_kept_from_when_it_was_the_newest(tmp_path: Path) -> None:
    save_rounds(tmp_path, [9, 0.2, 0.1, 0.9])
    assert round_weights(tmp_path, 3).tolist() == weights_of(3).tolist()


def test_only_the_newest_and_the_best_aggregate_are_kept(tmp_path: Path) -> None:
    save_rounds(tmp_path, [0.9, 0.8, 0.3, 0.5], LONG)
    assert sorted(path.name for path in tmp_path.glob("round-*")) == [
        "round-0002.safetensors",
        "round-0004.safetensors",
    ]
    np.testing.assert_array_equal(round_weights(tmp_path, 2), weights_of(2))


@pytest.mark.parametrize("torn", ["round-0003.safetensors", "try-0003.json", "state.json"])
def test_a_crash_before_any_of_the_writes_leaves_the_round_before(tmp_path: Path, torn: str, monkeypatch) -> None:
    before = save_rounds(tmp_path, [0.9, 0.7])
    write = checkpoints.write_atomically

    def write_or_stop(path: Path, content: bytes | str) -> None:
        if path.name == torn:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(checkpoints, "write_atomically", write_or_stop)
    with pytest.raises(KeyboardInterrupt):
        save_state(tmp_path, STUDY, MANIFEST, RunState(3, weights_of(3), (*before.history, record_of(3, 0.5))))
    loaded = load_state(tmp_path, STUDY, MANIFEST, INITIAL)
    assert (loaded.round, loaded.history) == (2, before.history)
    assert loaded.weights.tobytes() == before.weights.tobytes()


def test_a_failed_first_round_is_remembered_with_the_initial_weights(tmp_path: Path) -> None:
    save_state(tmp_path, STUDY, MANIFEST, RunState(0, weights_of(7), (record_of(1, 0.5, counted=False),)))
    loaded = load_state(tmp_path, STUDY, MANIFEST, INITIAL)
    assert (loaded.round, len(loaded.history)) == (0, 1)
    np.testing.assert_array_equal(loaded.weights, weights_of(7))


def test_a_run_resumes_under_another_quorum_or_deadline(tmp_path: Path) -> None:
    save_rounds(tmp_path, [0.9])
    patient = STUDY.model_copy(update={"federation": FederationSettings(rounds=4, quorum=1, deadline_s=9, grace_s=1)})
    assert load_state(tmp_path, patient, MANIFEST, INITIAL).round == 1


@pytest.mark.parametrize(
    ("study", "manifest"),
    [
        (STUDY.model_copy(update={"seed": 8}), MANIFEST),
        (STUDY.model_copy(update={"federation": FederationSettings(rounds=5)}), MANIFEST),
        (STUDY, Manifest((Part("weight", (1, 3)),))),
    ],
)
def test_a_run_of_other_settings_is_refused(tmp_path: Path, study: Study, manifest: Manifest) -> None:
    save_rounds(tmp_path, [0.9])
    with pytest.raises(FederationError, match="other settings"):
        load_state(tmp_path, study, manifest, INITIAL)


def test_damage_is_refused_and_named(tmp_path: Path) -> None:
    state = save_rounds(tmp_path, [0.9, 0.5])
    stored = json.loads((tmp_path / "state.json").read_text())
    other = replace(state, weights=weights_of(5))
    save_state(tmp_path, STUDY, MANIFEST, other)
    (tmp_path / "state.json").write_text(json.dumps(stored))
    with pytest.raises(FederationError, match="not those of the state"):
        load_state(tmp_path, STUDY, MANIFEST, INITIAL)
    (tmp_path / "try-0001.json").write_text("{")
    with pytest.raises(FederationError, match="try-0001"):
        read_history(tmp_path)
    (tmp_path / "round-0002.safetensors").write_bytes(b"torn")
    with pytest.raises(FederationError, match="cannot be resumed"):
        load_state(tmp_path, STUDY, MANIFEST, INITIAL)
