"""Federated averaging: the mean of the sites' weights, each site counting by its number of examples.

Sums run in float64 in the order of the sites' names, so not one bit depends on who answers first.

Source: McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data, algorithm 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.messages import Flat, Update


@dataclass(frozen=True)
class RunningSum:
    """The part of a weighted mean that is known so far.

    Attributes:
        weighted: float64 [parameters], the sum of examples times weights.
        examples: the sum of examples.
    """

    weighted: NDArray[np.float64]
    examples: int


def empty_sum(size: int) -> RunningSum:
    """Return the sum over no sites.

    Args:
        size: number of parameters.
    """
    return RunningSum(np.zeros(size), 0)


def add_site(running: RunningSum, weights: Flat, examples: int) -> RunningSum:
    """Return the sum with one more site in it.

    Args:
        running: the sum so far.
        weights: float32 [parameters].
        examples: how many cases the site trained on, at least 1.
    """
    return RunningSum(running.weighted + weights.astype(np.float64) * examples, running.examples + examples)


def mean(running: RunningSum) -> Flat:
    """Return the weighted mean over the sites that were added, at least one: float32 [parameters]."""
    return (running.weighted / running.examples).astype(np.float32)


def federated_average(updates: Mapping[str, Update], size: int) -> Flat:
    """Average the updates of at least one site.

    Args:
        updates: by site; looked up one at a time, so that a mapping may keep them on disk.
        size: number of parameters.
    Returns: float32 [size].
    """
    running = empty_sum(size)
    for site in sorted(updates):
        update = updates[site]
        running = add_site(running, update.weights, update.examples)
    return mean(running)
