"""What a case must look like, by hand and on synthetic patients: seldom wrong about others, and right about faults."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import t as student

from core.imaging import volume
from core.learning import likeness
from core.learning.likeness import (
    BINS,
    KINDS,
    LEVEL,
    STATISTICS,
    Likeness,
    fit_likeness,
    likeness_counts,
    statistics_of,
    unlike,
)
from core.learning.metrics import add
from core.messages import Counts
from core.updates import VALIDATION, check_counts
from simulations.tensors import make_cases

Image = NDArray[np.float32]
T1W, T1WCE, T2W, FLAIR = range(4)


def scaled(channel: Image, brain: NDArray[np.bool_]) -> Image:
    """As preparation leaves a sequence: mean 0 and deviation 1 in the brain, 0 outside."""
    inside = channel[brain]
    return np.where(brain, (channel - inside.mean()) / inside.std(), 0).astype(np.float32)


@cache
def hospital(number: int, seed: int = 5) -> tuple[Image, ...]:
    return tuple(case.image.numpy() for case in make_cases(seed, number, 8, 2, 0.9, size=32))


@cache
def fitted() -> Likeness:
    """To three hospitals' patients."""
    return fit_likeness(likeness_counts(image for number in range(3) for image in hospital(number)))


def changed(image: Image, sequence: int, change: Callable[[Image], Image]) -> Image:
    brain = (image != 0).any(0)
    result = image.copy()
    result[sequence] = scaled(change(image[sequence]), brain)
    return result


def noise(level: float) -> Callable[[Image], Image]:
    rng = np.random.default_rng(1)
    return lambda channel: channel + np.float32(level) * rng.standard_normal(channel.shape, dtype=np.float32)


def an_image(rng: np.random.Generator, size: int = 12) -> Image:
    image = rng.standard_normal((4, size, size, size)).astype(np.float32)
    image[:, :2] = 0
    return image


def test_the_statistics_worked_by_hand() -> None:
    """A brain of two voxels side by side, 1 and 3 on T1w and T2w, the other way round on the others."""
    image = np.zeros((4, 4, 4, 4), np.float32)
    for sequence, pair in enumerate(((1, 3), (3, 1), (1, 3), (5, 1))):
        image[sequence, 1, 1, 1:3] = pair
    found = statistics_of(image)
    most = np.arctanh(0.9999)
    assert found["similarity_T1w_T2w"] == found["similarity_T1wCE_FLAIR"] == pytest.approx(most)
    # The range of its histogram ends before the Fisher z of a correlation of -1.
    assert found["similarity_T1w_T1wCE"] == found["similarity_T2w_FLAIR"] == -3 > -most
    # One pair of neighbors: the squared step is four times the variance, however bright the sequence.
    assert found["sharpness_T1w"] == pytest.approx(np.log(4))
    assert found["sharpness_FLAIR"] == pytest.approx(np.log(4))
    # Both voxels are equally far from the middle.
    assert found["outwards_T1w"] == pytest.approx(0)
    assert found["share"] == pytest.approx(2 / 64)


def test_the_statistics_are_those_of_a_naive_twin() -> None:
    image = an_image(np.random.default_rng(2))
    found, brain = statistics_of(image), (image != 0).any(0)
    inside = [channel[brain] for channel in image]
    assert found["similarity_T1w_FLAIR"] == pytest.approx(np.arctanh(np.corrcoef(inside[0], inside[3])[0, 1]), abs=1e-4)
    middle = np.argwhere(brain).mean(0)
    away = [float(np.linalg.norm(place - middle)) for place in np.argwhere(brain)]
    assert found["outwards_T2w"] == pytest.approx(np.arctanh(np.corrcoef(inside[2], away)[0, 1]), abs=1e-4)
    steps = []
    for place in np.argwhere(brain):
        for axis in range(3):
            beside = tuple(place + np.eye(3, dtype=int)[axis])
            if max(beside) < image.shape[1] and brain[beside]:
                steps.append((image[1][beside] - image[1][tuple(place)]) ** 2)
    assert found["sharpness_T1wCE"] == pytest.approx(np.log(np.mean(steps) / inside[1].var()), abs=1e-4)


def test_the_channels_are_those_of_a_prepared_case() -> None:
    assert likeness.SEQUENCES == volume.SEQUENCES


