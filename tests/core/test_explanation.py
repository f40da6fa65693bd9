import gzip
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from core.errors import PreparationError
from core.explanation import Explanation, explain, volumes_ml
from core.imaging.case import PreparedCase, Quality
from core.imaging.model_grid import described, grid_image
from core.imaging.preprocessing import alignments_of, prepare_case
from core.imaging.registration import rigid, working_copy
from core.imaging.volume import SEQUENCES, Volume
from core.study import PreprocessingSettings
from tests.core.imaging.factories_heads import LESION, a_case, a_pose

OBLIQUE = Rotation.from_euler("xyz", (20, -15, 40), degrees=True).as_matrix()
TILTED = Rotation.from_euler("xyz", (-10, 25, 5), degrees=True).as_matrix()
IDENTITY = {"identity": True}
N = 32
PITCH = 3.0  # mm, of the model's grid
PITCHES = PITCH * 4  # of the tumor map


def a_volume(seed: int = 0, scale: float = 1.0) -> Volume:
    """150 x 130 x 120 mm around the origin, anisotropic and oblique."""
    size, spacing = np.array([60, 50, 30]), np.array([2.5, 2.6, 4.0])
    voxels = np.random.default_rng(seed).normal(0, 500 * scale, size[::-1]).astype(np.float32)
    origin = -OBLIQUE @ (spacing * (size - 1) / 2)
    return Volume(voxels, tuple(spacing.tolist()), tuple(origin.tolist()), OBLIQUE)


def a_prepared(**alignments: Any) -> PreparedCase:
    """A case whose grid of 96 mm lies tilted around the origin."""
    grid = sitk.Image([N] * 3, sitk.sitkFloat32)
    grid.SetSpacing([PITCH] * 3)
    grid.SetOrigin((-TILTED @ np.full(3, PITCH * (N - 1) / 2)).tolist())
    grid.SetDirection(TILTED.ravel().tolist())
    sequences = {name: alignments.get(name, IDENTITY) for name in SEQUENCES if name != "T1wCE"}
    record = {"grid": described(grid), "steps": [{"step": "co-register", "sequences": sequences}]}
    image = np.zeros((4, N, N, N), np.float32)
    return PreparedCase(image, np.ones((N, N, N), bool), None, Quality(), record)


