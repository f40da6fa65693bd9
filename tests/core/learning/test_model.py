import math

import pytest
import torch
from opacus.validators import ModuleValidator
from torch import nn

from core.learning.model import SMALLEST_SHARE, build_model, describe, smooth_maximum
from core.study import ModelSettings

PRESETS = ("tiny", "small", "base", "large", "densenet121")


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_learns_anything_outside_its_parameters(preset):
    model = build_model(ModelSettings(preset=preset), seed=1)
    assert list(model.buffers()) == []
    for module in model.modules():
        assert not isinstance(module, nn.modules.batchnorm._NormBase)
        assert getattr(module, "running_mean", None) is None
        assert not getattr(module, "track_running_stats", False)
        assert not getattr(module, "inplace", False)
    assert any(isinstance(module, nn.GroupNorm) for module in model.modules())
    assert ModuleValidator.validate(model, strict=False) == []


@pytest.mark.parametrize(("preset", "size"), [("tiny", 16), ("tiny", 48), ("small", 32), ("densenet121", 16)])
def test_a_batch_becomes_a_map_at_a_quarter_and_two_logits_a_case(preset, size):
    torch.manual_seed(0)
    output = build_model(ModelSettings(preset=preset), seed=1)(torch.randn(2, 4, size, size, size))
    assert output.tumor_map.shape == (2, 3, size // 4, size // 4, size // 4)
    assert output.tumor.shape == output.mgmt.shape == (2,)


def test_the_presets_have_the_sizes_they_are_meant_to_have():
    sizes = [sum(p.numel() for p in build_model(ModelSettings(preset=preset), 0).parameters()) for preset in PRESETS]
    assert sizes[0] < 15_000 < sizes[1] < 400_000 < sizes[2] < 6_000_000 < sizes[3] < 9_000_000 < sizes[4]


def test_every_parameter_of_every_preset_learns():
    for preset in PRESETS:
        model = build_model(ModelSettings(preset=preset, dropout=0), seed=1)
        torch.manual_seed(0)
        output = model(torch.randn(2, 4, 16, 16, 16))
        (output.tumor_map.square().mean() + output.tumor.square().sum() + output.mgmt.square().sum()).backward()
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
        assert still == []


def test_equal_seeds_give_equal_weights_and_leave_the_callers_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build_model(ModelSettings(preset="tiny"), seed=1)
    assert torch.equal(torch.rand(3), expected)
    second = build_model(ModelSettings(preset="tiny"), seed=1)
    other = build_model(ModelSettings(preset="tiny"), seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_a_region_is_described_by_the_log_of_its_share_and_the_mean_inside_it():
    # Two voxels are sure to be inside the only region, of 8; the feature is 3 and 5 there.
    tumor_map = torch.full((1, 1, 2, 2, 2), -100.0)
    tumor_map[0, 0, 0, 0] = 100
    features = torch.arange(8.0).reshape(1, 1, 2, 2, 2) * 10
    features[0, 0, 0, 0] = torch.tensor([3.0, 5.0])
    share, mean = describe(tumor_map, features)[0].tolist()
    assert share == pytest.approx(math.log(1 + 0.25 / SMALLEST_SHARE))
    assert mean == pytest.approx(4.0, rel=1e-3)


def test_an_absent_region_has_a_finite_description():
    assert describe(torch.full((1, 3, 2, 2, 2), -1e4), torch.ones(1, 4, 2, 2, 2)).isfinite().all()


def test_the_presence_of_a_tumor_follows_the_maps_strongest_voxels():
    tumor_map = torch.zeros(2, 3, 4, 4, 4)
    tumor_map[1].view(-1)[:16] = 7
    assert smooth_maximum(tumor_map).squeeze(1).tolist() == [0, 7]


def test_dropout_rests_during_evaluation():
    model = build_model(ModelSettings(preset="tiny", dropout=0.5), seed=1)
    image = torch.ones(1, 4, 16, 16, 16)
    torch.manual_seed(0)
    trained = {model(image).mgmt.item() for _ in range(6)}
    evaluated = {model.eval()(image).mgmt.item() for _ in range(3)}
    assert len(trained) > 1
    assert len(evaluated) == 1
