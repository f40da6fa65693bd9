"""The audit of privacy: its bound against exact values and simulated clouds, and that it sees what is wrong."""

import json
from collections.abc import Iterator
from math import erf, erfc, exp, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.errors import FederationError
from core.learning.privacy import Spend, epsilon_of
from fl_client.differential_privacy import Mechanism, PrivateGradient, SecureRandom
from simulations import privacy_audit
from simulations.cli import app
from simulations.privacy_audit import (
    BUGS,
    CLIP,
    DELTA,
    LOUDNESS,
    MOST_EPSILON,
    STRONG,
    WEAK,
    DoubledClip,
    Effort,
    Finding,
    HalfNoise,
    StaleGradient,
    canary,
    examined,
    hardest,
    network,
    scores,
    table_of,
)
from simulations.privacy_audit_bound import MOST_DISTANCE, delta_of, epsilon_at, least_distance

torch.set_num_threads(1)

KEY = bytes(range(32))
SMALL = Effort(canaries=1000, steps=3, bugs_at=WEAK)


def tail(x: float) -> float:
    """The chance that a standard Gaussian is above x."""
    return erfc(x / sqrt(2)) / 2


def test_the_trade_off_has_the_values_that_can_be_worked_out_by_hand() -> None:
    """At epsilon 0 delta is the overlap that two Gaussians lack; at half the squared distance a term is one half."""
    for distance in (0.25, 1.0, 3.0):
        assert delta_of(0.0, distance) == pytest.approx(erf(distance / sqrt(8)), rel=1e-12)
        halfway = 0.5 - exp(distance**2 / 2) * tail(distance)
        assert delta_of(distance**2 / 2, distance) == pytest.approx(halfway, rel=1e-12)
        assert epsilon_at(halfway, distance) == pytest.approx(distance**2 / 2, rel=1e-9)
    assert epsilon_at(0.2384217081, 1.0) == pytest.approx(0.5, abs=1e-8)
    assert epsilon_at(erf(1 / sqrt(8)) + 1e-9, 1.0) == 0.0


def test_the_trade_off_is_the_excess_of_one_gaussian_over_e_to_the_epsilon_times_the_other() -> None:
    """The definition itself, summed up over a fine grid."""
    step = 1e-4
    places = np.arange(-12, 22, step)
    for epsilon, distance in ((0.3, 0.27), (1.0, 0.5), (8.0, 1.66), (25.0, 4.0)):
        other = np.exp(-(places**2) / 2)
        one = np.exp(-((places - distance) ** 2) / 2)
        excess = np.maximum(one - exp(epsilon) * other, 0).sum() * step / sqrt(2 * np.pi)
        assert delta_of(epsilon, distance) == pytest.approx(excess, rel=1e-4)
        assert epsilon_at(float(excess), distance) == pytest.approx(epsilon, rel=1e-4)


def test_the_trade_off_is_what_the_accountant_says_of_patients_in_every_step() -> None:
    for noise, steps in ((3.7, 1), (4.25, 50), (26.6, 50)):
        exact = epsilon_at(DELTA, sqrt(steps) / noise)
        assert exact <= epsilon_of([Spend(noise, 1.0, steps)], DELTA) <= exact + 0.03


@pytest.mark.parametrize("distance", [0.27, 1.66, 4.0])
def test_the_limit_is_above_the_truth_as_often_as_it_may_be(distance: float) -> None:
    """Of 1,500 at 5 %, 75 are expected; six standard deviations are 51."""
    rng = np.random.default_rng(5)
    above = sum(
        least_distance(rng.normal(3 + 2 * distance, 2, 40), rng.normal(3, 2, 60), 0.05) > distance for _ in range(1500)
    )
    assert 24 <= above <= 126


