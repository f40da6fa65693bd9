"""A real trainer that is killed in the middle of a round, and the one that goes on in its place."""

import os
import re
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import pytest

from core.study import TrainingSettings
from fl_client import trainer, trainer_process
from fl_client.config import load_site
from fl_client.jobs import Job
from fl_client.trainer_process import Trainer
from fl_client.trainer_socket import Packed, ask, packed
from tests.fl_client.factories_processes import started
from tests.fl_client.factories_site import a_request, a_task, approved, events, make_home, study_text
from tests.simulations.factories_federation import a_study

ROOT = str(Path(__file__).parents[2])
# Two batches an epoch.
STUDY = a_study().model_copy(update={"training": TrainingSettings(epochs_per_round=12, batch_size=2)})


@pytest.mark.parametrize(
    ("moment", "done", "left_over"),
    [(("batch", "11"), 5, 0), (("write", "3"), 2, 1)],
    ids=["within-an-epoch", "while-it-writes-a-checkpoint"],
)
def test_a_killed_trainer_goes_on_after_the_last_epoch_it_kept_and_answers_with_the_same_bytes(
    tmp_path: Path, moment: tuple[str, str], done: int, left_over: int
) -> None:
    home = make_home(tmp_path)
    text = study_text(home.root, STUDY)
    approved(home, text)
    answers: list[object] = []
    arguments = (home.trainer, "train", text, packed(a_request(STUDY)))
    asking = Thread(target=lambda: answers.append(ask(*arguments)), daemon=True)
    environment = {"FL_HOME": str(home.root), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"], "PYTHONPATH": ROOT}
    asking.start()
    with started([sys.executable, "-m", "tests.fl_client.dying_trainer", *moment], environment, tmp_path) as dying:
        assert dying.wait(120) == -signal.SIGKILL
    assert (home.spool / "tiny.checkpoint").exists()
    assert len(list(home.spool.glob(".*.partial-tiny.checkpoint"))) == left_over
    with started([sys.executable, "-m", "fl_client.trainer_process"], environment, tmp_path):
        asking.join(120)
    (answer,) = answers
    assert isinstance(answer, Packed)
    undisturbed = trainer.answer("train", a_task(STUDY), load_site(home), STUDY, str(answer.config["receipt"]))
    assert packed(undisturbed) == answer
    said = (tmp_path / "output.log").read_text()
    assert re.findall("goes on after epoch ([0-9]+)", said) == [str(done)]
    assert events(home, "task.received") == ["task.received"] * 2
    assert sorted(path.name for path in home.spool.iterdir()) == ["efforts.json", "tiny.answer"]


def test_another_release_pytorch_or_device_starts_a_round_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = make_home(tmp_path)
    idle = Trainer(load_site(home), home)
    job = Job("train", a_task(STUDY), STUDY, "a key", "")
    another_key = Job("train", job.task, STUDY, "another", "")
    found = {idle._bits_of(job), idle._bits_of(another_key)}
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "device_name", lambda _: "another")
        found.add(idle._bits_of(job))
    for name in ("gliofed", "torch"):
        monkeypatch.setattr(trainer_process, "version", lambda asked, name=name: f"{version(asked)}{asked == name}")
        found.add(idle._bits_of(job))
    monkeypatch.undo()
    assert len(found) == 5
    assert idle._bits_of(Job("train", job.task, STUDY, "a key", "")) in found
