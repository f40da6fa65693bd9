"""Federated averaging: the mean of the sites' weights, each site counting by its number of examples.

Sums run in float64 in the order of the sites' names, so not one bit depends on who answers first.

Source: McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data, algorithm 1.
"""

from collections.abc import Mapping

import numpy as np

from core.messages import Flat, Update
from core.updates import PIECE


class RunningSum:
    """The part of a weighted mean that is known so far.

    Args:
        size: number of parameters.
    """

    def __init__(self, size: int) -> None:
        self._weighted = np.zeros(size)
        self._examples = 0

    def add(self, weights: Flat, examples: int) -> None:
        """Add one more site.

        Args:
            weights: float32 [parameters].
            examples: how many cases the site trained on, at least 1.
        """
        for start in range(0, weights.size, PIECE):
            piece = slice(start, start + PIECE)
            self._weighted[piece] += np.multiply(weights[piece], examples, dtype=np.float64)
        self._examples += examples

    def mean(self) -> Flat:
        """Return the weighted mean over the sites that were added, at least one: float32 [parameters]."""
        average = np.empty(self._weighted.size, np.float32)
        return np.divide(self._weighted, self._examples, out=average, dtype=np.float64, casting="same_kind")


def federated_average(updates: Mapping[str, Update], size: int) -> Flat:
    """Average the updates of at least one site.

    Args:
        updates: by site; looked up one at a time, so that a mapping may keep them on disk.
        size: number of parameters.
    Returns: float32 [size].
    """
    running = RunningSum(size)
    for site in sorted(updates):
        update = updates[site]
        running.add(update.weights, update.examples)
    return running.mean()
