"""A round that was interrupted, however and as often as you like, ends with the bits of one that was not."""

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save
from torch import nn

from core import files
from core.config import load_config
from core.errors import FederationError
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of
from core.messages import Records, Task, task_of
from core.study import ModelSettings, Study, TrainingSettings
from fl_client import trainer
from fl_client.config import SiteConfig
from fl_client.epoch_checkpoint import ARRAYS, CheckpointFile, EpochCheckpoint, checkpoint_of
from fl_client.trainer_socket import pack
from tests.simulations.factories_federation import a_study, make_site

EPOCHS = 4
# Four training cases.
BATCHES = 2
STUDY = a_study().model_copy(update={"training": TrainingSettings(epochs_per_round=EPOCHS, batch_size=2)})
MODEL = build_model(STUDY.model, seed=11)
TASK = task_of(STUDY, 2, flatten(MODEL), manifest_of(MODEL).digest, "tiny-run-1", "c" * 64)
KEY = "this task's"
WHOLE = [("evaluating", 2, 2), *(("training", batch, EPOCHS * BATCHES) for batch in range(1, EPOCHS * BATCHES + 1))]

Step = tuple[str, int, int]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> SiteConfig:
    return load_config(SiteConfig, make_site(tmp_path_factory.mktemp("site"), "site-a", 6), {})


