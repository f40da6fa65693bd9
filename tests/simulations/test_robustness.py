import numpy as np
import pytest
import torch

from core.learning.calibration import fit_calibration
from core.learning.cases import TrainingCase
from core.learning.evaluation import evaluate
from core.learning.model import build_model
from core.learning.prediction import predict_scores
from core.report import Picture, Table
from core.study import ModelSettings
from simulations.corruptions import Corruption
from simulations.robustness import CLEAN, robustness, robustness_part

torch.set_num_threads(1)

N = 16


def a_case(level, mgmt):
    """The whole of a brain has one brightness."""
    return TrainingCase(torch.full((4, N, N, N), float(level)), None, mgmt, None)


def brightness(images):
    """A model that reads a probability from the first voxel."""
    return [float(image[0, 0, 0, 0]) for image in images]


def darker(image, brain, severity, rng):
    return np.where(image > 0.5, image - np.float32(0.25 * severity), image)


CASES = [a_case(0.25, 0), a_case(0.4375, 0), a_case(0.625, 1), a_case(0.75, 1), a_case(0.9, None)]
DARKER = Corruption("darker", "quarters", (1, 2), darker, scaled=False)


def test_a_models_area_falls_as_hand_counted_and_who_has_no_label_is_left_out():
    """0.625 and 0.75 become 0.375 and 0.5 (3 of 4 pairs are in order), then 0.125 and 0.25 (one of 4 is a tie)."""
    clean, one, two = robustness(brightness, CASES, corruptions=[DARKER])
    assert (clean.corruption, clean.cases, clean.auc, clean.difference) == (CLEAN, 4, 1.0, None)
    assert (one.severity, one.auc, two.auc) == (1, 0.75, 0.125)
    assert one.difference.difference == pytest.approx(-0.25)
    assert (clean.flipped, one.flipped, two.flipped) == (0, 0.25, 0.5)
    expected = np.log(0.625 / 0.375) - np.log(0.375 / 0.625) + np.log(0.75 / 0.25) - np.log(0.5 / 0.5)
    assert (clean.shift, one.shift) == (0, pytest.approx(expected / 4, abs=1e-5))
    assert clean.unlike is clean.undecided is None


def test_each_patient_has_noise_of_its_own_and_the_same_at_every_severity_and_in_every_run():
    drawn = []

    def watched(image, brain, severity, rng):
        drawn.append(rng.random())
        return image

    corruption = Corruption("watched", "", (1, 2), watched, scaled=False)
    robustness(brightness, CASES * 3, corruptions=[corruption], seed=1)
    assert len(set(drawn)) == 12
    assert drawn[:12] == drawn[12:]
    first = drawn[:12]
    drawn.clear()
    robustness(brightness, CASES * 3, corruptions=[corruption], seed=2)
    assert not set(first) & set(drawn)


def test_a_calibrated_model_tells_which_scans_are_unlike_and_which_get_no_answer():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((12, 4, N, N, N)).astype(np.float32)
    cases = [TrainingCase(torch.from_numpy(image), None, place % 2, None) for place, image in enumerate(images)]
    model = build_model(ModelSettings(preset="tiny"), 1)
    calibration = fit_calibration(evaluate(model, cases), "validation patients")

    def score(some):
        return predict_scores(model, torch.from_numpy(np.stack(some))).mgmt.tolist()

    def smooth(image, brain, severity, rng):
        return np.broadcast_to(image.mean(axis=(1, 2, 3), keepdims=True) + 1, image.shape).copy()

    clean, flat = robustness(score, cases, calibration, [Corruption("flat", "", (1,), smooth, scaled=False)])
    assert clean.unlike == 0
    assert flat.unlike == 1
    # Twelve patients with random weights do not show a model to be better than chance.
    assert clean.undecided == 1


def test_the_report_has_a_row_for_each_severity_with_p_values_raised_for_their_number():
    rng = np.random.default_rng(3)
    cases = [a_case(np.clip(0.3 + 0.4 * (n % 2) + 0.1 * rng.standard_normal(), 0.05, 0.95), n % 2) for n in range(40)]

    def scatter(image, brain, severity, rng):
        return np.clip(image + np.float32(0.2 * severity * rng.standard_normal()), 0.01, 0.99)

    effects = robustness(brightness, cases, corruptions=[Corruption("scatter", "steps", (1, 2), scatter, scaled=False)])
    part = robustness_part(effects)
    table = next(piece for piece in part.content if isinstance(piece, Table))
    picture = next(piece for piece in part.content if isinstance(piece, Picture))
    assert [row[:2] for row in table.rows] == [(CLEAN, ""), ("scatter", "1 steps"), ("scatter", "2 steps")]
    p_values = sorted(effect.difference.p for effect in effects[1:])
    assert f"{min(1, 2 * p_values[0]):.2g}" in {row[5] for row in table.rows}
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert picture.png.startswith(b"\x89PNG")
