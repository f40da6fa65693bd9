"""What a patient's privacy has cost: against the exact Gaussian mechanism, RDP, and what any accountant must be."""

import math

import pytest
from opacus.accountants import RDPAccountant
from scipy.optimize import brentq
from scipy.stats import norm

from core.errors import PrivacySpent
from core.learning import privacy
from core.learning.privacy import PrivacyBudget, Spend, epsilon_of, noise_for, planned_steps
from core.study import PrivacySettings

DELTA = 1e-5


def exact_gaussian(noise: float, steps: int, delta: float) -> float:
    """The exact epsilon of steps that draw everybody: one Gaussian mechanism of noise / sqrt(steps). Balle 2018."""
    mu = math.sqrt(steps) / noise

    def excess(epsilon: float) -> float:
        return norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu) - delta

    return float(brentq(excess, 0, 100))


@pytest.mark.parametrize(("noise", "steps"), [(6.0118, 100), (20.0, 27), (3.0, 25), (1.0, 1)])
def test_without_sampling_it_is_the_exact_gaussian_mechanism_s_or_a_hair_above(noise: float, steps: int) -> None:
    exact = exact_gaussian(noise, steps, DELTA)
    assert exact <= epsilon_of([Spend(noise, 1.0, steps)], DELTA) <= exact + 0.03


def test_a_published_value_is_met() -> None:
    # 60,000 pictures in batches of 256, noise 1.1, 15 epochs, delta 1e-5: 1.13 by PRV, where Abadi's moments say 1.19.
    found = epsilon_of([Spend(1.1, 256 / 60_000, 15 * 60_000 // 256)], DELTA)
    assert found == pytest.approx(1.13, abs=0.03)


@pytest.mark.parametrize("spend", [Spend(1.2, 0.2, 100), Spend(0.8, 0.1, 50), Spend(20.0, 1.0, 27)])
def test_it_is_never_above_what_renyi_s_way_allows(spend: Spend) -> None:
    rdp = RDPAccountant()
    rdp.history = [(spend.noise, spend.sampling_rate, spend.steps)]
    assert epsilon_of([spend], DELTA) <= rdp.get_epsilon(DELTA) + 0.05


def test_spends_add_up_whatever_their_order_and_however_they_are_cut() -> None:
    one, other = Spend(5.0, 1.0, 10), Spend(3.0, 0.5, 4)
    together = epsilon_of([one, other], DELTA)
    assert together == epsilon_of([other, *[Spend(5.0, 1.0, 1)] * 10], DELTA)
    assert together > max(epsilon_of([one], DELTA), epsilon_of([other], DELTA))
    assert epsilon_of([], DELTA) == epsilon_of([Spend(5.0, 1.0, 0)], DELTA) == 0


def test_what_was_not_noised_has_no_bound() -> None:
    assert math.isinf(epsilon_of([Spend(5.0, 1.0, 10), Spend(0.0, 1.0, 1)], DELTA))


@pytest.mark.parametrize("found", [math.nan, 0.01, math.inf])
def test_where_prv_cannot_be_trusted_renyi_s_bound_counts(monkeypatch: pytest.MonkeyPatch, found: float) -> None:
    monkeypatch.setattr(privacy.PRVAccountant, "get_epsilon", lambda *_, **__: found)
    privacy._accounted.cache_clear()
    rdp = RDPAccountant()
    rdp.history = [(7.7, 1.0, 13)]
    assert epsilon_of([Spend(7.7, 1.0, 13)], DELTA) == rdp.get_epsilon(DELTA)
    privacy._accounted.cache_clear()


@pytest.mark.parametrize("epsilon", [1.0, 3.0, 8.0])
def test_the_noise_that_is_planned_is_enough_and_not_a_hundredth_more(epsilon: float) -> None:
    noise = noise_for([PrivacyBudget(epsilon, DELTA)], 1.0, 27)
    assert epsilon_of([Spend(noise, 1.0, 27)], DELTA) <= epsilon
    assert epsilon_of([Spend(0.99 * noise, 1.0, 27)], DELTA) > epsilon


def test_the_stricter_of_two_budgets_decides_in_either_order_and_by_either_of_its_numbers() -> None:
    loose, strict, unlikely = PrivacyBudget(8.0, DELTA), PrivacyBudget(3.0, DELTA), PrivacyBudget(8.0, 1e-7)
    alone = [noise_for([one], 1.0, 10) for one in (loose, strict, unlikely)]
    assert noise_for([loose, strict], 1.0, 10) == noise_for([strict, loose], 1.0, 10) == alone[1] > alone[0]
    assert noise_for([loose, unlikely], 1.0, 10) == alone[2] > alone[0]
    assert noise_for([PrivacyBudget(math.inf, DELTA)], 1.0, 10) == 0


def test_no_noise_is_planned_where_none_would_do() -> None:
    with pytest.raises(PrivacySpent, match="No noise keeps"):
        noise_for([PrivacyBudget(1e-4, DELTA)], 1.0, 10_000)


def test_one_round_in_ten_may_be_trained_again() -> None:
    settings = PrivacySettings(steps_per_round=2)
    assert [planned_steps(settings, rounds) for rounds in (1, 9, 10, 25)] == [2, 18, 22, 54]
