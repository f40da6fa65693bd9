from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import load_config
from core.errors import ConfigError, FederationError, PreparationError, UpdateRejected
from core.learning.cases import TrainingCase
from core.learning.evaluation import evaluate as evaluate_model
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of, restore
from core.messages import task_of
from core.study import TrainingSettings
from core.updates import COHORT, VALIDATION, check_update
from fl_client import trainer
from fl_client.config import SiteConfig
from fl_client.dataset import Cohort, Excluded, load_cohort
from fl_client.training import train_one_round
from tests.simulations.factories_federation import a_study, make_site

STUDY = a_study()
MODEL = build_model(STUDY.model, seed=11)
TASK = task_of(STUDY, 2, flatten(MODEL), manifest_of(MODEL).digest, "tiny-run-1", "c" * 64)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> SiteConfig:
    return load_config(SiteConfig, make_site(tmp_path_factory.mktemp("site"), "site-a", 6), {})


def test_an_update_is_one_round_of_training_from_the_tasks_weights(site: SiteConfig) -> None:
    update = trainer.train(TASK, site, STUDY)
    model = build_model(STUDY.model, seed=0)
    restore(model, TASK.weights)
    cohort = load_cohort(site.site.prepared, STUDY, "site-a")
    assert update.validation == evaluate_model(model, cohort.validation)
    assert update.training == train_one_round(model, cohort.training, STUDY, "site-a", 2)
    assert update.weights.tobytes() == flatten(model).tobytes()
    assert (update.site, update.round, update.examples) == ("site-a", 2, 4)
    assert not np.array_equal(update.weights, TASK.weights)


def test_an_update_passes_the_coordinators_check(site: SiteConfig) -> None:
    check_update(
        trainer.train(TASK, site, STUDY),
        site="site-a",
        round_number=2,
        shape=manifest_of(MODEL),
        incoming=TASK.weights,
        study=STUDY,
        validation=VALIDATION,
    )


def test_an_evaluation_counts_the_incoming_model_on_the_validation_cases(site: SiteConfig) -> None:
    evaluation = trainer.evaluate(TASK, site, STUDY)
    cohort = load_cohort(site.site.prepared, STUDY, "site-a")
    assert (evaluation.site, evaluation.round) == ("site-a", 2)
    assert evaluation.validation == evaluate_model(MODEL, cohort.validation)


def test_every_batch_is_reported_and_an_error_of_the_report_ends_the_work(site: SiteConfig) -> None:
    epochs = STUDY.model_copy(update={"training": TrainingSettings(epochs_per_round=3, batch_size=3)})
    task = task_of(epochs, 2, TASK.weights, TASK.manifest, TASK.run, TASK.receipt)
    told: list[tuple[str, int, int]] = []
    silently = trainer.answer("train", task, site, epochs)
    aloud = trainer.answer("train", task, site, epochs, report=lambda *step: told.append(step))
    # Four training cases are two batches, in each of three epochs; two validation cases are one batch.
    assert told == [("evaluating", 2, 2), *(("training", done, 6) for done in range(1, 7))]
    assert aloud.arrays["weights"].tobytes() == silently.arrays["weights"].tobytes()

    def enough(step: str, done: int, _total: int) -> None:
        if (step, done) == ("training", 2):
            raise FederationError("enough", fix="")

    with pytest.raises(FederationError, match="enough"):
        trainer.answer("train", task, site, epochs, report=enough)


def test_a_task_of_an_unknown_kind_is_refused(site: SiteConfig) -> None:
    with pytest.raises(UpdateRejected, match="kind"):
        trainer.answer("query", TASK, site, STUDY)


def test_the_sites_thread_count_holds_while_it_trains(site: SiteConfig) -> None:
    before = torch.get_num_threads()
    compute = site.compute.model_copy(update={"threads": 2})
    try:
        trainer.evaluate(TASK, site.model_copy(update={"compute": compute}), STUDY)
        assert torch.get_num_threads() == 2
        trainer.evaluate(TASK, site, STUDY)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_device_that_is_not_there_is_a_wrong_setting(site: SiteConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    compute = site.compute.model_copy(update={"device": "cuda"})
    with pytest.raises(ConfigError, match="no CUDA device") as refusal:
        trainer.evaluate(TASK, site.model_copy(update={"compute": compute}), STUDY)
    assert "compute.device" in refusal.value.fix


def test_a_task_of_another_study_model_or_size_is_refused(site: SiteConfig) -> None:
    with pytest.raises(UpdateRejected, match="another study"):
        trainer.train(replace(TASK, study="other"), site, STUDY)
    with pytest.raises(UpdateRejected, match="another model"):
        trainer.train(replace(TASK, manifest="0" * 64), site, STUDY)
    with pytest.raises(UpdateRejected, match="shape"):
        trainer.train(replace(TASK, weights=TASK.weights[:-1]), site, STUDY)
    with pytest.raises(UpdateRejected, match="NaN"):
        trainer.evaluate(replace(TASK, weights=np.full_like(TASK.weights, np.nan)), site, STUDY)


def test_a_task_of_other_settings_or_another_release_is_refused(site: SiteConfig) -> None:
    other = STUDY.model_copy(update={"training": TrainingSettings(epochs_per_round=1, learning_rate=0.5)})
    for work in (trainer.train, trainer.evaluate):
        with pytest.raises(UpdateRejected, match="other settings"):
            work(TASK, site, other)
        with pytest.raises(UpdateRejected, match="prepares cases otherwise"):
            work(replace(TASK, preprocessing="0-0"), site, STUDY)


def test_a_site_with_one_case_is_refused(tmp_path: Path) -> None:
    lonely = load_config(SiteConfig, make_site(tmp_path, "site-a", 1), {})
    with pytest.raises(PreparationError):
        trainer.train(TASK, lonely, STUDY)


def test_a_cohort_is_counted_by_use_and_its_training_cases_by_class() -> None:
    image = torch.zeros(1)

    def case(mgmt: int | None, tumor: int | None) -> TrainingCase:
        return TrainingCase(image, None, mgmt, tumor)

    training = (case(1, 1), case(0, 1), case(0, 0), case(None, None))
    counts = trainer.cohort_counts(Cohort(training, (case(1, 0),), (Excluded("00007", ("no brain",)),) * 2))
    assert counts == {
        "training": 4.0,
        "validation": 1.0,
        "excluded": 2.0,
        "mgmt_unmethylated": 2.0,
        "mgmt_methylated": 1.0,
        "tumor_absent": 1.0,
        "tumor_present": 2.0,
    }
    assert counts.keys() == COHORT.keys()
