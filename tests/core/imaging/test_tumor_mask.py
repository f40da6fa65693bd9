import numpy as np
import SimpleITK as sitk

from core.imaging.tumor_mask import is_empty, tumor_on_grid
from core.imaging.volume import volume_of


def a_mask(labels):
    return sitk.GetImageFromArray(np.asarray(labels, np.uint8))


def a_grid(size, spacing, origin=0.0):
    grid = sitk.Image([size] * 3, sitk.sitkFloat32)
    grid.SetSpacing([spacing] * 3)
    grid.SetOrigin([origin] * 3)
    return grid


def test_on_its_own_grid_a_mask_stays_as_it_is():
    labels = np.random.default_rng(0).choice([0, 1, 2, 4], (5, 5, 5)).astype(np.uint8)
    assert np.array_equal(tumor_on_grid(a_mask(labels), a_grid(5, 1)), labels)
    assert np.array_equal(tumor_on_grid(volume_of(a_mask(labels)), a_grid(5, 1)), labels)


def test_a_coarse_voxel_takes_the_label_with_the_largest_share_of_its_tumor():
    labels = np.zeros((4, 4, 4), np.uint8)
    # Of the first coarse voxel's eight fine ones: 3 enhancing, 2 edema, 3 nothing; of the last one's: 3 edema.
    labels[:2, :2, :2] = np.array([4, 4, 4, 2, 2, 0, 0, 0]).reshape(2, 2, 2)
    labels[2:, 2:, 2:] = np.array([2, 2, 2, 0, 0, 0, 0, 0]).reshape(2, 2, 2)
    result = tumor_on_grid(a_mask(labels), a_grid(2, 2, origin=0.5))
    assert result[0, 0, 0] == 4
    assert np.count_nonzero(result) == 1


def test_a_tumor_smaller_than_half_a_voxel_is_not_lost():
    labels = np.zeros((8, 8, 8), np.uint8)
    labels[5, 2, 2] = 1
    result = tumor_on_grid(a_mask(labels), a_grid(2, 4, origin=1.5))
    assert result[1, 0, 0] == 1
    assert np.count_nonzero(result) == 1


def test_label_three_of_later_challenges_is_enhancing_tumor():
    labels = np.zeros((3, 3, 3), np.uint8)
    labels[1, 1, 1] = 3
    assert tumor_on_grid(a_mask(labels), a_grid(3, 1))[1, 1, 1] == 4


def test_a_mask_is_empty_if_it_marks_nothing():
    labels = np.zeros((2, 2, 2), np.uint8)
    assert is_empty(None)
    assert is_empty(a_mask(labels))
    assert is_empty(volume_of(a_mask(labels)))
    labels[0, 1, 0] = 2
    assert not is_empty(a_mask(labels))
    assert not is_empty(volume_of(a_mask(labels)))


def test_an_empty_mask_stays_empty():
    result = tumor_on_grid(a_mask(np.zeros((4, 4, 4))), a_grid(2, 2, origin=0.5))
    assert result.dtype == np.uint8
    assert not result.any()
