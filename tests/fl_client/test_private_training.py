"""A round under differential privacy: what it costs, what it draws, what its answer holds, and that there is one."""

import json
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

from core.errors import UpdateRejected
from core.learning.frozen import study_model
from core.learning.weights import flatten, manifest_of
from core.messages import Task, read_update, task_of, task_records
from core.study import Study
from fl_client import trainer
from fl_client.config import SitePrivacySettings, load_site
from fl_client.dataset import load_cohort
from fl_client.differential_privacy import SecureRandom
from fl_client.paths import SiteHome
from fl_client.privacy_ledger import PatientKey, PrivacyLedger
from fl_client.private_training import (
    decay,
    handles_of,
    head_losses,
    look_up,
    noise_of,
    request_for,
    train_privately,
    whole_losses,
)
from fl_client.trainer_process import Trainer
from fl_client.trainer_socket import pack, unpack
from tests.factories_private import a_private_study
from tests.fl_client.factories_site import RECEIPT, RUN, approved, events, make_home, study_text

KEY = bytes(32)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SiteHome:
    monkeypatch.setenv("FL_HOME", str(tmp_path))
    return make_home(tmp_path)


@pytest.fixture(params=["a small head", "the whole network"])
def study(home: SiteHome, request: pytest.FixtureRequest) -> Study:
    return a_private_study(home.public, head=request.param == "a small head")


def a_task(home: SiteHome, study: Study, number: int = 1) -> Task:
    model = study_model(study.model, study.seed, home.public)
    return task_of(study, number, flatten(model), manifest_of(model).digest, RUN, RECEIPT)


def test_an_answer_holds_noised_weights_and_what_was_agreed(home: SiteHome, study: Study) -> None:
    task = a_task(home, study)
    update = trainer.train(task, load_site(home), study)
    assert (update.training, update.validation, update.cohort) == ({}, {}, {})
    assert update.examples == study.privacy.patients
    assert update.weights.shape == task.weights.shape
    assert not np.array_equal(update.weights, task.weights)
    other = trainer.train(task, load_site(home), study)
    assert not np.array_equal(update.weights, other.weights), "noise is nobody's to foresee"


def test_no_evaluation_is_answered(home: SiteHome, study: Study) -> None:
    with pytest.raises(UpdateRejected, match="no answer under differential privacy"):
        trainer.evaluate(a_task(home, study), load_site(home), study)


def test_all_patients_train_and_each_view_is_seeded(home: SiteHome, study: Study) -> None:
    cohort = load_cohort(home.root / "prepared", study, "site-a")
    assert len(cohort.patients) == 6 > len(cohort.training)
    model = study_model(study.model, study.seed, home.public)
    if not study.model.frozen:
        losses = [whole_losses(model.eval(), cohort.patients, study, ("site-a", number)) for number in (1, 1, 2)]
        model.eval()
        first, again, later = ([loss().item() for loss in each] for each in losses)
        assert first == again != later
        return
    seen, again_seen = (look_up(model, cohort.patients, study, "site-a") for _ in range(2))
    assert all(torch.equal(one[0], other[0]) for one, other in zip(seen, again_seen, strict=True))
    assert [tuple(features.shape) for features, _ in seen] == [(1, study.model.features)] * 6
    assert len(head_losses(model, seen)) == 6


def test_without_noise_a_small_head_learns_its_patients(home: SiteHome) -> None:
    study = a_private_study(home.public, learning_rate=20.0, steps_per_round=100)
    model = study_model(study.model, study.seed, home.public)
    generator = torch.Generator().manual_seed(3)
    labels = [place % 2 for place in range(40)]
    seen = [(torch.randn(1, 4, generator=generator) + 2 * label - 1, torch.tensor([float(label)])) for label in labels]
    losses = head_losses(model, seen)
    before = sum(loss().item() for loss in losses)
    train_privately(model, losses, study, 1, 0.0, SecureRandom(KEY))
    assert sum(loss().item() for loss in losses) < 0.5 * before


def test_an_unlabeled_patient_moves_nothing_and_counts_in_the_draw_all_the_same(home: SiteHome) -> None:
    study = a_private_study(home.public)
    model = study_model(study.model, study.seed, home.public)
    losses = head_losses(model, [(torch.ones(1, 4), torch.tensor([float("nan")]))])
    before = flatten(model)
    train_privately(model, losses, study, 1, 0.0, SecureRandom(KEY))
    assert np.array_equal(flatten(model), before)


def test_frozen_weights_stay_as_they_are(home: SiteHome) -> None:
    study = a_private_study(home.public)
    model = study_model(study.model, study.seed, home.public)
    before = {name: values.clone() for name, values in model.named_parameters()}
    trainer.restore(model, trainer.train(a_task(home, study), load_site(home), study).weights)
    moved = {name for name, values in model.named_parameters() if not torch.equal(values, before[name])}
    assert moved == {"methylation.linear.weight", "methylation.linear.bias"}