def test_the_limit_is_as_far_below_the_truth_as_a_thousandth_demands() -> None:
    """Of 500 and 500 in clouds 2 apart: the deviation of the distance is sqrt(4/1000 (1 + 2^2/8))."""
    rng = np.random.default_rng(6)
    limits = [least_distance(rng.normal(2, 1, 500), rng.normal(0, 1, 500), 1e-3) for _ in range(200)]
    deviation = sqrt(4 / 1000 * (1 + 2**2 / 8))
    assert np.mean(limits) == pytest.approx(2 - 3.09 * deviation, abs=0.03)
    assert max(limits) < 2 + deviation


def test_clouds_that_do_not_overlap_reach_the_cap_and_clouds_the_wrong_way_round_tell_nothing() -> None:
    one, other = np.array([1.0, 1.0, 1.0]), np.array([0.0, 0.0])
    assert least_distance(one, other, 1e-3) == MOST_DISTANCE
    assert least_distance(other, one, 1e-3) == 0.0
    assert least_distance(one, one, 1e-3) == 0.0
    rng = np.random.default_rng(7)
    near, far = rng.normal(0, 1, 300), rng.normal(1000, 1, 300)
    assert least_distance(far, near, 1e-3) == MOST_DISTANCE
    assert least_distance(near, far, 1e-3) == 0.0
    assert 90 < MOST_EPSILON == epsilon_at(DELTA, MOST_DISTANCE) < 93


def test_a_canarys_gradient_is_one_number_and_louder_than_the_clipping_norm() -> None:
    parameters = list(network().parameters())
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(canary(parameters, 4321)(), parameters)])
    assert gradient.nonzero().tolist() == [[4321]]
    assert gradient[4321] == LOUDNESS * CLIP > 2 * CLIP


def test_without_noise_a_canary_that_took_part_moved_the_model_by_the_clipping_norm_a_step() -> None:
    """Each canary's number moves by steps * learning rate * clip / patients: 2 * 1 * 1 / (8 + 30)."""
    included, left_out = scores(PrivateGradient, 0.0, Effort(60, 2, WEAK), SecureRandom(KEY))
    assert included.size + left_out.size == 60
    assert 15 < included.size < 45
    assert np.median(included) - np.median(left_out) == pytest.approx(2 / 38, rel=0.02)


def a_gradient(kind: type[PrivateGradient], noise: float = 1.0, numbers: int = 3) -> PrivateGradient:
    parameters = [torch.nn.Parameter(torch.zeros(numbers))]
    return kind(parameters, Mechanism(1.0, noise, 1.0, 1), SecureRandom(KEY))


def test_each_planted_bug_is_what_its_name_says() -> None:
    zeros = [torch.zeros(20_000)]
    assert a_gradient(PrivateGradient).noised([zeros[0].clone()])[0].std().item() == pytest.approx(1.0, rel=0.03)
    assert a_gradient(HalfNoise).noised([zeros[0].clone()])[0].std().item() == pytest.approx(0.5, rel=0.03)
    assert a_gradient(HalfNoise, 0.0).noised([torch.ones(3)])[0].tolist() == [1, 1, 1]

    doubled = a_gradient(DoubledClip)
    for norm, passes in ((0.5, 0.5), (1.5, 1.5), (7.0, 2.0)):
        assert doubled.scale_of([torch.tensor([norm])]) * norm == pytest.approx(passes, abs=1e-4)
    assert doubled.scale_of([torch.tensor([float("nan")])]) == 0
    assert doubled.summed([canary(doubled.parameters, 1)])[0].norm().item() == pytest.approx(2.0, abs=1e-4)

    stale = a_gradient(StaleGradient)
    sums = [stale.summed([canary(stale.parameters, place)])[0].tolist() for place in (0, 1, 2)]
    assert np.allclose(sums, [[1, 0, 0], [0.5, 1, 0], [0.25, 0.5, 1]], atol=1e-4)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[float | None, float]]]:
    """What the command writes of a quick audit with noise that repeats: of each case the claim and the bound."""
    told = tmp_path_factory.mktemp("audit") / "audit.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fl_client.differential_privacy.SecureRandom", lambda: SecureRandom(KEY))
        outcome = CliRunner().invoke(app, ["audit-privacy", "--quick", "--json", str(told)])
    assert outcome.exit_code == 0, outcome.output
    assert "claim stands" in outcome.output
    written = json.loads(told.read_text("utf-8"))
    assert list(written) == ["cases"]
    assert all(list(one) == ["case", "epsilon_claimed", "epsilon_lower"] for one in written["cases"])
    yield {one["case"]: (one["epsilon_claimed"], one["epsilon_lower"]) for one in written["cases"]}


