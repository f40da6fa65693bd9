import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.imaging.skull_stripping import GRID, BrainMaskNetwork, network
from simulations import brain_mask
from simulations.atlas import Tissue
from simulations.brain_mask import dice_on_fresh_heads, learning_rate, loss, train
from simulations.head_anatomy import FLUID
from simulations.random_heads import (
    disfigured,
    framed,
    load_anatomy,
    noise,
    random_contrast,
    random_head,
    random_patient,
    surroundings,
    with_lesion,
)


@pytest.fixture
def tiny_heads(monkeypatch):
    """Stand in for heads by noise with a ball in it, on a grid that costs nothing."""

    def head(anatomy, rng):
        axes = torch.meshgrid(*[torch.arange(16.0)] * 3, indexing="ij")
        ball = ((torch.stack(axes) - torch.tensor(rng.uniform(5, 10, 3))[:, None, None, None]) ** 2).sum(0) < 20
        return ball + torch.from_numpy(rng.normal(0, 0.2, (16, 16, 16))).float(), ball.float()

    monkeypatch.setattr(brain_mask, "random_head", head)
    monkeypatch.setattr(brain_mask, "load_anatomy", lambda: None)


def seed_where(condition):
    return next(seed for seed in range(1000) if condition(np.random.default_rng(seed).uniform()))


def test_a_head_is_a_function_of_its_seed():
    scan, brain = random_head(load_anatomy(), np.random.default_rng(4))
    again = random_head(load_anatomy(), np.random.default_rng(4))
    other = random_head(load_anatomy(), np.random.default_rng(5))
    assert torch.equal(scan, again[0])
    assert torch.equal(brain, again[1])
    assert not torch.equal(scan, other[0])


@pytest.mark.parametrize("seed", range(6))
def test_a_head_fits_the_network_and_holds_a_brain(seed):
    scan, brain = random_head(load_anatomy(), np.random.default_rng(seed))
    assert scan.shape == brain.shape == GRID
    assert scan.dtype == brain.dtype == torch.float32
    assert torch.isfinite(scan).all()
    assert scan.min() >= 0
    assert scan.max() <= 1.5
    assert brain.min() >= 0
    assert brain.max() < 1 + 1e-6
    liters = float(brain.sum()) * 4**3 / 1e6
    assert 0.5 < liters < 4


def test_the_unmoved_patient_is_the_atlas():
    class Still:
        """A generator without any chance in it."""

        def normal(self, mean=0, deviation=1, size=None):
            shape = np.shape(deviation) if size is None else size
            return np.zeros(shape) if shape else 0.0

        def uniform(self, low=0, high=1, size=None):
            return low

        def standard_normal(self, shape, dtype):
            return np.zeros(shape, dtype)

    patient = random_patient(load_anatomy(), Still())
    # The grid's middle voxels lie 2 mm beside CENTER: the atlas position (z, y, x) is known.
    np.testing.assert_allclose(patient.position[28, 32, 28], (5, 20, 2))
    np.testing.assert_allclose(patient.position[0, 0, 0], (3 - 110, 18 - 126, -110))
    assert patient.brain[28, 32, 28] == 1
    assert patient.brain[0, 0, 0] == 0
    liters = float(patient.brain.sum()) * 4**3 / 1e6
    assert abs(liters - 1.89) < 0.05
    assert (patient.distance[patient.brain > 0.99] < FLUID).all()
    eyes = patient.position[patient.tissue == Tissue.EYE]
    np.testing.assert_allclose(eyes.mean(0), (-50, -82, 0), atol=2)


def test_contrasts_are_thirteen_and_never_negative():
    drawn = torch.stack([random_contrast(np.random.default_rng(seed)) for seed in range(50)])
    assert drawn.shape == (50, 13)
    assert (drawn >= 0).all()
    assert (drawn.std(0) > 0).all()


def test_around_the_brain_lie_bone_then_scalp_then_air():
    rng = np.random.default_rng(0)
    patient = random_patient(load_anatomy(), rng)
    brightness = torch.full((10,), 0.5)
    brightness[3] = 0.0  # bone
    brightness[4] = 0.0  # marrow
    around = surroundings(patient, brightness, np.random.default_rng(1))
    top = patient.position[..., 0] > 30
    bone = around[top & (patient.distance > FLUID) & (patient.distance < FLUID + 0.8)]
    assert (bone == 0).all()
    beyond = around[top & (patient.distance > 36)]
    assert (beyond == 0).all()
    assert (around[top & (patient.distance > 0)] == 0.5).any()


def test_a_lesion_stays_in_the_brain():
    brain = torch.zeros(GRID)
    brain[20:40, 20:40, 20:40] = 1
    scan = torch.full(GRID, 5.0)
    struck = [with_lesion(scan, brain, np.random.default_rng(seed)) for seed in range(10)]
    assert all(torch.equal(s[brain == 0], scan[brain == 0]) for s in struck)
    assert any((s[brain == 1] < 3).any() for s in struck)


