"""Each strategy beside a naive twin that reads like its paper, one parameter and one round at a time."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.study import FedAdam, FedAvg, FedAvgM, FedProx, StrategySettings
from core.updates import PIECE
from fl_server.server_optimizers import server_optimizer

Rounds = list[list[float]]


def fedavg(start: list[float], averages: Rounds, settings: FedAvg) -> Rounds:
    """McMahan 2017: the average is the next model."""
    return averages


def fedavgm(start: list[float], averages: Rounds, settings: FedAvgM) -> Rounds:
    """Hsu 2019: v <- beta v + dw; w <- w - eta v."""
    weights, velocity, out = list(start), [0.0] * len(start), []
    for average in averages:
        for i, theirs in enumerate(average):
            velocity[i] = settings.momentum * velocity[i] + (weights[i] - theirs)
            weights[i] = weights[i] - settings.learning_rate * velocity[i]
        out.append(list(weights))
    return out


def fedadam(start: list[float], averages: Rounds, settings: FedAdam) -> Rounds:
    """Reddi 2021, algorithm 2: x <- x + eta m / (sqrt(v) + tau), with D the mean change of the sites."""
    weights, m, v, out = list(start), [0.0] * len(start), [settings.tau**2] * len(start), []
    for average in averages:
        for i, theirs in enumerate(average):
            change = theirs - weights[i]
            m[i] = settings.beta1 * m[i] + (1 - settings.beta1) * change
            v[i] = settings.beta2 * v[i] + (1 - settings.beta2) * change * change
            weights[i] = weights[i] + settings.learning_rate * m[i] / (sqrt(v[i]) + settings.tau)
        out.append(list(weights))
    return out


def ours(start: list[float], averages: Rounds, settings: StrategySettings) -> Rounds:
    optimizer = server_optimizer(settings)
    state, out = optimizer.init(np.array(start, np.float32)), []
    for average in averages:
        state = optimizer.apply(state, np.array(average, np.float32))
        out.append(state.weights.tolist())
    return out


numbers = st.floats(-3, 3, width=32)
rounds = st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=6)
share = st.floats(0, 0.95)
rate = st.floats(0.01, 2)


@given(st.lists(numbers, min_size=3, max_size=3), rounds)
def test_fedavg_and_fedprox_take_the_average(start: list[float], averages: Rounds) -> None:
    assert ours(start, averages, FedAvg()) == fedavg(start, averages, FedAvg())
    assert ours(start, averages, FedProx(mu=1.0)) == averages


@given(st.lists(numbers, min_size=3, max_size=3), rounds, rate, share)
def test_fedavgm_is_as_the_paper_has_it(start: list[float], averages: Rounds, eta: float, beta: float) -> None:
    settings = FedAvgM(learning_rate=eta, momentum=beta)
    expected = fedavgm(start, averages, settings)
    np.testing.assert_allclose(ours(start, averages, settings), expected, rtol=1e-4, atol=1e-3)


@given(st.lists(numbers, min_size=3, max_size=3), rounds, st.floats(0.001, 0.5), share, share)
def test_fedadam_is_as_the_paper_has_it(
    start: list[float], averages: Rounds, eta: float, beta1: float, beta2: float
) -> None:
    settings = FedAdam(learning_rate=eta, beta1=beta1, beta2=beta2, tau=0.1)
    expected = fedadam(start, averages, settings)
    np.testing.assert_allclose(ours(start, averages, settings), expected, rtol=1e-3, atol=1e-3)


def test_momentum_by_hand() -> None:
    # Weights 1, averages 0 and 0: v = 1, w = 1 - 1 = 0; then v = 0.5 * 1 + 0 = 0.5, w = -0.5.
    assert ours([1.0], [[0.0], [0.0]], FedAvgM(learning_rate=1, momentum=0.5)) == [[0.0], [-0.5]]


def test_adam_by_hand() -> None:
    # Change -1: m = 0.1 * -1; v = 0.9 * 0.01 + 0.1 * 1 = 0.109; step 0.2 * -0.1 / (sqrt(0.109) + 0.1).
    settings = FedAdam(learning_rate=0.2, beta1=0.9, beta2=0.9, tau=0.1)
    assert ours([1.0], [[0.0]], settings)[0][0] == pytest.approx(1 - 0.02 / (sqrt(0.109) + 0.1), abs=1e-6)


def test_without_momentum_and_at_full_rate_it_is_fedavg() -> None:
    average = np.random.default_rng(0).normal(size=7).astype(np.float32)
    plain = ours([0.0] * 7, [average.tolist()], FedAvgM(learning_rate=1, momentum=0))
    np.testing.assert_allclose(plain[0], average, atol=1e-7)


@pytest.mark.parametrize("settings", [FedAvgM(), FedAdam()])
def test_a_large_model_is_treated_alike_in_every_piece(settings: StrategySettings) -> None:
    optimizer = server_optimizer(settings)
    start, average = np.full(2 * PIECE + 3, 2, np.float32), np.full(2 * PIECE + 3, 1.5, np.float32)
    state = optimizer.apply(optimizer.apply(optimizer.init(start), average), average)
    assert np.ptp(state.weights) == 0
    assert state.weights[0] != 2
    assert all(values.dtype == np.float32 for values in (state.weights, *state.memory.values()))


@pytest.mark.parametrize("settings", [FedAvg(), FedAvgM(), FedAdam()])
def test_neither_function_changes_what_it_is_given(settings: StrategySettings) -> None:
    optimizer = server_optimizer(settings)
    start, average = np.ones(3, np.float32), np.zeros(3, np.float32)
    begun = optimizer.init(start)
    before = {name: values.copy() for name, values in begun.memory.items()}
    optimizer.apply(begun, average)
    assert start.tolist() == [1, 1, 1]
    assert average.tolist() == [0, 0, 0]
    assert all(np.array_equal(begun.memory[name], values) for name, values in before.items())