@given(st.lists(st.floats(0.1, 10), min_size=4, max_size=4), st.integers(0, 99))
def test_brightness_and_scale_of_a_sequence_do_not_matter(factors: list[float], seed: int) -> None:
    image = an_image(np.random.default_rng(seed))
    other = image * np.array(factors, np.float32)[:, None, None, None]
    first, second = statistics_of(image), statistics_of(other)
    assert all(first[name] == pytest.approx(second[name], abs=1e-3) for name in STATISTICS)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_blank_image_has_statistics_too(value: float) -> None:
    found = statistics_of(np.full((4, 8, 8, 8), value, np.float32))
    assert set(found) == set(STATISTICS)
    assert np.isfinite(list(found.values())).all()


def test_counts_of_cases_add_and_are_what_both_sides_agreed_on() -> None:
    images = [an_image(np.random.default_rng(seed)) for seed in range(5)]
    whole = likeness_counts(images)
    assert add(likeness_counts(images[:2]), likeness_counts(images[2:])) == whole
    layout = {name: length for name, length in VALIDATION.items() if name.startswith("likeness_")}
    assert len(layout) == len(STATISTICS) == 15
    check_counts(whole, layout, "validation")
    assert all(sum(histogram) == 5 for histogram in whole.values() if isinstance(histogram, list))


@settings(max_examples=20)
@given(st.lists(st.integers(0, BINS - 1), min_size=2, max_size=30))
def test_the_limits_are_students_prediction_interval(bins: list[int]) -> None:
    (low, high) = KINDS["share"][0]
    counts: Counts = {"likeness_share": np.bincount(bins, minlength=BINS).astype(float).tolist()}
    fit = fit_likeness(counts)
    width = (high - low) / BINS
    values = low + width * (np.array(bins) + 0.5)
    quantile = student.ppf(1 - LEVEL / 15 / 2, len(bins) - 1)
    reach = quantile * np.sqrt((values.var(ddof=1) + width**2 / 12) * (1 + 1 / len(bins)))
    assert fit.limits == {"share": pytest.approx((values.mean() - reach, values.mean() + reach))}


@pytest.mark.parametrize("cases", [0, 1])
def test_of_fewer_than_two_cases_nothing_is_expected_and_nothing_unlike(cases: int) -> None:
    images = [an_image(np.random.default_rng(seed)) for seed in range(cases)]
    fit = fit_likeness(likeness_counts(images))
    assert fit.limits == {}
    assert unlike(fit, hospital(0)[0], "validation patients") == ()


def test_unseen_patients_of_the_same_and_of_an_unseen_hospital_are_seldom_called_unlike() -> None:
    unseen = [*hospital(0, 9), *hospital(1, 9), *hospital(2, 9), *hospital(3), *hospital(3, 9)]
    wrong = [unlike(fitted(), image, "validation patients") for image in unseen]
    assert sum(bool(reasons) for reasons in wrong) <= len(unseen) * 0.1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda image: image[[T1W, T2W, T1WCE, FLAIR]], "T1wCE"),
        (lambda image: image[[T1W, T1WCE, FLAIR, T2W]], "T2w"),
        (lambda image: changed(image, FLAIR, lambda _: image[T1W] * 3), "T1w and FLAIR look more alike than in its"),
        (lambda image: changed(image, T1WCE, lambda _: image[T1W]), "T1w and T1wCE look more alike than in its"),
        (lambda image: changed(image, T2W, lambda channel: -channel), "T2w"),
        (lambda image: changed(image, T1W, noise(2)), "T1w is noisier or sharper than in its"),
        (
            lambda image: changed(image, FLAIR, lambda c: ndimage.gaussian_filter(c, 2)),
            "FLAIR is more blurred than in its",
        ),
        (lambda image: np.where(np.abs(np.indices(image.shape[1:]) - 16).max(0) < 15, noise(1)(image), 0), "noisier"),
    ],
    ids=[
        "T1wCE and T2w swapped",
        "T2w and FLAIR swapped",
        "T1w as FLAIR",
        "T1w as T1wCE",
        "inverted",
        "noise",
        "blur",
        "a cube",
    ],
)
def test_what_is_no_scan_like_the_others_is_found_and_told(change: Callable[[Image], Image], told: str) -> None:
    found = [unlike(fitted(), change(image).astype(np.float32), "validation patients") for image in hospital(1, 9)]
    assert np.mean([bool(reasons) for reasons in found]) >= 0.9
    sentences = [sentence for reasons in found for sentence in reasons]
    assert any(told in sentence for sentence in sentences)
    assert all(s.startswith("unlike the training data: ") and s.endswith("its validation patients") for s in sentences)
