import numpy as np
import pytest
import torch

from core.errors import DataError
from core.learning.cases import TrainingCase
from core.learning.model import build_model
from core.learning.prediction import predict_scores
from core.report import Picture, Table
from core.study import ModelSettings
from simulations.features_by_label import features_by_label, features_by_label_part, standardized_difference
from simulations.hand_crafted import (
    contrast,
    entropy,
    feature_table,
    features_of,
    found_maps,
    kurtosis,
    train_hand_crafted,
    true_maps,
)

torch.set_num_threads(1)

T1W, T1WCE, T2W, FLAIR = range(4)


def a_tiny_head():
    """A grid of 8 with a map of 2: one voxel of the map, 64 of the image, is one eighth of the brain."""
    image = np.ones((4, 8, 8, 8), np.float32)
    shares = np.zeros((3, 2, 2, 2), np.float32)
    return image, shares


def test_volumes_and_ratios_by_hand():
    image, shares = a_tiny_head()
    shares[0, 0, 0, 0], shares[2, 0, 0, 0] = 0.25, 0.75
    shares[1, 0, 0, 1], shares[1, 1, 1, 1] = 1.0, 0.04  # the last is too little to count
    found = features_of(image, shares)
    assert found["necrosis volume"] == pytest.approx(0.25 / 8)
    assert found["edema volume"] == pytest.approx(1 / 8)
    assert found["enhancing volume"] == pytest.approx(0.75 / 8)
    assert found["necrosis in core"] == pytest.approx(0.25)
    assert found["edema in tumor"] == pytest.approx(0.5)
    half = image.copy()
    half[:, 4:] = 0  # the brain is half of the grid, and what the map says beyond it does not count
    shares[1, 1, 1, 1] = 1.0
    assert features_of(half, shares)["edema volume"] == pytest.approx(1 / 4)


def test_brightness_is_each_sequences_mean_weighted_by_how_much_of_a_voxel_is_the_region():
    image, shares = a_tiny_head()
    image[T1W, :4, :4, :4], image[T1WCE, :4, :4, :4] = 1, 3
    image[T1W, 4:, 4:, 4:], image[T1WCE, 4:, 4:, 4:] = 2, 2.5
    image[FLAIR, :4, :4, 4:] = -1
    shares[2, 0, 0, 0], shares[2, 1, 1, 1] = 1.0, 0.5
    shares[1, 0, 0, 1] = 1.0
    found = features_of(image, shares)
    assert found["T1wCE in enhancing"] == pytest.approx((3 + 0.5 * 2.5) / 1.5)
    assert found["T1w in enhancing"] == pytest.approx((1 + 0.5 * 2) / 1.5)
    assert found["FLAIR in edema"] == pytest.approx(-1)
    # Enhancing tumor: 2 in one voxel and 1/2 in half of one; edema: none.
    assert found["enhancement over edema"] == pytest.approx((2 + 0.25) / 1.5)


def test_without_a_tumor_every_feature_is_zero():
    image, shares = a_tiny_head()
    assert set(features_of(image, shares).values()) == {0.0}
    assert set(features_of(np.zeros_like(image), shares).values()) == {0.0}


def test_texture_by_hand():
    """Values 0, 0, 1, 3 in a row, a region that holds the first three, then all four."""
    row = np.array([[[0, 0, 1, 3]]], np.float32)
    three, four = np.array([[[1, 1, 1, 0]]], np.float32), np.ones((1, 1, 4), np.float32)
    assert entropy(row, three) == pytest.approx(-(2 / 3 * np.log2(2 / 3) + 1 / 3 * np.log2(1 / 3)))
    assert entropy(row, four) == pytest.approx(1.5)
    assert contrast(row, three) == pytest.approx((0 + 1) / 2)
    assert contrast(row, four) == pytest.approx((0 + 1 + 4) / 3)
    # Around the mean 1: -1, -1, 0, 2; squares 1, 1, 0, 4 and fourth powers 1, 1, 0, 16.
    assert kurtosis(row, four) == pytest.approx(18 / 4 / (6 / 4) ** 2 - 3)
    assert kurtosis(np.ones_like(row), four) == 0


def test_half_a_voxel_counts_half_in_texture():
    row, share = np.array([[[0, 2, 2]]], np.float32), np.array([[[0.5, 1, 0.5]]], np.float32)
    assert entropy(row, share) == pytest.approx(-(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75)))
    assert contrast(row, share) == pytest.approx(0.5 * 4 / (0.5 + 0.5))