@pytest.fixture(scope="module")
def undisturbed(site: SiteConfig) -> Records:
    return trainer.answer("train", TASK, site, STUDY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tiny.checkpoint"


def answered(
    site: SiteConfig, path: Path, stop: Step | None = None, task: Task = TASK, study: Study = STUDY
) -> tuple[bytes, list[Step]]:
    """The bytes of an answer and the steps that it took, or no bytes where it is stopped at one of them.

    Each call builds its model, optimizer and scaler anew: all that it knows of an earlier one is in the file.
    """
    told: list[Step] = []

    def report(*step: str | int) -> None:
        told.append(step)
        if step == stop:
            raise FederationError("enough", fix="")

    try:
        return pack({}, trainer.answer("train", task, site, study, "d" * 64, report, CheckpointFile(path, KEY))), told
    except FederationError:
        return b"", told


def bytes_of(records: Records) -> bytes:
    return pack({}, replace(records, config={**records.config, "receipt": "d" * 64}))


def epochs_in(path: Path) -> int:
    found = CheckpointFile(path, KEY).kept(MODEL)
    return found.epochs if found else 0


@pytest.mark.parametrize("stop", WHOLE, ids=lambda step: f"{step[0]}-{step[1]}")
def test_a_round_stopped_after_any_batch_goes_on_with_the_next_epoch_to_the_same_bits(
    site: SiteConfig, undisturbed: Records, path: Path, stop: Step
) -> None:
    assert answered(site, path, stop) == (b"", WHOLE[: WHOLE.index(stop) + 1])
    # The epoch that a batch belongs to is not over until its report is heard.
    done = 0 if stop[0] == "evaluating" else (stop[1] - 1) // BATCHES
    assert epochs_in(path) == done
    answer, told = answered(site, path)
    assert told == (WHOLE[1 + done * BATCHES :] if done else WHOLE)
    assert answer == bytes_of(undisturbed)


def test_a_round_stopped_in_every_epoch_in_turn_ends_with_the_same_bits(
    site: SiteConfig, undisturbed: Records, path: Path
) -> None:
    for epoch in range(EPOCHS):
        _, told = answered(site, path, ("training", epoch * BATCHES + 2, EPOCHS * BATCHES))
        assert len(told) == 2 + (epoch == 0)
        # Once more with the first batch alone: an epoch that is cut adds nothing.
        answered(site, path, ("training", epoch * BATCHES + 1, EPOCHS * BATCHES))
        if epoch + 1 < EPOCHS:
            answered(site, path, ("training", (epoch + 1) * BATCHES + 1, EPOCHS * BATCHES))
        assert epochs_in(path) == min(epoch + 1, EPOCHS - 1)
    assert answered(site, path)[0] == bytes_of(undisturbed)


@pytest.mark.parametrize("done", [1, 2, 3])
def test_the_scale_of_half_precision_goes_on_too(
    site: SiteConfig, path: Path, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So large a scale that all steps of the first epoch overflow: then the optimizer has no state to keep."""
    honest = torch.amp.GradScaler
    monkeypatch.setattr("fl_client.training.precision_of", lambda *_: torch.float16)
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *device, enabled: honest(*device, 2.0**18, enabled=enabled))
    whole, _ = answered(site, path.with_name("another.checkpoint"))
    answered(site, path, ("training", done * BATCHES + 1, EPOCHS * BATCHES))
    stood = CheckpointFile(path, KEY).kept(MODEL)
    assert stood.scaler["scale"] < 2.0**18
    assert (set(stood.steps) == {0}) == (done == 1)
    assert answered(site, path) == (whole, WHOLE[1 + done * BATCHES :])


def test_the_last_epoch_is_followed_by_the_answer_and_not_by_a_checkpoint(
    site: SiteConfig, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(CheckpointFile, "keep", lambda _, checkpoint: kept.append(checkpoint.epochs))
    answered(site, path)
    assert kept == [1, 2, 3]
    kept.clear()
    study = STUDY.model_copy(update={"training": TrainingSettings(epochs_per_round=1)})
    answered(site, path, None, task_of(study, 1, TASK.weights, TASK.manifest, TASK.run, TASK.receipt), study)
    assert not kept


def test_a_checkpoint_holds_the_model_the_optimizer_and_both_counts_and_only_this_account_may_read_it(
    site: SiteConfig, undisturbed: Records, path: Path
) -> None:
    answered(site, path, ("training", 2 * BATCHES + 1, EPOCHS * BATCHES))
    stood = CheckpointFile(path, KEY).kept(MODEL)
    assert stood.epochs == 2
    assert stood.weights.shape == stood.means.shape == stood.squares.shape == TASK.weights.shape
    assert not np.array_equal(stood.weights, TASK.weights)
    assert (stood.squares >= 0).all()
    assert set(stood.steps) == {2 * BATCHES}
    assert stood.training["cases"] == 8
    assert {f"validation.{name}": value for name, value in stood.validation.items()}.items() <= (
        undisturbed.metrics.items()
    )
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.parent.iterdir()) == [path]
    with safe_open(path, framework="numpy") as stored:
        assert set(stored.keys()) == set(ARRAYS)


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(_: bytes) -> bytes:
    return b""


def garbage(content: bytes) -> bytes:
    return np.random.default_rng(0).bytes(len(content))


def not_a_number(content: bytes) -> bytes:
    return content[:-400] + np.full(100, np.nan, np.float32).tobytes()


def longer(content: bytes) -> bytes:
    return content + b"\0"


def foreign(_: bytes) -> bytes:
    return save({"weights": TASK.weights})


@pytest.mark.parametrize("harm", [cut_off, empty, garbage, not_a_number, longer, foreign])
def test_a_damaged_checkpoint_is_ignored_with_a_warning_and_replaced(
    site: SiteConfig,
    undisturbed: Records,
    path: Path,
    harm: Callable[[bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    answered(site, path, ("training", 2 * BATCHES + 1, EPOCHS * BATCHES))
    path.write_bytes(harm(path.read_bytes()))
    assert answered(site, path) == (bytes_of(undisturbed), WHOLE)
    assert [(record.levelno, "damaged" in record.message) for record in caplog.records] == [(logging.WARNING, True)]
    assert epochs_in(path) == EPOCHS - 1


def test_a_checkpoint_that_is_a_folder_ends_no_training(site: SiteConfig, undisturbed: Records, path: Path) -> None:
    path.mkdir()
    assert answered(site, path) == (bytes_of(undisturbed), WHOLE)


def test_a_checkpoint_of_another_model_is_ignored_with_a_warning(
    site: SiteConfig, undisturbed: Records, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = build_model(ModelSettings(preset="small"), seed=1)
    CheckpointFile(path, KEY).keep(a_checkpoint(other))
    assert answered(site, path) == (bytes_of(undisturbed), WHOLE)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert epochs_in(path) == EPOCHS - 1


def test_a_checkpoint_of_another_task_is_ignored_and_replaced(
    site: SiteConfig, undisturbed: Records, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    CheckpointFile(path, "another task's").keep(a_checkpoint(MODEL))
    assert answered(site, path) == (bytes_of(undisturbed), WHOLE)
    assert not caplog.records
    assert epochs_in(path) == EPOCHS - 1


def test_a_full_disk_ends_no_training_and_is_told_once(
    site: SiteConfig,
    undisturbed: Records,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried: list[int] = []

    def full(descriptor: int) -> None:
        tried.append(descriptor)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    assert answered(site, path) == (bytes_of(undisturbed), WHOLE)
    assert len(tried) == EPOCHS - 1
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == ["No space left on device"]
    assert not list(path.parent.iterdir())


def test_a_disk_that_fills_up_leaves_the_last_checkpoint_that_it_had_room_for(
    site: SiteConfig, undisturbed: Records, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(site, path, ("training", BATCHES + 1, EPOCHS * BATCHES))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", full)
        answered(site, path, ("training", 3 * BATCHES + 1, EPOCHS * BATCHES))
    assert epochs_in(path) == 1
    assert answered(site, path) == (bytes_of(undisturbed), WHOLE[1 + BATCHES :])


def test_no_byte_can_change_unseen(path: Path) -> None:
    """Whichever byte is another: the checkpoint is the one that was written, or there is none."""
    model = nn.Linear(2, 1)
    written = a_checkpoint(model)
    file = CheckpointFile(path, KEY)
    file.keep(written)
    content = path.read_bytes()
    for place in range(len(content)):
        # The letter makes an F32 of the header an I32.
        for other in (content[place] ^ 1, content[place] ^ 0x80, ord("9"), ord("I")):
            path.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
            found = file.kept(model)
            assert found is None or same(found, written), place


def a_checkpoint(model: nn.Module) -> EpochCheckpoint:
    """After one step with gradients of one."""
    optimizer = torch.optim.AdamW(model.parameters())
    for values in model.parameters():
        values.grad = torch.ones_like(values)
    optimizer.step()
    model.zero_grad()
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return replace(checkpoint_of(model, optimizer, scaler, 1, {"cases": 4.0}), validation={"bins": [1.0, 2.5]})


def same(one: EpochCheckpoint, other: EpochCheckpoint) -> bool:
    arrays = [
        [(values.dtype, values.shape, values.tobytes()) for values in (getattr(which, name) for name in ARRAYS)]
        for which in (one, other)
    ]
    return arrays[0] == arrays[1] and (
        (one.epochs, one.scaler, one.training, one.validation)
        == (other.epochs, other.scaler, other.training, other.validation)
    )
