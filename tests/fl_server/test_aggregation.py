from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.messages import Flat, Update
from core.updates import PIECE
from fl_server.aggregation import RunningSum, federated_average

SIZE = 5
values = st.floats(-1e6, 1e6, width=32)
sites = st.dictionaries(
    st.text("abcdef-0123456789", min_size=1, max_size=6),
    st.tuples(arrays(np.float32, SIZE, elements=values), st.integers(1, 5000)),
    min_size=1,
    max_size=6,
)


def update_of(site: str, weights: Flat, examples: int) -> Update:
    return Update(site, 1, weights, "", examples, {}, {}, {}, "0" * 64)


def average(contributions: dict[str, tuple[Flat, int]]) -> Flat:
    return federated_average({site: update_of(site, *given) for site, given in contributions.items()}, SIZE)


def exact_average(contributions: dict[str, tuple[Flat, int]]) -> list[Fraction]:
    """McMahan's algorithm 1 as it is printed, in exact fractions: the sum over sites of n_k / n times w_k."""
    n = sum(examples for _, examples in contributions.values())
    return [
        sum((Fraction(n_k, n) * Fraction(float(w_k[i])) for w_k, n_k in contributions.values()), Fraction(0))
        for i in range(SIZE)
    ]


def test_two_sites_average_by_their_numbers_of_examples() -> None:
    a, b = np.array([1, 0, 4, 8, -2], np.float32), np.array([5, 4, 0, 8, 2], np.float32)
    np.testing.assert_array_equal(average({"a": (a, 3), "b": (b, 1)}), np.array([2, 1, 3, 8, -1], np.float32))


@given(sites)
def test_the_average_is_the_exact_one_rounded_to_float32(contributions: dict[str, tuple[Flat, int]]) -> None:
    exact = np.array([float(value) for value in exact_average(contributions)])
    np.testing.assert_allclose(average(contributions), exact, rtol=2**-23, atol=1e-9)


@given(sites, st.randoms())
def test_the_order_of_arrival_changes_not_one_bit(contributions: dict[str, tuple[Flat, int]], random) -> None:
    arrived = list(contributions.items())
    random.shuffle(arrived)
    assert average(dict(arrived)).tobytes() == average(contributions).tobytes()


def test_sites_are_added_in_the_order_of_their_names() -> None:
    # 1e30 + 1 is 1e30 in float64: only where the large ones cancel first does the third site's one remain.
    weights = {"a": 1e30, "b": -1e30, "c": 1.0}
    for arrived in ("abc", "acb", "cab", "bca"):
        result = average({site: (np.full(SIZE, weights[site], np.float32), 7) for site in arrived})
        np.testing.assert_array_equal(result, np.full(SIZE, 1 / 3, np.float32))


@given(arrays(np.float32, SIZE, elements=values), st.integers(1, 1_000_000))
def test_one_site_alone_keeps_its_weights_to_the_last_bit(weights: Flat, examples: int) -> None:
    np.testing.assert_array_equal(average({"a": (weights, examples)}), weights)


@given(sites)
def test_no_weight_leaves_the_range_that_the_sites_span(contributions: dict[str, tuple[Flat, int]]) -> None:
    stacked = np.stack([weights for weights, _ in contributions.values()])
    result = average(contributions)
    assert (result >= stacked.min(0)).all()
    assert (result <= stacked.max(0)).all()


@given(sites, st.sampled_from([2, 4, 1024]))
def test_only_the_proportion_of_examples_matters(contributions: dict[str, tuple[Flat, int]], factor: int) -> None:
    scaled = {site: (weights, examples * factor) for site, (weights, examples) in contributions.items()}
    np.testing.assert_array_equal(average(scaled), average(contributions))


def test_a_sum_keeps_what_a_float32_sum_would_lose() -> None:
    # 2**24 + 1 is no float32: summed in float32, the small site would vanish.
    running = RunningSum(1)
    for weight in (2.0**24, 1.0, 1.0, -(2.0**24)):
        running.add(np.array([weight], np.float32), 1)
    np.testing.assert_array_equal(running.mean(), np.array([0.5], np.float32))


def test_in_pieces_the_average_has_the_bits_of_whole_arrays() -> None:
    rng = np.random.default_rng(3)
    given = {site: (rng.standard_normal(2 * PIECE + 5).astype(np.float32), n) for site, n in (("a", 3), ("b", 11))}
    whole = sum(weights.astype(np.float64) * examples for weights, examples in given.values()) / 14
    updates = {site: update_of(site, *contribution) for site, contribution in given.items()}
    assert federated_average(updates, 2 * PIECE + 5).tobytes() == whole.astype(np.float32).tobytes()


def test_the_result_is_float32_and_leaves_the_updates_alone() -> None:
    weights = np.ones(SIZE, np.float32)
    result = average({"a": (weights, 2), "b": (weights * 3, 2)})
    assert result.dtype == np.float32
    np.testing.assert_array_equal(weights, np.ones(SIZE, np.float32))
