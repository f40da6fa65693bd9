import json

import numpy as np
import pytest
import SimpleITK as sitk

from core.imaging.model_grid import described, grid_image, model_grid, rotation_of, scan_grid, stretch
from core.study import PreprocessingSettings

SETTINGS = PreprocessingSettings(grid=16, margin_mm=4)


def an_affine(matrix):
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(np.asarray(matrix, float).ravel().tolist())
    return affine


def a_turn(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def a_box_of_brain():
    voxels = np.zeros((20, 20, 20), np.uint8)
    voxels[5:10, 4:12, 3:13] = 1  # 5 x 8 x 10 voxels along z, y, x
    brain = sitk.GetImageFromArray(voxels)
    brain.SetSpacing((2, 2, 2))
    brain.SetOrigin((100, -50, 30))
    return brain


def test_the_cube_holds_the_brain_and_the_margin_on_its_longest_axis():
    grid = model_grid(a_box_of_brain(), sitk.AffineTransform(3), SETTINGS)
    # The longest axis is x: 10 voxels of 2 mm, and 4 mm on both sides: 28 mm in 16 voxels.
    assert grid.GetSize() == (16, 16, 16)
    assert grid.GetSpacing() == pytest.approx([28 / 16] * 3)
    # Its center is the box's: x 100 + 2 * 7.5, y -50 + 2 * 7.5, z 30 + 2 * 7.
    assert grid.TransformContinuousIndexToPhysicalPoint((7.5, 7.5, 7.5)) == pytest.approx((115, -35, 44))


def test_the_axes_follow_the_head_and_not_the_scanner():
    turned = model_grid(a_box_of_brain(), an_affine(1.1 * a_turn(30)), SETTINGS)
    assert np.allclose(np.array(turned.GetDirection()).reshape(3, 3), a_turn(30))
    corners = [a_box_of_brain().TransformIndexToPhysicalPoint(i) for i in ((3, 4, 5), (12, 11, 9), (3, 11, 5))]
    for corner in corners:
        index = np.array(turned.TransformPhysicalPointToContinuousIndex(corner))
        assert (index > 0).all()
        assert (index < 15).all()


def test_shear_and_scale_do_not_turn_the_grid():
    assert np.allclose(rotation_of(an_affine(np.diag([0.8, 1.0, 1.3]))), np.eye(3))
    assert np.allclose(rotation_of(an_affine(a_turn(20) @ np.diag([0.8, 1.0, 1.3]))), a_turn(20))


def test_a_mirrored_fit_still_gives_a_proper_rotation():
    assert np.linalg.det(rotation_of(an_affine(np.diag([-1.0, 1.1, 1.2])))) == pytest.approx(1)


def test_stretch_is_the_smallest_and_largest_scale():
    assert stretch(an_affine(a_turn(40) @ np.diag([0.8, 1.0, 1.3]))) == pytest.approx((0.8, 1.3))


def test_a_recorded_grid_comes_back_as_the_same_geometry():
    grid = model_grid(a_box_of_brain(), an_affine(a_turn(15)), SETTINGS)
    back = grid_image(json.loads(json.dumps({"grid": described(grid)})))
    index = (3, 7, 12)
    assert back.TransformIndexToPhysicalPoint(index) == grid.TransformIndexToPhysicalPoint(index)
    assert back.TransformPhysicalPointToIndex(back.TransformIndexToPhysicalPoint(index)) == index


def test_without_a_brain_the_grid_surrounds_the_scan():
    scan = a_box_of_brain()
    grid = scan_grid(scan, SETTINGS)
    # 20 voxels of 2 mm have their centers 38 mm apart; 4 mm on both sides.
    assert grid.GetSpacing() == pytest.approx([46 / 16] * 3)
    assert grid.TransformContinuousIndexToPhysicalPoint((7.5, 7.5, 7.5)) == pytest.approx((119, -31, 49))