def a_case(number, mgmt, size=16):
    """Methylated patients have a larger necrosis and brighter FLAIR in edema; the rest is noise."""
    rng = np.random.default_rng(number)
    image = rng.standard_normal((4, size, size, size)).astype(np.float32)
    shares = np.zeros((3, size // 4, size // 4, size // 4), np.float32)
    shares[0, 1, 1, 1] = 0.3 + 0.3 * bool(mgmt) + 0.1 * rng.random()
    shares[2, 1, 1, 2] = 0.8
    shares[1, 2, 2] = 0.9
    if mgmt:
        image[FLAIR, 8:12, 8:12] += 0.5
    return TrainingCase(torch.from_numpy(image), torch.from_numpy(shares), mgmt, 1)


CASES = [a_case(number, number % 2) for number in range(24)]


def test_a_table_has_a_row_a_case_and_a_column_a_name():
    names, table = feature_table(CASES, true_maps(CASES))
    assert table.shape == (24, len(names))
    assert len(names) == len(set(names)) == 30
    assert table[3].tolist() == list(features_of(CASES[3].image.numpy(), CASES[3].tumor_map.numpy()).values())


def test_the_linear_model_tells_unseen_patients_apart_and_repeats():
    first, again = (train_hand_crafted(CASES, true_maps(CASES), 1) for _ in range(2))
    assert first.weights.tolist() == again.weights.tolist()
    unseen = [a_case(100 + number, number % 2) for number in range(10)]
    scores = first.methylation([case.image.numpy() for case in unseen], true_maps(unseen))
    assert min(scores[1::2]) > max(scores[::2])
    assert first.weights[first.names.index("necrosis volume")] > 0


def test_the_model_is_scikit_learns_own_pipeline_at_the_chosen_strength():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    trained = train_hand_crafted(CASES, true_maps(CASES), 1)
    _, table = feature_table(CASES, true_maps(CASES))
    twin = make_pipeline(
        StandardScaler(), LogisticRegression(C=trained.strength, class_weight="balanced", max_iter=5000)
    ).fit(table, [case.mgmt for case in CASES])
    images = [case.image.numpy() for case in CASES]
    assert trained.methylation(images, true_maps(CASES)) == pytest.approx(twin.predict_proba(table)[:, 1].tolist())


def test_whoever_has_no_label_is_left_out_and_too_few_are_refused():
    more = [*CASES, a_case(50, None)]
    assert (
        train_hand_crafted(more, true_maps(more), 1).weights.tolist()
        == train_hand_crafted(CASES, true_maps(CASES), 1).weights.tolist()
    )
    few = CASES[:3]
    with pytest.raises(DataError, match="1 methylated and 2 unmethylated"):
        train_hand_crafted(few, true_maps(few), 1)


def test_a_networks_own_maps_can_take_the_masks_place():
    model = build_model(ModelSettings(preset="tiny"), 1)
    images = [case.image.numpy() for case in CASES[:9]]
    maps = found_maps(model, images)
    assert np.allclose(maps, predict_scores(model, torch.from_numpy(np.stack(images))).tumor_map, atol=1e-6)
    with pytest.raises(DataError, match="1 of 2 cases have no tumor mask"):
        true_maps([CASES[0], TrainingCase(CASES[0].image, None, 1, None)])


def test_a_standardized_difference_by_hand():
    """Means 3 and 1, squares 2 + 2 over 4: a spread of 1; six cases shrink it by 1 - 3 / 15."""
    value, (low, high) = standardized_difference([2, 3, 4], [0, 1, 2])
    assert value == pytest.approx(2 * 0.8)
    half = 1.959964 * (6 / 9 + 1.6**2 / 12) ** 0.5
    assert (low, high) == pytest.approx((1.6 - half, 1.6 + half), abs=1e-5)
    assert standardized_difference([1, 1], [1, 1])[0] == 0


def test_features_by_label_find_what_was_planted_and_nothing_else():
    found = {
        each.name: each for each in features_by_label([*CASES, a_case(50, None)], true_maps([*CASES, a_case(50, None)]))
    }
    planted = {name for name, each in found.items() if each.p < 0.05}
    assert {"necrosis volume", "necrosis in core", "FLAIR in edema"} <= planted
    assert planted <= {"necrosis volume", "necrosis in core", "FLAIR in edema", "edema in tumor"}
    volume = found["necrosis volume"]
    mean = np.mean([case.tumor_map[0].sum().item() / 64 for case in CASES if case.mgmt])
    assert volume.methylated == pytest.approx(mean, abs=1e-4)
    assert volume.methylated > volume.unmethylated
    assert volume.interval[0] > 0


def test_the_report_names_every_feature():
    part = features_by_label_part(CASES, true_maps(CASES), "the experts' masks")
    table = next(piece for piece in part.content if isinstance(piece, Table))
    assert len(table.rows) == 30
    assert "12 methylated and 12 unmethylated" in part.content[0]
    assert any(isinstance(piece, Picture) for piece in part.content)
