import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from core.imaging.atlas import atlas
from core.imaging.skull_stripping import (
    GRID,
    WEIGHTS,
    BrainMaskNetwork,
    brain_mask,
    brain_probability,
    gate_by_atlas,
    is_stripped,
    scaled,
)
from simulations.atlas import load_head

HERE = sitk.Transform()
# Gray, white, fluid and each tissue on a T1-weighted scan.
T1 = (0.7, 1.0, 0.28), (0.0, 0.55, 1.5, 0.75, 0.1, 0.9, 0.25, 0.02, 0.55, 0.9, 0.28)


def image_of(array, spacing=1.0, origin=(0.0, 0.0, 0.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((spacing,) * 3)
    image.SetOrigin(origin)
    return image


@pytest.fixture(scope="module")
def head():
    """A T1-weighted scan of the atlas head with its brain, at 2 mm."""
    atlas_head = load_head(2)
    (gray, white, fluid), tissues = T1
    scan = 400 * np.array(tissues, np.float32)[atlas_head.tissue]
    for share, brightness in ((atlas_head.gray, gray), (atlas_head.white, white), (atlas_head.csf, fluid)):
        scan += share * np.float32(400 / 255 * brightness)
    noisy = np.hypot(scan, np.random.default_rng(0).normal(0, 8, scan.shape).astype(np.float32))
    return image_of(noisy, 2.0, atlas_head.origin), image_of(atlas_head.brain, 2.0, atlas_head.origin)


def dice(one, other):
    a, b = (sitk.GetArrayFromImage(mask) > 0 for mask in (one, other))
    return 2 * np.count_nonzero(a & b) / (a.sum() + b.sum())


def test_the_weights_file_holds_the_network_s_names_and_shapes_and_nothing_else():
    stored = load_file(WEIGHTS)
    expected = BrainMaskNetwork().state_dict()
    assert {n: t.shape for n, t in stored.items()} == {n: t.shape for n, t in expected.items()}
    assert all(t.dtype == torch.float32 and torch.isfinite(t).all() for t in stored.values())
    assert WEIGHTS.stat().st_size < 1.3e6


def test_the_brain_of_a_head_is_found(head):
    scan, brain = head
    found = brain_mask(brain_probability([scan], [HERE], scan), scan)
    assert found.GetPixelID() == sitk.sitkUInt8
    assert dice(found, brain) > 0.9


def test_the_answer_has_the_same_bits_every_time(head):
    scan, _ = head
    one, two = (sitk.GetArrayFromImage(brain_probability([scan], [HERE], scan)) for _ in range(2))
    assert one.shape == GRID
    assert np.array_equal(one, two)


def test_a_scan_stored_sagittally_and_tilted_has_the_same_brain(head):
    scan, brain = head
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.15, -0.1, 0.2)
    direction = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]])
    grid = sitk.Image([120, 120, 80], sitk.sitkFloat32)
    grid.SetSpacing((2.3, 2.3, 2.6))
    grid.SetDirection(direction.ravel().tolist())
    center = np.array([0.0, 18.0, -10.0])
    grid.SetOrigin((center - direction @ (np.array([119, 119, 79]) * (1.15, 1.15, 1.3))).tolist())
    sagittal = sitk.Resample(scan, grid)
    truth = sitk.Resample(brain, grid, HERE, sitk.sitkNearestNeighbor)
    assert dice(brain_mask(brain_probability([sagittal], [HERE], sagittal), sagittal), truth) > 0.9


def test_a_moved_sequence_is_looked_up_through_its_transform(head):
    scan, brain = head
    motion = sitk.Euler3DTransform((0, 18, 3), 0.3, 0.1, 0.2, (20, -15, 12))
    # A moved copy holds at motion(p) what the scan holds at p.
    moved = sitk.Resample(scan, scan, motion.GetInverse())
    probability = brain_probability([moved], [motion], scan)
    assert dice(brain_mask(probability, scan), brain) > 0.9
    wrong = brain_probability([moved], [motion.GetInverse()], scan)
    assert dice(brain_mask(wrong, scan), brain) < 0.8


def test_sequences_are_averaged(head):
    scan, _ = head
    blank = scan * 0
    alone = sitk.GetArrayFromImage(brain_probability([scan], [HERE], scan))
    nothing = sitk.GetArrayFromImage(brain_probability([blank], [HERE], scan))
    both = sitk.GetArrayFromImage(brain_probability([scan, blank], [HERE, HERE], scan))
    # One scan and two take different convolution kernels; the blank one, normalized, magnifies their rounding.
    np.testing.assert_allclose(both, (alone + nothing) / 2, atol=5e-3)


def test_an_empty_scan_has_some_probability_and_no_error():
    blank = image_of(np.zeros((40, 40, 40), np.float32), 4.0)
    probability = sitk.GetArrayFromImage(brain_probability([blank], [HERE], blank))
    assert np.isfinite(probability).all()


def test_the_mask_is_the_largest_piece_without_its_holes():
    likely = np.zeros((20, 20, 20), np.float32)
    likely[1:4, 1:4, 1:4] = 1.0
    likely[4, 2:12, 2:12] = 0.4
    likely[7:17, 7:17, 7:17] = 0.8
    likely[11:13, 11:13, 11:13] = 0.2
    probability = image_of(likely)
    mask = sitk.GetArrayFromImage(brain_mask(probability, probability))
    expected = np.zeros((20, 20, 20), np.uint8)
    expected[7:17, 7:17, 7:17] = 1
    assert np.array_equal(mask, expected)
    assert mask.dtype == np.uint8