def test_the_command_writes_every_case(cases: dict[str, tuple[float | None, float]]) -> None:
    assert list(cases) == ["off", "weak", "strong", *BUGS, "planted-bug"]
    assert cases["off"] == (None, MOST_EPSILON)


def test_code_as_it_should_be_is_not_flagged_and_the_bound_is_not_idle(
    cases: dict[str, tuple[float | None, float]],
) -> None:
    """The noise is rounded up, so what is claimed is a hair below what was planned."""
    for case, claim in (("weak", WEAK), ("strong", STRONG)):
        claimed, lower = cases[case]
        assert claimed is not None
        assert 0.99 * claim < claimed < claim
        assert 0 < lower <= claimed
    # At 8 the clouds are 1.664 apart; the limit is 3.09 standard deviations of that, 0.073 each, lower.
    assert cases["weak"][1] == pytest.approx(epsilon_at(DELTA, 1.664 - 3.09 * 0.073), abs=0.9)


@pytest.mark.parametrize("bug", BUGS)
def test_each_planted_bug_is_seen(bug: str, cases: dict[str, tuple[float | None, float]]) -> None:
    claimed, lower = cases[bug]
    assert claimed is not None
    assert 0.99 * WEAK < claimed < WEAK < lower < MOST_EPSILON


def test_the_bug_that_counts_is_the_hardest(cases: dict[str, tuple[float | None, float]]) -> None:
    assert cases["planted-bug"] == min((cases[bug] for bug in BUGS), key=lambda one: one[1])
    assert hardest([Finding("a", 1.0, 3.0, False), Finding("b", 8.0, 16.0, False)]) == Finding(
        "planted-bug", 8.0, 16.0, False
    )


def test_a_defect_of_the_real_code_fails_its_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PrivateGradient, "scale_of", lambda self, gradient: 2 / LOUDNESS)
    finding = examined("weak", WEAK, PrivateGradient, SMALL, SecureRandom(KEY))
    assert finding.is_right
    assert finding.is_broken
    assert not finding.passed


def test_what_passes_is_a_claim_that_stands_and_a_bug_that_is_seen() -> None:
    assert Finding("weak", 8.0, 7.9, is_right=True).passed
    assert not Finding("weak", 8.0, 8.1, is_right=True).passed
    assert Finding("planted-bug", 8.0, 8.1, is_right=False).passed
    assert not Finding("planted-bug", 8.0, 7.9, is_right=False).passed
    assert Finding("off", None, 8.1, is_right=False).passed
    assert not Finding("off", None, 7.9, is_right=False).passed


@pytest.mark.parametrize("wrong", [Finding("weak", 8.0, 9.0, is_right=True), Finding("off", None, 0.0, is_right=False)])
def test_a_case_that_comes_out_wrong_ends_the_command_with_code_8_and_is_still_written(
    wrong: Finding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    efforts = []

    def found(effort: Effort, random: object, report: object) -> list[Finding]:
        efforts.append(effort)
        return [Finding("strong", 1.0, 0.5, is_right=True), wrong]

    monkeypatch.setattr(privacy_audit, "run_audit", found)
    outcome = CliRunner().invoke(app, ["audit-privacy", "--json", str(tmp_path / "audit.json")])
    assert outcome.exit_code == FederationError.exit_code == 8
    assert efforts == [privacy_audit.FULL]
    assert json.loads((tmp_path / "audit.json").read_text("utf-8"))["cases"][1]["epsilon_lower"] == wrong.epsilon_lower
    rows = table_of([Finding("strong", 1.0, 0.5, is_right=True), wrong]).rows
    assert ["red" in str(row.style) for row in rows] == [False, True]