def test_some_heads_come_stripped_and_some_without_a_face():
    patient = random_patient(load_anatomy(), np.random.default_rng(0))
    scan = torch.ones(GRID)
    stripped = disfigured(scan, patient, np.random.default_rng(seed_where(lambda chance: chance < 0.05)))
    assert torch.equal(stripped == 1, patient.brain > 0.5)
    faceless = disfigured(scan, patient, np.random.default_rng(seed_where(lambda chance: 0.05 < chance < 0.13)))
    removed = faceless == 0
    assert removed.any()
    assert (patient.position[..., 1][removed] < 30).all()
    assert (patient.distance[removed] > 0).all()
    whole = disfigured(scan, patient, np.random.default_rng(seed_where(lambda chance: chance > 0.13)))
    assert torch.equal(whole, scan)


def test_beyond_the_field_of_view_there_is_neither_signal_nor_brain():
    scan, brain = torch.ones(GRID), torch.ones(GRID)
    cut = 0
    for seed in range(20):
        seen, truth = framed(scan, brain, np.random.default_rng(seed))
        assert torch.equal(seen > 0, truth > 0)
        assert truth[28, 32, 28] == 1
        cut += bool((truth == 0).any())
    assert 8 < cut < 20
    assert (scan == 1).all()
    assert (brain == 1).all()


def test_noise_has_the_grid_s_shape_whatever_its_grain():
    rng = np.random.default_rng(0)
    assert noise(rng, (3, 3, 3)).shape == noise(rng, GRID).shape == GRID


def test_the_learning_rate_rises_for_a_tenth_and_ends_at_nothing():
    rates = [learning_rate(step, 100) for step in range(100)]
    assert rates[9] == pytest.approx(2e-3)
    assert max(rates) == rates[9]
    assert rates[-1] == 0
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    # Half way down, (1 + cos(pi / 2)) / 2 of the peak.
    assert rates[54] == pytest.approx(1e-3)


def test_the_loss_of_a_sure_and_right_answer_is_nothing_and_of_no_answer_is_known():
    brain = torch.zeros(2, 1, 4, 4, 4)
    brain[0, :, :2] = 1
    brain[1, :, :1] = 1
    assert float(loss((brain - 0.5) * 200, brain)) == pytest.approx(0, abs=1e-6)
    # Everywhere one half: ln 2, and each head's own Dice, (2 * 16 + 1) / (32 + 32 + 1) and (2 * 8 + 1) / (32 + 16 + 1).
    expected = np.log(2) + 1 - (33 / 65 + 17 / 49) / 2
    assert float(loss(torch.zeros(2, 1, 4, 4, 4), brain)) == pytest.approx(expected, rel=1e-6)


def test_training_twice_gives_the_same_bits(tmp_path, tiny_heads):
    for name in ("one", "two"):
        train(2, 3, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    train(2, 4, tmp_path / "other")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "other").read_bytes()


def test_no_head_is_seen_twice(tmp_path, tiny_heads, monkeypatch):
    seen = []
    head = brain_mask.random_head
    monkeypatch.setattr(brain_mask, "random_head", lambda *given: seen.append(head(*given)) or seen[-1])
    train(3, 0, tmp_path / "weights")
    assert len({scan.numpy().tobytes() for scan, _ in seen}) == len(seen) == 6


def test_a_step_on_a_real_head_changes_every_weight(tmp_path):
    torch.manual_seed(0)
    before = BrainMaskNetwork().state_dict()
    train(1, 0, tmp_path / "weights.safetensors")
    after = load_file(tmp_path / "weights.safetensors")
    assert before.keys() == after.keys()
    assert not any(torch.equal(before[name], after[name]) for name in before)


def test_a_resumed_training_ends_in_the_uninterrupted_one_s_bits(tmp_path, tiny_heads, monkeypatch):
    monkeypatch.setattr(brain_mask, "CHECKPOINT_EVERY", 2)
    train(5, 3, tmp_path / "whole.safetensors")
    steps = []

    def power_cut(name, done, total):
        steps.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(5, 3, tmp_path / "cut.safetensors", power_cut)
    assert not (tmp_path / "cut.safetensors").exists()
    train(5, 3, tmp_path / "cut.safetensors", lambda name, done, total: steps.append(done))
    assert steps == [1, 2, 3, 3, 4, 5]
    assert (tmp_path / "cut.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.safetensors", "whole.safetensors"]


def test_training_learns(tmp_path, tiny_heads):
    train(60, 0, tmp_path / "weights.safetensors")
    trained = BrainMaskNetwork()
    trained.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert np.mean(dice_on_fresh_heads(trained, 3, 9)) > 0.8
    assert np.mean(dice_on_fresh_heads(BrainMaskNetwork(), 3, 9)) < 0.5


def test_the_shipped_network_finds_the_brain_of_fresh_heads():
    scores = dice_on_fresh_heads(network(), 6, 2024)
    assert np.mean(scores) > 0.9
