import numpy as np
import pytest

from simulations.corruptions import CORRUPTIONS, T1W, T1WCE, Corruption, corrupted

N = 16
NAMED = {corruption.name: corruption for corruption in CORRUPTIONS}


def a_brain():
    places = np.indices((N, N, N)) - (N - 1) / 2
    return np.square(places).sum(0) < (N * 0.4) ** 2


def an_image(seed=1):
    """Smooth patches of brightness in a ball, each sequence with mean 0 and standard deviation 1 inside."""
    brain, rng = a_brain(), np.random.default_rng(seed)
    coarse = rng.standard_normal((4, N // 4, N // 4, N // 4))
    image = coarse.repeat(4, 1).repeat(4, 2).repeat(4, 3) + 0.1 * rng.standard_normal((4, N, N, N))
    inside = image[:, brain]
    image = (image - inside.mean(1)[:, None, None, None]) / inside.std(1)[:, None, None, None]
    return np.where(brain, image, 0).astype(np.float32)


def apart(first, second):
    return float(np.abs(first - second)[:, a_brain()].mean())


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_no_severity_is_the_image_itself_and_the_image_given_is_left_alone(corruption):
    image = an_image()
    before = image.copy()
    assert corrupted(image, corruption, 0, 1) is image
    corrupted(image, corruption, corruption.severities[-1], 1)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_a_change_grows_with_its_severity_from_nothing_and_repeats_with_its_seed(corruption):
    image = an_image()
    tiny = corrupted(image, corruption, 1e-3, 5)
    assert apart(image, tiny) < 0.01
    steps = [corrupted(image, corruption, severity, 5) for severity in corruption.severities]
    distances = [apart(image, step) for step in steps]
    assert distances == sorted(distances)
    assert distances[0] > 0.02
    assert np.array_equal(steps[-1], corrupted(image, corruption, corruption.severities[-1], 5))


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: corruption.name)
def test_nothing_appears_outside_of_the_brain_and_inside_it_is_scaled_as_prepared(corruption):
    changed = corrupted(an_image(), corruption, corruption.severities[-1], 3)
    brain = a_brain()
    assert changed.dtype == np.float32
    seen = (changed != 0).any(0)
    if corruption.moves:
        assert 0.9 < (seen & brain).sum() / brain.sum() <= 1
    else:
        assert np.array_equal(seen, brain)
    for sequence in changed:
        if sequence.any():
            assert sequence[seen].mean() == pytest.approx(0, abs=1e-4)
            assert sequence[seen].std() == pytest.approx(1, abs=1e-3)


def test_noise_of_one_standard_deviation_leaves_a_correlation_of_one_over_the_root_of_two():
    image = an_image()
    noisy = corrupted(image, NAMED["noise"], 1.0, 1)
    brain = a_brain()
    assert np.corrcoef(image[0][brain], noisy[0][brain])[0, 1] == pytest.approx(0.5**0.5, abs=0.05)
    assert abs(np.corrcoef((noisy - image)[0][brain], (noisy - image)[1][brain])[0, 1]) < 0.2


def test_another_seed_brings_other_noise_motion_shading_and_turning():
    image = an_image()
    for name in ("noise", "motion", "shading", "turned head"):
        first, second = (corrupted(image, NAMED[name], NAMED[name].severities[-1], seed) for seed in (1, 2))
        assert apart(first, second) > 0.02, name


def test_where_the_head_lies_while_the_middle_line_is_taken_is_where_it_is_seen():
    """All of an image that is the same all along y is in that one line, so that no motion can be seen in it."""
    brain = np.ones((N, N, N), bool)
    sheet = np.random.default_rng(0).standard_normal((4, N, 1, N)).astype(np.float32)
    image = np.broadcast_to(sheet, (4, N, N, N)).copy()
    moved = NAMED["motion"].change(image, brain, 2.0, np.random.default_rng(1))
    assert np.allclose(moved, image, atol=1e-4)
    upright = NAMED["motion"].change(image.swapaxes(2, 3), brain, 2.0, np.random.default_rng(1))
    assert np.abs(upright - image.swapaxes(2, 3)).mean() > 0.3


def test_thick_slices_blur_across_their_own_axis_only():
    """Sheets of two brightnesses that alternate along z vanish in thick axial slices and stay in sagittal ones."""
    brain = np.ones((N, N, N), bool)
    sheets = np.where(np.arange(N) % 2, 1.0, -1.0).astype(np.float32)
    image = np.stack([np.broadcast_to(sheets[:, None, None], brain.shape)] * 4).copy()
    across = NAMED["thick axial slices"].change(image, brain, 4, np.random.default_rng(0))
    along = NAMED["thick sagittal slices"].change(image, brain, 4, np.random.default_rng(0))
    assert np.abs(across[:, 4:-4]).max() < 0.05
    assert np.allclose(along, image, atol=1e-5)


def test_what_lies_outside_of_the_brain_does_not_darken_its_rim():
    brain = a_brain()
    flat = np.where(brain, 1.0, 0.0).astype(np.float32)
    for name in ("thick axial slices", "turned head"):
        changed = NAMED[name].change(np.stack([flat] * 4), brain, 4, np.random.default_rng(0))
        inside = changed[0][changed[0] != 0]
        assert np.allclose(inside, 1, atol=1e-4), name


def test_without_contrast_agent_the_sequence_is_the_one_before_it_and_without_the_sequence_it_is_empty():
    image = an_image()
    without = corrupted(image, NAMED["less contrast agent"], 1.0, 1)
    assert np.allclose(without[T1WCE], image[T1W], atol=1e-4)
    missing = corrupted(image, NAMED["no T1wCE"], 1.0, 1)
    assert not missing[T1WCE].any()
    others = [place for place in range(4) if place != T1WCE]
    assert np.array_equal(missing[others], image[others])


def test_shading_is_smooth_and_of_its_size():
    image = np.where(a_brain(), 1.0, 0.0).astype(np.float32)
    image[8, 8, 8] = 0.5  # the darkest
    shaded = NAMED["shading"].change(np.stack([image] * 4), a_brain(), 0.5, np.random.default_rng(0))
    factors = shaded[:, a_brain() & (image == 1)] / 0.5
    assert np.exp(-0.5) - 1e-3 < factors.min() < 0.95
    assert 1.05 < factors.max() < np.exp(0.5) + 1e-3
    assert not np.allclose(shaded[0], shaded[1], atol=0.02)


def test_an_empty_image_stays_empty():
    empty = np.zeros((4, N, N, N), np.float32)
    for corruption in CORRUPTIONS:
        assert not corrupted(empty, corruption, corruption.severities[-1], 1).any()


def test_a_sequence_of_one_brightness_becomes_empty_rather_than_infinite():
    flat = Corruption("flat", "", (1,), lambda image, brain, severity, rng: np.ones_like(image))
    assert not corrupted(an_image(), flat, 1, 1).any()
