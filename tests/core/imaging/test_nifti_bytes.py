import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from core.imaging.nifti import read_nifti
from core.imaging.nifti_bytes import nifti_bytes

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def a_grid(direction: np.ndarray, spacing: tuple[float, ...], origin: tuple[float, ...]) -> sitk.Image:
    grid = sitk.Image([4, 3, 5], sitk.sitkFloat32)
    grid.SetSpacing(spacing)
    grid.SetOrigin(origin)
    grid.SetDirection(direction.ravel().tolist())
    return grid


def affine_of(grid: sitk.Image) -> np.ndarray:
    """Voxel x, y, z to RAS, written down from the geometry's definition."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(grid.GetDirection()).reshape(3, 3) @ np.diag(grid.GetSpacing())
    affine[:3, 3] = grid.GetOrigin()
    return TO_RAS @ affine


turns = st.floats(-180, 180)
steps = st.floats(0.2, 8)
places = st.floats(-300, 300)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(turns, turns, turns), st.tuples(steps, steps, steps), st.tuples(places, places, places), st.booleans())
def test_any_place_in_the_patient_reads_back_by_nibabel_and_by_simpleitk(
    tmp_path: Path,
    angles: tuple[float, ...],
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
    mirrored: bool,
) -> None:
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag([1, 1, -1 if mirrored else 1])
    grid = a_grid(direction, spacing, origin)
    voxels = np.arange(60, dtype=np.int16).reshape(5, 3, 4) - 30
    (tmp_path / "file.nii.gz").write_bytes(nifti_bytes(voxels, grid))
    seen = nibabel.load(tmp_path / "file.nii.gz")
    for form in (seen.affine, seen.get_sform()):
        np.testing.assert_allclose(form, affine_of(grid), atol=2e-4)
    # A quaternion in single precision: nibabel takes a first part below the root of three epsilons (6e-4) for zero, and
    # a direction is twice as far off.
    np.testing.assert_allclose(seen.get_qform(), affine_of(grid), atol=1.3e-3 * max(1.0, *spacing))
    assert (int(seen.header["qform_code"]), int(seen.header["sform_code"])) == (1, 1)
    assert seen.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(np.asarray(seen.dataobj), voxels.T)
    volume, notes = read_nifti(tmp_path / "file.nii.gz")
    np.testing.assert_array_equal(volume.voxels, voxels)
    np.testing.assert_allclose(volume.spacing, spacing, rtol=1e-5)
    np.testing.assert_allclose(volume.origin, origin, atol=1e-3)
    np.testing.assert_allclose(volume.direction, direction, atol=4e-4)
    assert notes == ()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_turns_in_which_a_quaternion_s_first_part_is_zero_keep_their_axis(tmp_path: Path, axis: int) -> None:
    direction = -np.eye(3)
    direction[axis, axis] = 1
    grid = a_grid(direction, (1, 1, 1), (0, 0, 0))
    (tmp_path / "file.nii.gz").write_bytes(nifti_bytes(np.zeros((5, 3, 4), np.uint8), grid))
    np.testing.assert_allclose(nibabel.load(tmp_path / "file.nii.gz").get_qform(), affine_of(grid), atol=1e-6)


def test_stored_values_times_slope_are_intensities(tmp_path: Path) -> None:
    grid = a_grid(np.eye(3), (1, 1, 1), (0, 0, 0))
    voxels = np.arange(60, dtype=np.int16).reshape(5, 3, 4)
    (tmp_path / "file.nii.gz").write_bytes(nifti_bytes(voxels, grid, slope=0.25))
    np.testing.assert_array_equal(nibabel.load(tmp_path / "file.nii.gz").get_fdata(), voxels.T / 4)
    np.testing.assert_array_equal(read_nifti(tmp_path / "file.nii.gz")[0].voxels, voxels / 4)


def test_equal_input_gives_equal_bytes_and_they_are_compressed() -> None:
    grid = a_grid(np.eye(3), (1, 1, 1), (0, 0, 0))
    voxels = np.zeros((5, 3, 4), np.uint8)
    assert nifti_bytes(voxels, grid) == nifti_bytes(voxels, grid)
    assert len(gzip.decompress(nifti_bytes(voxels, grid))) == 352 + 60