def a_map(*blocks: tuple[int, tuple[slice, slice, slice]]) -> NDArray[np.float32]:
    tumor_map = np.zeros((3, N // 4, N // 4, N // 4), np.float32)
    for region, block in blocks:
        tumor_map[(region, *block)] = 1
    return tumor_map


# An L that no turn and no mirror lays on itself; axes are the grid's D, H, W (its z, y, x).
ARM = (slice(1, 6), slice(2, 4), slice(2, 4))
FOOT = (slice(1, 3), slice(2, 4), slice(4, 7))
TOE = (slice(1, 3), slice(4, 5), slice(5, 7))


def centers(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """LPS centers, mm [n, 3], of a coarse map's voxels: each stands for 4 x 4 x 4 of the grid's."""
    index = np.argwhere(mask)[:, ::-1]
    return (index - (N / 4 - 1) / 2) * PITCHES @ TILTED.T


def opened(explanation: Explanation, name: str, folder: Path) -> nibabel.Nifti1Image:
    path = folder / f"{name}.nii.gz"
    path.write_bytes(explanation.files[name])
    return nibabel.load(path)


def values_at(image: nibabel.Nifti1Image, points: NDArray[np.float64]) -> NDArray[Any]:
    """The values of a file at points (LPS, mm), by nibabel alone."""
    ras = np.c_[points * [-1, -1, 1], np.ones(len(points))]
    index = np.round(ras @ np.linalg.inv(image.affine).T)[:, :3].astype(int)
    return np.asarray(image.dataobj)[tuple(index.T)]


@lru_cache(maxsize=1)
def a_moved_head() -> tuple[dict[str, Volume], PreparedCase]:
    volumes = a_case(a_pose((8, -6, 15), (6, -4, 8)), moved=True)
    return volumes, prepare_case(volumes, PreprocessingSettings(grid=32))


def test_each_voxel_of_the_tumor_comes_back_where_it_is_in_the_patient(tmp_path: Path) -> None:
    tumor_map = a_map((0, ARM), (1, FOOT), (2, TOE))
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    drawn = opened(explain(volumes, a_prepared(), tumor_map, None), "tumor", tmp_path)
    assert drawn.get_data_dtype() == np.uint8
    for region, label in enumerate((1, 2, 4)):
        assert (values_at(drawn, centers(tumor_map[region] > 0)) == label).all()
    labels = np.asarray(drawn.dataobj)
    found = nibabel.affines.apply_affine(drawn.affine, np.argwhere(labels > 0)) * [-1, -1, 1]
    planted = centers(tumor_map.sum(0) > 0)
    away = np.linalg.norm(found[:, None] - planted[None], axis=2).min(1)
    assert away.max() < PITCHES * 3**0.5 / 2 + 4


def test_simpleitk_sees_the_tumor_where_nibabel_does(tmp_path: Path) -> None:
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    explanation = explain(volumes, a_prepared(), a_map((0, ARM), (1, FOOT), (2, TOE)), None)
    seen = opened(explanation, "tumor", tmp_path)
    image = sitk.ReadImage(str(tmp_path / "tumor.nii.gz"))
    for index in np.argwhere(np.asarray(seen.dataobj) == 4)[::20]:
        point = nibabel.affines.apply_affine(seen.affine, index) * [-1, -1, 1]
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index.tolist()), point, atol=1e-2)
        assert image[index.tolist()] == 4


def test_all_files_lie_on_the_contrast_scan_as_it_was_scanned(tmp_path: Path) -> None:
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    explanation = explain(volumes, a_prepared(), a_map((0, ARM)), np.ones((N, N, N), np.float32))
    assert list(explanation.files) == [*SEQUENCES, "tumor", "gradcam"]
    expected = np.eye(4)
    expected[:3, :3] = np.diag([-1, -1, 1]) @ OBLIQUE @ np.diag(volumes["T1wCE"].spacing)
    expected[:3, 3] = np.array(volumes["T1wCE"].origin) * [-1, -1, 1]
    for name in explanation.files:
        image = opened(explanation, name, tmp_path)
        assert image.shape == (60, 50, 30)
        np.testing.assert_allclose(image.affine, expected, atol=1e-3)


def test_intensities_keep_their_units_within_half_a_gray_level(tmp_path: Path) -> None:
    volumes = {name: a_volume(n, scale=10.0**n) for n, name in enumerate(SEQUENCES)}
    explanation = explain(volumes, a_prepared(), None, None)
    for name, volume in volumes.items():
        image = opened(explanation, name, tmp_path)
        assert image.get_data_dtype() == np.int16
        step = np.percentile(np.abs(volume.voxels), 99.9) / 511
        np.testing.assert_allclose(image.get_fdata().T, volume.voxels, atol=0.51 * step)


def test_a_blank_scan_stays_blank_and_damaged_voxels_are_zero(tmp_path: Path) -> None:
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    volumes["FLAIR"].voxels[:] = 0
    volumes["T1wCE"].voxels[3, 4, 5] = np.nan
    explanation = explain(volumes, a_prepared(), None, None)
    assert not np.asarray(opened(explanation, "FLAIR", tmp_path).dataobj).any()
    assert opened(explanation, "T1wCE", tmp_path).dataobj[5, 4, 3] == 0


def test_grad_cam_is_shown_from_0_to_255_at_its_own_places(tmp_path: Path) -> None:
    cam = np.zeros((N, N, N), np.float32)
    cam[4:14, 20:28, 6:12] = 1
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    shown = opened(explain(volumes, a_prepared(), None, cam), "gradcam", tmp_path)
    middle = (np.array([8.5, 23.5, 8.5]) - (N - 1) / 2) * PITCH @ TILTED.T
    assert values_at(shown, middle[None]) == [255]
    bright = nibabel.affines.apply_affine(shown.affine, np.argwhere(np.asarray(shown.dataobj) > 127)) * [-1, -1, 1]
    np.testing.assert_allclose(bright.mean(0), middle, atol=0.6)
    assert len(bright) * 2.5 * 2.6 * 4 == pytest.approx(10 * 8 * 6 * PITCH**3, rel=0.05)


def test_volumes_are_counted_in_the_patient_s_millimeters(tmp_path: Path) -> None:
    """Two voxels of necrosis, one of edema, four of enhancing tumor, each 2 x 3 x 5 = 30 cubic millimeters."""
    labels = np.array([1, 1, 2, 4, 4, 4, 4, 0], np.uint8).reshape(2, 2, 2)
    assert volumes_ml(labels, (2.0, 3.0, 5.0)) == pytest.approx(
        {"necrosis": 0.06, "edema": 0.03, "enhancing": 0.12, "whole": 0.21}
    )
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    explanation = explain(volumes, a_prepared(), a_map((1, (slice(2, 6),) * 3)), None)
    assert explanation.volumes_ml["whole"] == explanation.volumes_ml["edema"]
    # Interpolation rounds a block's corners off.
    assert explanation.volumes_ml["whole"] == pytest.approx((4 * PITCHES) ** 3 / 1000, rel=0.08)
    drawn = np.asarray(opened(explanation, "tumor", tmp_path).dataobj)
    assert explanation.volumes_ml["edema"] == pytest.approx(np.count_nonzero(drawn) * 2.5 * 2.6 * 4 / 1000)


def test_a_voxel_that_is_half_tumor_takes_its_likeliest_region(tmp_path: Path) -> None:
    tumor_map = a_map()
    tumor_map[:, 2:6, 2:6, 2:6] = np.array([0.2, 0.1, 0.35])[:, None, None, None]
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    drawn = opened(explain(volumes, a_prepared(), tumor_map, None), "tumor", tmp_path)
    assert set(np.unique(np.asarray(drawn.dataobj))) == {0, 4}
    tumor_map *= 0.75
    assert explain(volumes, a_prepared(), tumor_map, None).volumes_ml["whole"] == 0


def test_without_an_answer_only_the_scans_are_shown() -> None:
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    explanation = explain(volumes, a_prepared(), None, None)
    assert (tuple(explanation.files), explanation.volumes_ml) == (SEQUENCES, {})


def test_equal_input_gives_equal_bytes() -> None:
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    cam = np.random.default_rng(0).random((N, N, N), np.float32)
    first, second = (explain(volumes, a_prepared(), a_map((0, ARM)), cam) for _ in range(2))
    assert first.files == second.files


def test_a_record_without_its_alignments_is_refused() -> None:
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    case = a_prepared()
    case.record["steps"].clear()
    with pytest.raises(PreparationError, match="does not say how"):
        explain(volumes, case, None, None)


def test_moved_sequences_lie_on_the_contrast_scan_again(tmp_path: Path) -> None:
    """The lesion is where it is on T1wCE, within a voxel, on every file, though each scan was moved by millimeters."""
    volumes, case = a_moved_head()
    explanation = explain(volumes, case, None, None)
    pose = a_pose((8, -6, 15), (6, -4, 8))
    lesion = np.array(pose.GetInverse().TransformPoint(LESION))
    edges = {}
    for name in SEQUENCES:
        image = opened(explanation, name, tmp_path)
        index = np.indices(image.shape).reshape(3, -1).T
        points = nibabel.affines.apply_affine(image.affine, index) * [-1, -1, 1]
        near = np.linalg.norm(points - lesion, axis=1) < 10
        core = image.get_fdata().reshape(-1)[near]
        # The core is dark on T1w, T1wCE and FLAIR, bright on T2w.
        weight = core - core.min() if name == "T2w" else core.max() - core
        edges[name] = (points[near] * (weight**4)[:, None]).sum(0) / (weight**4).sum()
    for name in SEQUENCES:
        assert np.linalg.norm(edges[name] - edges["T1wCE"]) < 2.0, name
        assert np.linalg.norm(edges[name] - lesion) < 2.5, name


def test_a_record_gives_back_the_transform_that_was_found_through_json() -> None:
    volumes, case = a_moved_head()
    record = json.loads(json.dumps(case.record))
    copies = {name: working_copy(volumes[name].image(), 3.0) for name in ("T1wCE", "T2w")}
    found = rigid(copies["T1wCE"], copies["T2w"]).transform
    told = alignments_of(record)["T2w"]
    for point in np.random.default_rng(0).normal(0, 80, (20, 3)).tolist():
        assert told.TransformPoint(point) == found.TransformPoint(point)
    assert alignments_of(record)["T1wCE"].TransformPoint((1, 2, 3)) == (1, 2, 3)


def test_the_tumor_of_a_moved_head_is_drawn_on_its_lesion(tmp_path: Path) -> None:
    volumes, case = a_moved_head()
    pose = a_pose((8, -6, 15), (6, -4, 8))
    lesion = np.array(pose.GetInverse().TransformPoint(LESION))
    grid = grid_image(case.record)
    index = np.round(np.array(grid.TransformPhysicalPointToContinuousIndex(lesion.tolist())) / 4 - 0.375).astype(int)
    tumor_map = np.zeros((3, 8, 8, 8), np.float32)
    tumor_map[(2, *index[::-1])] = 1
    drawn = opened(explain(volumes, case, tumor_map, None), "tumor", tmp_path)
    points = nibabel.affines.apply_affine(drawn.affine, np.argwhere(np.asarray(drawn.dataobj) == 4)) * [-1, -1, 1]
    assert len(points)
    assert np.abs(points.mean(0) - lesion).max() < 4 * grid.GetSpacing()[0] / 2 + 2


def test_files_are_small_enough_to_send() -> None:
    """Each is gzip; a blank one of 90,000 voxels is a thousandth of what it unpacks to."""
    volumes = {name: a_volume(n) for n, name in enumerate(SEQUENCES)}
    explanation = explain(volumes, a_prepared(), a_map(), np.zeros((N, N, N), np.float32))
    assert len(gzip.decompress(explanation.files["tumor"])) == 352 + 90_000
    assert len(explanation.files["tumor"]) < 1000