def test_features_are_looked_up_once_a_study(home: SiteHome, monkeypatch: pytest.MonkeyPatch) -> None:
    study, looked = a_private_study(home.public), []
    honest = trainer.look_up
    monkeypatch.setattr(trainer, "look_up", lambda *given: looked.append(1) or honest(*given))
    trainer.forget_features()
    for number in (1, 2):
        trainer.train(a_task(home, study, number), load_site(home), study)
    assert looked == [1]


def test_the_rate_falls_from_the_study_s_first_step_to_its_last() -> None:
    assert [decay(0), decay(0.5), decay(1)] == pytest.approx([1, 0.5, 0])


def test_a_site_s_floor_makes_more_noise_and_never_less(home: SiteHome, study: Study) -> None:
    wanted = noise_of(study, SitePrivacySettings())
    assert noise_of(study, SitePrivacySettings(epsilon=1.0)) > wanted
    assert noise_of(study, SitePrivacySettings(epsilon=8.0)) == wanted
    assert noise_of(study, SitePrivacySettings(epsilon=3.0, delta=1e-7)) > wanted


def test_what_is_asked_for_is_a_round_s_steps_and_for_a_beginning_all_that_are_left(
    home: SiteHome, study: Study
) -> None:
    key = PatientKey(home.patients_key)
    patients = load_cohort(home.root / "prepared", study, "site-a").patients
    request = request_for(a_task(home, study, 2), study, SitePrivacySettings(budget=5.0), patients, key)
    assert (request.run, request.round, len(request.patients)) == (RUN, 2, 6)
    assert (request.spend.steps, request.all_rounds.steps) == (1, 2)
    assert request.of_site.epsilon == 5.0
    assert all(len(handles) == 2 for handles in request.patients)
    assert handles_of(patients[0], key) == request.patients[0]


def test_without_differential_privacy_everybody_is_spent_for_good(home: SiteHome, study: Study) -> None:
    bare = study.model_copy(update={"privacy": type(study.privacy)()})
    patients = load_cohort(home.root / "prepared", bare, "site-a").patients
    request = request_for(a_task(home, study, 2), bare, SitePrivacySettings(), patients, PatientKey(home.patients_key))
    assert (request.round, request.spend.noise, len(request.patients)) == (0, 0.0, 6)


def respond(working: Trainer, text: str, task: Task) -> bytes:
    return working.respond(pack({"kind": "train", "study": text}, task_records(task)))


@pytest.fixture
def working(home: SiteHome, study: Study) -> tuple[Trainer, str]:
    text = study_text(home.root, study)
    approved(home, text)
    started = Trainer(load_site(home), home)
    Thread(target=started.work, daemon=True).start()
    return started, text


def spent(home: SiteHome) -> list[int]:
    ledger = PrivacyLedger.of_home(home)
    ledger.read()
    return [one.round for one in ledger.reservations]


def test_a_round_asked_again_is_answered_with_the_very_same_bytes(
    home: SiteHome, study: Study, working: tuple[Trainer, str]
) -> None:
    task = a_task(home, study)
    first = respond(*working, task)
    listing = home.root / "prepared" / "cohort.json"
    changed = json.loads(listing.read_text())
    changed["cases"].pop()
    listing.write_text(json.dumps(changed))
    assert respond(*working, replace(task, receipt="d" * 64)) == first, "also where the cases are others by then"
    assert spent(home) == [1]
    again = Trainer(load_site(home), home)
    assert respond(again, working[1], task) == first, "and after a restart"
    assert read_update(unpack(first)[1]).round == 1


def test_a_round_whose_answer_was_lost_after_it_left_is_never_drawn_again(
    home: SiteHome, study: Study, working: tuple[Trainer, str]
) -> None:
    task = a_task(home, study)
    respond(*working, task)
    working[0].records.append("gate", "update.sent", study="tiny", run=RUN, round=1, bytes=1, weights_sha256="0" * 64)
    for path in home.spool.glob("*.answer"):
        path.unlink()
    waiting = Trainer(load_site(home), home)
    Thread(target=waiting.work, daemon=True).start()
    told, _ = unpack(respond(waiting, working[1], task))
    assert told["code"] == 107
    assert spent(home) == [1]


def test_the_ledger_knows_of_a_round_before_a_patient_is_read(
    home: SiteHome, study: Study, working: tuple[Trainer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "train_privately", lambda *_: (_ for _ in ()).throw(UpdateRejected("no", fix="no")))
    told, _ = unpack(respond(*working, a_task(home, study)))
    assert told["code"] == 107
    assert spent(home) == [1]
    assert events(home)[-4:] == ["task.received", "privacy.cohort", "privacy.reserved", "task.failed"]