def test_where_nothing_is_likely_the_mask_is_empty():
    probability = image_of(np.full((8, 8, 8), 0.49, np.float32))
    assert not sitk.GetArrayFromImage(brain_mask(probability, probability)).any()


def test_the_mask_lies_on_the_reference_s_grid():
    likely = np.zeros((20, 20, 20), np.float32)
    likely[5:15, 5:15, 5:15] = 1
    reference = image_of(np.zeros((41, 30, 25), np.float32), 1.0, (3.0, 4.0, 5.0))
    mask = brain_mask(image_of(likely, 2.0), reference)
    assert mask.GetSize() == (25, 30, 41)
    assert mask.GetOrigin() == (3, 4, 5)
    # Probability one half lies half way between voxels 4 and 5 (9 mm) and 14 and 15 (29 mm).
    lying = np.argwhere(sitk.GetArrayFromImage(mask))[:, ::-1] + np.array([3, 4, 5])
    assert lying.min(0).tolist() == [9, 9, 9]
    assert lying.max(0).tolist() == [27, 29, 29]


def test_the_atlas_decides_far_outside_and_deep_inside_only():
    template, brain = atlas()
    inside = sitk.GetArrayFromImage(brain) > 0
    depth = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(brain, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    )
    sure, never, half = (image_of(np.full(inside.shape, p, np.float32), 2.0, brain.GetOrigin()) for p in (1, 0, 0.4))
    off, on, kept = (
        sitk.GetArrayFromImage(gate_by_atlas(p, template, sitk.AffineTransform(3))) for p in (sure, never, half)
    )
    assert off[depth > 10].max() < 0.01
    assert off[depth < 0].min() > 0.98
    np.testing.assert_allclose(off[depth == 4], 0.5, atol=1e-3)
    assert (on[depth < -9] == np.float32(0.9)).all()
    assert (on[depth > -8] == 0).all()
    np.testing.assert_allclose(kept[(depth > -8) & (depth < -1)], 0.4, atol=0.005)


def test_the_atlas_is_laid_where_the_transform_takes_its_points():
    template, brain = atlas()
    shift = sitk.AffineTransform(3)
    shift.SetTranslation((0, 30, 0))
    sure = image_of(np.ones(template.GetSize()[::-1], np.float32), 2.0, template.GetOrigin())
    gated = sitk.GetArrayFromImage(gate_by_atlas(sure, template, shift)) > 0.5
    rows = np.argwhere(sitk.GetArrayFromImage(brain))[:, 1]
    # 30 mm to the back is 15 rows; the gate is open for less than 4 mm, one row, beyond the brain.
    assert np.argwhere(gated)[:, 1].min() == rows.min() + 15 - 1


def test_a_stripped_volume_is_recognised_on_bra_ts_s_own_grid(head):
    scan, brain = head
    grid = sitk.Image([240, 240, 155], sitk.sitkFloat32)
    grid.SetOrigin((-120.0, -105.0, -75.0))
    fine = sitk.Resample(scan, grid)
    stripped = sitk.Mask(fine, sitk.Resample(brain, grid, HERE, sitk.sitkNearestNeighbor))
    assert is_stripped(sitk.Cast(stripped, sitk.sitkInt16))
    # It stays as it is: the network finds brain in nearly all of it.
    found = brain_mask(brain_probability([stripped], [HERE], stripped), grid)
    assert dice(found, stripped) > 0.9


def defaced(scan):
    voxels = sitk.GetArrayFromImage(scan)
    z, y, _ = np.indices(voxels.shape)
    voxels[(y * 2 - 125.5 < -55) & (z * 2 - 141.5 < -25)] = 0
    return image_of(voxels, 2.0, scan.GetOrigin())


def cropped(scan, brain):
    """Return the slab of the head that a short axial scan covers."""
    lying = np.argwhere(sitk.GetArrayFromImage(brain))[:, 0]
    middle = int(lying.mean())
    return scan[:, :, middle - 15 : middle + 15]


def test_a_whole_a_defaced_and_a_short_head_are_not_stripped(head):
    scan, brain = head
    silent = sitk.Mask(scan, scan > 30)  # scanners that blank the air give exact zeros too
    assert not is_stripped(scan)
    assert not is_stripped(silent)
    assert not is_stripped(defaced(silent))
    assert not is_stripped(cropped(silent, brain))


def test_an_empty_volume_and_a_stripped_scan_with_noise_around_it_are_not_taken_for_stripped(head):
    scan, brain = head
    assert not is_stripped(scan * 0)
    stripped = sitk.Mask(scan, brain)
    assert is_stripped(stripped)
    assert not is_stripped(stripped + 1)


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-3, 1e5), st.integers(0, 1000))
def test_a_scanner_s_units_do_not_matter(gain, seed):
    scan = torch.from_numpy(np.random.default_rng(seed).gamma(1, 1, (12, 12, 12)).astype(np.float32))
    once, again = scaled(scan), scaled(scan * gain)
    torch.testing.assert_close(once, again, rtol=1e-4, atol=1e-5)
    assert once.max() <= 1.5


def test_one_hot_voxel_does_not_darken_a_scan():
    scan = torch.ones(16, 16, 16)
    scan[:8] = 0
    bright = scan.clone()
    bright[12, 12, 12] = 1e6
    torch.testing.assert_close(scaled(bright)[scan == 0], torch.zeros(8 * 256))
    assert float(scaled(bright)[9, 9, 9]) == 1
