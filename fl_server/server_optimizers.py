"""From the weights before a round and the sites' average to the weights after it: two pure functions a strategy.

`init` makes the state of a run, `apply` the next state from the last one and a round's average. The difference of
weights and average is taken as a gradient, which the server descends with an optimizer of its own; FedAvg and FedProx,
which differs at the sites, descend it whole.

Sources: McMahan et al. 2017 (FedAvg); Li et al. 2020, arXiv:1812.06127 (FedProx); Hsu, Qi and Brown 2019,
arXiv:1909.06335 (FedAvgM); Reddi et al. 2021, arXiv:2003.00295, algorithm 2 (FedAdam, without bias correction); Ro,
Suresh and Wu 2021, arXiv:2108.02117 (the shape).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from core.messages import Flat
from core.study import FedAdam, FedAvgM, StrategySettings
from core.updates import PIECE


@dataclass(frozen=True)
class ServerState:
    """All that a strategy carries from round to round.

    Attributes:
        weights: float32 [parameters].
        memory: what the server's optimizer remembers, by name, each float32 [parameters].
    """

    weights: Flat
    memory: Mapping[str, Flat] = field(default_factory=dict)


class ServerOptimizer(NamedTuple):
    """A strategy, as pure functions.

    Attributes:
        init: the state before the first round, given the initial weights.
        apply: the state after a round, given the state before it and the sites' average, float32 [parameters].
    """

    init: Callable[[Flat], ServerState]
    apply: Callable[[ServerState, Flat], ServerState]


def server_optimizer(strategy: StrategySettings) -> ServerOptimizer:
    """Return the two functions of the strategy that a study names."""
    if isinstance(strategy, FedAvgM):
        return _momentum(strategy)
    if isinstance(strategy, FedAdam):
        return _adam(strategy)
    return ServerOptimizer(ServerState, lambda _state, average: ServerState(average))


def _momentum(settings: FedAvgM) -> ServerOptimizer:
    def init(weights: Flat) -> ServerState:
        return ServerState(weights, {"momentum": np.zeros_like(weights)})

    def apply(state: ServerState, average: Flat) -> ServerState:
        after, momentum = np.empty_like(average), np.empty_like(average)
        for piece in _pieces(average.size):
            before = state.weights[piece].astype(np.float64)
            moved = settings.momentum * state.memory["momentum"][piece] + (before - average[piece])
            momentum[piece] = moved
            after[piece] = before - settings.learning_rate * moved
        return ServerState(after, {"momentum": momentum})

    return ServerOptimizer(init, apply)


def _adam(settings: FedAdam) -> ServerOptimizer:
    def init(weights: Flat) -> ServerState:
        # Algorithm 2 asks for no more than v >= tau squared at the beginning.
        spread = np.full_like(weights, settings.tau**2)
        return ServerState(weights, {"momentum": np.zeros_like(weights), "spread": spread})

    def apply(state: ServerState, average: Flat) -> ServerState:
        after, momentum, spread = (np.empty_like(average) for _ in range(3))
        for piece in _pieces(average.size):
            before = state.weights[piece].astype(np.float64)
            gradient = before - average[piece]
            first = settings.beta1 * state.memory["momentum"][piece] + (1 - settings.beta1) * gradient
            second = settings.beta2 * state.memory["spread"][piece] + (1 - settings.beta2) * gradient**2
            momentum[piece], spread[piece] = first, second
            after[piece] = before - settings.learning_rate * first / (np.sqrt(second) + settings.tau)
        return ServerState(after, {"momentum": momentum, "spread": spread})

    return ServerOptimizer(init, apply)


def _pieces(size: int) -> Iterator[slice]:
    """Yield what is worked on in float64 at once: a large model must not be held several times."""
    for start in range(0, size, PIECE):
        yield slice(start, start + PIECE)
