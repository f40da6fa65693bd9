"""What a patient's privacy has cost, and how much noise keeps a study within what it may cost.

Every number is Opacus's: its PRV accountant, checked against its RDP accountant, which is the looser of the two and
what counts where PRV's numerical grid cannot be trusted. Both bound the Poisson-subsampled Gaussian mechanism under
adding or removing one patient. No estimate by the central limit theorem (GDP) is used: it can lie below the truth.

Sources: Abadi 2016 (DP-SGD), Mironov 2019 (RDP), Gopi 2021 (PRV).
"""

import math
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from opacus.accountants import PRVAccountant, RDPAccountant

from core.errors import PrivacySpent
from core.study import PrivacySettings

# PRV's own error bounds: of epsilon, and of delta as a share of it.
EPSILON_ERROR, DELTA_ERROR = 0.01, 1e-3
# PRV is below RDP, but never far below: elsewhere its grid has failed, and RDP counts.
LEAST_SHARE_OF_RDP = 0.3
# Beyond it PRV needs large grids, for numbers that protect nobody.
PRV_UP_TO = 30.0
MOST_NOISE = 1e4


@dataclass(frozen=True)
class Spend:
    """Steps of the Poisson-subsampled Gaussian mechanism on a patient's data.

    Attributes:
        noise: its standard deviation over the clipping norm; 0 for a release without noise.
        sampling_rate: with which each step draws the patient.
        steps: how many.
    """

    noise: float
    sampling_rate: float
    steps: int


@dataclass(frozen=True)
class PrivacyBudget:
    """What a patient's privacy may cost.

    Attributes:
        epsilon, delta: both over all steps that it is for; an infinite epsilon is no limit.
    """

    epsilon: float
    delta: float


def epsilon_of(spends: Iterable[Spend], delta: float) -> float:
    """Return an upper bound of the epsilon that spends on the same patient come to; infinite after one without noise.

    Args:
        spends: in any order.
        delta: at which it holds, above 0.
    """
    steps = Counter[tuple[float, float]]()
    for spend in spends:
        if spend.steps and spend.noise <= 0:
            return math.inf
        steps[spend.noise, spend.sampling_rate] += spend.steps
    history = tuple((noise, rate, count) for (noise, rate), count in sorted(steps.items()) if count)
    return _accounted(history, delta) if history else 0.0


@lru_cache(maxsize=4096)
def _accounted(history: tuple[tuple[float, float, int], ...], delta: float) -> float:
    rdp, prv = RDPAccountant(), PRVAccountant()
    rdp.history, prv.history = list(history), list(history)
    # Both take the logarithm of 0 on their way, and RDP says where another order would be tighter; neither is wrong.
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        bound = float(rdp.get_epsilon(delta))
        if not bound <= PRV_UP_TO:
            return bound
        try:
            found = float(prv.get_epsilon(delta, eps_error=EPSILON_ERROR, delta_error=delta * DELTA_ERROR))
        except (RuntimeError, ValueError, ArithmeticError, MemoryError):
            return bound
    return found if LEAST_SHARE_OF_RDP * bound <= found <= bound + 5 * EPSILON_ERROR else bound


def noise_for(budgets: Iterable[PrivacyBudget], sampling_rate: float, steps: int) -> float:
    """Return the least noise, to a thousandth, with which steps stay within every budget: the strictest decides.

    Args:
        budgets: of patients who have spent nothing; one without a limit asks for nothing.
        sampling_rate, steps: as in `Spend`.
    Raises: PrivacySpent: no noise is enough.
    """
    return max((_least_noise(one, sampling_rate, steps) for one in budgets if math.isfinite(one.epsilon)), default=0.0)


@lru_cache(maxsize=256)
def _least_noise(budget: PrivacyBudget, sampling_rate: float, steps: int) -> float:
    def fits(noise: float) -> bool:
        return epsilon_of([Spend(noise, sampling_rate, steps)], budget.delta) <= budget.epsilon

    low, high = 0.1, 1.0
    while not fits(high):
        low, high = high, 2 * high
        if high > MOST_NOISE:
            raise PrivacySpent(
                f"No noise keeps {steps} steps within an epsilon of {budget.epsilon:g}",
                fix="ask for fewer steps or rounds, or for a larger epsilon",
            )
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return math.ceil(high * 1e4) / 1e4


def planned_steps(privacy: PrivacySettings, rounds: int) -> int:
    """Return how many steps a study's noise must suffice for: its own, and one round in ten to be trained again.

    A round whose training was cut short is charged again, and must not cost the site the last one.
    """
    return privacy.steps_per_round * (rounds + rounds // 10)
