"""What a step may say of a patient: bounded for each, noised in sum, whatever the draw; against Opacus and by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from scipy.stats import kstest
from torch import Tensor, nn

from core.errors import ConfigError
from core.learning.model import build_model
from core.study import ModelSettings
from fl_client.differential_privacy import Loss, Mechanism, PrivateGradient, SecureRandom, check_private, take_steps

KEY = bytes(range(32))


def a_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(4, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(),
                         nn.Linear(4, 2))  # fmt: skip


def patients(network: nn.Module, count: int, scale: float = 1.0, views: int = 1) -> list[Loss]:
    images = scale * torch.randn(count, views, 4, 6, 6, 6, generator=torch.Generator().manual_seed(1))

    def loss_of(place: int) -> Loss:
        labels = torch.full((views,), place % 2)
        return lambda: nn.functional.cross_entropy(network(images[place]), labels)

    return [loss_of(place) for place in range(count)]


def gradient_of(network: nn.Module, clip: float = 1.0, noise: float = 0.0, rate: float = 1.0) -> PrivateGradient:
    return PrivateGradient(list(network.parameters()), Mechanism(clip, noise, rate, 10), SecureRandom(KEY))


def flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")
def test_the_sum_is_opacus_s_own() -> None:
    network, other = a_network(), a_network()
    images = torch.randn(6, 4, 6, 6, 6, generator=torch.Generator().manual_seed(1))
    sampled = GradSampleModule(other)
    optimizer = DPOptimizer(
        torch.optim.SGD(other.parameters(), lr=0.1), noise_multiplier=0.0, max_grad_norm=0.05, expected_batch_size=6
    )
    nn.functional.cross_entropy(sampled(images), torch.arange(6) % 2).backward()
    optimizer.clip_and_accumulate()
    expected = flat([values.summed_grad for values in other.parameters()])
    assert torch.allclose(flat(gradient_of(network, clip=0.05).summed(patients(network, 6))), expected, atol=1e-5)


def test_a_step_of_two_patients_by_hand() -> None:
    # Gradients (3, 4) and (0, 0.5): the first is cut to (0.6, 0.8), the second stays; divided by 10 agreed patients.
    weight = nn.Parameter(torch.zeros(2))
    losses: list[Loss] = [lambda: weight @ torch.tensor([3.0, 4.0]), lambda: weight @ torch.tensor([0.0, 0.5])]
    step = PrivateGradient([weight], Mechanism(1.0, 0.0, 1.0, 10), SecureRandom(KEY))
    assert step(losses)[0].tolist() == pytest.approx([0.06, 0.13], rel=1e-5)
    take_steps(step, losses, 1, lambda _: 2.0)
    assert weight.tolist() == pytest.approx([-0.12, -0.26], rel=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_one_more_patient_moves_the_sum_no_further_than_the_clip(scale: float) -> None:
    network = a_network()
    step = gradient_of(network, clip=0.7)
    losses = patients(network, 6, scale)
    moved = flat(step.summed(losses)) - flat(step.summed(losses[:5]))
    assert moved.double().norm() <= 0.7


def test_all_views_of_a_patient_are_one_gradient() -> None:
    network = a_network()
    (loss,) = patients(network, 1, views=5)
    expected = torch.autograd.grad(loss(), list(network.parameters()))
    assert torch.allclose(flat(gradient_of(network, clip=1e9).summed([loss])), flat(expected))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_patient_whose_gradient_is_not_finite_adds_nothing(value: float) -> None:
    network = a_network()
    assert not flat(gradient_of(network).summed(patients(network, 2, scale=value))).any()


def test_a_patient_whose_loss_leaves_a_head_out_adds_nothing_there() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    step = PrivateGradient([used, unused], Mechanism(9.0, 0.0, 1.0, 1), SecureRandom(KEY))
    assert [part.tolist() for part in step([lambda: used.sum()])] == [[1, 1], [0, 0, 0]]


def test_of_nobody_a_step_is_noise_alone_of_the_planned_deviation() -> None:
    weight = nn.Parameter(torch.zeros(40_000))
    step = PrivateGradient([weight], Mechanism(0.5, 3.0, 0.2, 100), SecureRandom(KEY))
    noise = step([])[0].double() * (0.2 * 100)
    assert kstest(noise.numpy() / 1.5, "norm").pvalue > 0.01
    take_steps(step, [], 1, lambda _: 1.0)
    assert weight.detach().std() == pytest.approx(1.5 / 20, rel=0.02)


def test_every_step_has_noise_of_its_own() -> None:
    weight = nn.Parameter(torch.zeros(1000))
    step = PrivateGradient([weight], Mechanism(1.0, 1.0, 1.0, 1), SecureRandom(KEY))
    first, second = step([])[0], step([])[0]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_the_clipping_norm_is_held_in_what_rounding_leaves() -> None:
    # A gradient of many small values, whose norm float32 would sum up wrongly.
    weight = nn.Parameter(torch.zeros(1_000_000))
    step = PrivateGradient([weight], Mechanism(1.0, 0.0, 1.0, 1), SecureRandom(KEY))
    assert flat(step.summed([lambda: (weight * 1.1e-3).sum()])).double().norm() <= 1.0


def test_patients_are_drawn_by_themselves_at_the_rate() -> None:
    random = SecureRandom(KEY)
    draws = [random.chosen(100, 0.16) for _ in range(3000)]
    sizes = [len(draw) for draw in draws]
    assert np.mean(sizes) == pytest.approx(16, abs=0.3)
    assert np.var(sizes) == pytest.approx(100 * 0.16 * 0.84, rel=0.1)
    assert np.mean([0 in draw and 1 in draw for draw in draws]) == pytest.approx(0.16**2, abs=0.01)
    assert random.chosen(50, 1.0) == list(range(50))


def test_a_draw_of_few_is_often_empty_and_then_still_a_step() -> None:
    network = a_network()
    before = flat(list(network.parameters())).clone()
    random = SecureRandom(KEY)
    draws = [len(random.chosen(20, 0.01)) for _ in range(2000)]
    assert draws.count(0) / 2000 == pytest.approx(0.99**20, abs=0.03)
    step = PrivateGradient(list(network.parameters()), Mechanism(1.0, 1.0, 1e-9, 10), SecureRandom(KEY))
    told: list[int] = []
    take_steps(step, patients(network, 20), 4, lambda number: told.append(number) or 1e-9)  # type: ignore[func-returns-value]
    assert told == [0, 1, 2, 3]
    assert not torch.equal(flat(list(network.parameters())), before)


def test_random_numbers_are_gaussian_and_uniform_and_nobody_s_guess() -> None:
    random = SecureRandom()
    assert kstest(random.uniform(20_000), "uniform").pvalue > 1e-4
    assert kstest(random.normal(20_001), "norm").pvalue > 1e-4
    assert not np.array_equal(SecureRandom().normal(8), SecureRandom().normal(8))
    assert np.array_equal(SecureRandom(KEY).normal(100_000)[:7], SecureRandom(KEY).normal(100_000)[:7])
    assert len(set(SecureRandom(KEY).normal(70_000).tolist())) == 70_000


@pytest.mark.parametrize("preset", ["tiny", "small", "base", "large", "densenet121"])
def test_every_model_of_ours_can_be_trained_privately(preset: str) -> None:
    check_private(build_model(ModelSettings.model_validate({"preset": preset}), 0))


def test_layers_that_learn_past_the_noise_are_refused_all_at_once_frozen_or_not() -> None:
    network = nn.Sequential(
        nn.BatchNorm3d(4),
        nn.BatchNorm3d(4, affine=False),
        nn.InstanceNorm3d(4, track_running_stats=True),
        nn.InstanceNorm3d(4, affine=True),
        nn.GroupNorm(2, 4),
        nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)),
    ).requires_grad_(requires_grad=False)
    network[0].eval()
    with pytest.raises(ConfigError) as caught:
        check_private(network)
    problem = caught.value.problem
    assert problem.startswith("4 layer(s)")
    for part in (
        "0 (BatchNorm3d) keeps running_mean, running_var, num_batches_tracked: use GroupNorm(4, 4)",
        "1 (BatchNorm3d) keeps",
        "2 (InstanceNorm3d) keeps running_mean, running_var, num_batches_tracked: use it with track_running_stats=",
        "5.parametrizations.weight.0 (_SpectralNorm) keeps _u, _v: use a layer without buffers",
    ):
        assert part in problem


def test_batch_norm_without_running_statistics_mixes_patients_and_is_refused() -> None:
    with pytest.raises(ConfigError, match="BatchNorm3d"):
        check_private(nn.BatchNorm3d(4, track_running_stats=False))
