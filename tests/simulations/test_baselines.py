import json

import numpy as np
import pytest
import torch

from core.imaging.case import PreparedCase, Quality, save_case
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.cases import training_case
from core.learning.model import build_model
from core.learning.weights import flatten
from core.study import Study, digest
from fl_client.config import SiteConfig
from fl_client.dataset import Cohort, load_cohort
from simulations import baselines
from simulations.baselines import alone, epochs_of, pooled, train_baselines

torch.set_num_threads(1)

STUDY = Study(
    name="test",
    model={"preset": "tiny"},
    preprocessing={"grid": 16},
    training={"epochs_per_round": 2},
    federation={"rounds": 2},
)


def an_image(number):
    return np.random.default_rng(number).standard_normal((4, 16, 16, 16)).astype(np.float32)


def a_cohort(first, count=3):
    cases = tuple(training_case(an_image(first + n), None, n % 2) for n in range(count))
    return Cohort(cases[1:], cases[:1], ())


def a_site(folder, name, first):
    prepared = folder / name
    prepared.mkdir()
    entries = []
    for number in range(first, first + 3):
        case = PreparedCase(an_image(number), np.ones((16, 16, 16), bool), None, Quality())
        save_case(case, prepared / f"{number}.safetensors")
        entries.append(
            {"id": str(number), "file": f"{number}.safetensors", "mgmt": number % 2, "verdict": "usable", "reasons": []}
        )
    index = {"preprocessing": digest(STUDY.preprocessing), "version": PREPROCESSING_VERSION, "cases": entries}
    (prepared / "cohort.json").write_text(json.dumps(index))
    return SiteConfig(site={"name": name, "data": folder, "prepared": prepared}, preprocessing=STUDY.preprocessing)


@pytest.fixture
def two_sites(tmp_path):
    return {name: a_site(tmp_path, name, first) for name, first in (("north", 0), ("south", 10))}


def test_a_baseline_trains_as_many_epochs_as_a_patient_of_the_federation_sees():
    assert epochs_of(STUDY) == 4
    assert len(alone(a_cohort(0), STUDY, "north", 4).history) == 4
    trained = pooled({"north": a_cohort(0), "south": a_cohort(10)}, STUDY, 4)
    assert [(training["cases"], validation["cases"]) for training, validation in trained.history] == [(4, 2)] * 4


def test_pooling_does_not_depend_on_the_order_of_the_sites():
    north, south = a_cohort(0), a_cohort(10)
    first, second = (
        pooled({"north": north, "south": south}, STUDY, 4),
        pooled({"south": south, "north": north}, STUDY, 4),
    )
    assert first.weights.tobytes() == second.weights.tobytes()


def test_every_site_and_the_pool_become_a_baseline(two_sites, tmp_path):
    trained = train_baselines(two_sites, STUDY, tmp_path / "out")
    assert [baseline.name for baseline in trained] == ["north alone", "south alone", "pooled"]
    start = flatten(build_model(STUDY.model, STUDY.seed))
    assert len({baseline.weights.tobytes() for baseline in trained} | {start.tobytes()}) == 4
    expected = alone(load_cohort(two_sites["north"].site.prepared, STUDY, "north"), STUDY, "north", 1)
    assert trained[0].weights.tobytes() == expected.weights.tobytes()


def test_a_baseline_gives_each_image_a_probability(two_sites, tmp_path):
    baseline = train_baselines(two_sites, STUDY, tmp_path / "out")[2]
    images = [an_image(number) for number in range(3)]
    together = baseline.methylation(images)
    assert all(0 < probability < 1 for probability in together)
    assert together == pytest.approx([baseline.methylation([image])[0] for image in images], abs=1e-6)
    assert baseline.methylation([]) == []


def test_what_is_trained_is_not_trained_again(two_sites, tmp_path, monkeypatch):
    first = train_baselines(two_sites, STUDY, tmp_path / "out")
    (next(tmp_path.glob("out/north-*"))).unlink()
    asked = []
    original = baselines.train_alone

    def watched(model, training, validation, study, site, *more, **options):
        asked.append(site)
        return original(model, training, validation, study, site, *more, **options)

    monkeypatch.setattr(baselines, "train_alone", watched)
    second = train_baselines(two_sites, STUDY, tmp_path / "out")
    assert asked == ["north"]
    assert [a.weights.tobytes() for a in first] == [b.weights.tobytes() for b in second]


def test_other_settings_or_cases_are_trained_anew(two_sites, tmp_path):
    train_baselines(two_sites, STUDY, tmp_path / "out")
    train_baselines(two_sites, STUDY.model_copy(update={"seed": 8}), tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 6
    index = two_sites["north"].site.prepared / "cohort.json"
    index.write_text(index.read_text().replace('"mgmt": 1', '"mgmt": 0'))
    train_baselines(two_sites, STUDY, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 9
