"""A tuning so small that a trial takes a fraction of a second, and objectives with a known best."""

import os
import signal

import numpy as np

from core.config import validate
from core.learning.frozen import study_model
from core.learning.weights import flatten
from core.records.home import public_folder
from simulations.tuning_objective import Tried, train
from simulations.tuning_space import Tuning

PLANTED = {"training.learning_rate": 0.02, "model.dropout": 0.3}
SEARCH = {
    "training.learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
    "model.dropout": {"low": 0.0, "high": 0.6},
}


def a_tuning(**changes):
    settings = {
        "goal": "loss",
        "trials": 3,
        "pruner": "none",
        "people": {"sites": 2, "patients": 4, "controls": 0, "seed": 3},
        "study": {
            "name": "test",
            "validation_fraction": 0.5,
            "model": {"preset": "tiny"},
            "preprocessing": {"grid": 16},
            "training": {"batch_size": 2},
            "federation": {"rounds": 2},
        },
        "search": SEARCH,
    }
    return validate(Tuning, settings | changes, "tuning.toml")


def bowl(tuning, study, cohorts, folder, watch):
    """How far a study is from the planted best, in decades and tenths; nothing is trained."""
    rate = np.log10(study.training.learning_rate / PLANTED["training.learning_rate"])
    dropout = 10 * (study.model.dropout - PLANTED["model.dropout"])
    value = float(rate**2 + dropout**2)
    for step in range(1, 5):
        watch(step, value + 1 / step)
    return Tried(value, 4, flatten(study_model(study.model, study.seed, public_folder())))


def deadly(tuning, study, cohorts, folder, watch):
    """Train, but end this process by SIGKILL after the second trial's first round, once."""

    def watch_and_die(step, value):
        watch(step, value)
        marker = folder.parent.parent / "killed"
        if folder.name == "1" and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return train(tuning, study, cohorts, folder, watch_and_die)


def always_deadly(tuning, study, cohorts, folder, watch):
    """End the process of the second trial, whenever it is begun."""
    if folder.name == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return bowl(tuning, study, cohorts, folder, watch)
