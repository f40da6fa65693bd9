import json
import pickle
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import SimpleITK as sitk

from core.errors import DataError, NotACaseError
from core.imaging.case import pixel_digest
from core.imaging.model_grid import grid_image
from core.imaging.preprocessing import prepare_case
from core.imaging.version import PREPROCESSING_VERSION
from core.imaging.volume import SEQUENCES, Volume
from core.study import PreprocessingSettings
from tests.core.imaging.factories_heads import LESION, a_case, a_pose, lesion_labels, scanned

SETTINGS = PreprocessingSettings(grid=48)
TILTED = a_pose((20, 6, -10), (8, -10, 12))


@lru_cache(maxsize=4)
def prepared(kind):
    """Cases that several tests look at: as scanned, tilted and sagittal, and already stripped."""
    pose, plane = (TILTED, "sagittal") if kind == "tilted sagittal" else (None, "axial")
    volumes = a_case(pose, plane, stripped=kind == "stripped", moved=kind == "moved")
    mask = scanned(lesion_labels(), pose, plane, interpolator=sitk.sitkNearestNeighbor)
    return prepare_case(volumes, SETTINGS, mask)


def step(case, name):
    return next(step for step in case.record["steps"] if step["step"] == name)


@pytest.mark.parametrize("kind", ["moved", "tilted sagittal", "stripped"])
def test_a_good_case_is_usable_and_normalized_inside_the_brain(kind):
    case = prepared(kind)
    assert case.quality.reasons == ()
    assert case.image.shape == (4, 48, 48, 48)
    assert case.image.dtype == np.float32
    assert case.brain.dtype == bool
    for channel in case.image:
        assert channel[case.brain].mean() == pytest.approx(0, abs=0.01)
        assert channel[case.brain].std() == pytest.approx(1, abs=0.01)
        assert not channel[~case.brain].any()


@pytest.mark.parametrize("kind", ["moved", "tilted sagittal", "stripped"])
def test_the_axes_run_to_superior_posterior_and_left_of_the_head_however_it_was_scanned(kind):
    case = prepared(kind)
    grid = grid_image(case.record)
    head = TILTED if kind == "tilted sagittal" else sitk.Transform(3, sitk.sitkIdentity)
    here = head.GetInverse().TransformPoint(LESION)
    expected = np.array(grid.TransformPhysicalPointToContinuousIndex(here))[::-1]
    assert np.linalg.norm(np.argwhere(case.tumor).mean(0) - expected) < 1
    # Of the head itself: along D one goes up, along H backwards, along W to the left.
    base = np.array(head.TransformPoint(grid.TransformIndexToPhysicalPoint((0, 0, 0))))
    for axis, lps in ((0, (1, 0, 0)), (1, (0, 1, 0)), (2, (0, 0, 1))):
        index = [47 if a == axis else 0 for a in range(3)]
        way = np.array(head.TransformPoint(grid.TransformIndexToPhysicalPoint(index))) - base
        assert way @ lps / np.linalg.norm(way) > np.cos(np.deg2rad(4))


def test_the_same_head_looks_the_same_from_an_axial_and_a_tilted_sagittal_stack():
    axial, sagittal = prepared("moved"), prepared("tilted sagittal")
    for one, other in zip(axial.image, sagittal.image, strict=True):
        both = axial.brain & sagittal.brain
        assert np.corrcoef(one[both], other[both])[0, 1] > 0.85


def test_the_tumor_mask_lies_on_the_bright_lesion():
    case = prepared("tilted sagittal")
    assert set(np.unique(case.tumor)) == {0, 1, 2, 4}
    ring, edema, core = (case.tumor == label for label in (4, 2, 1))
    contrast = SEQUENCES.index("T1wCE")
    # The ring is the brightest half percent of the brain, at which intensities are clipped.
    assert case.image[contrast][ring].mean() > 0.95 * case.image[contrast].max()
    assert case.image[SEQUENCES.index("FLAIR")][edema].mean() > 1.5
    assert case.image[contrast][core].mean() < case.image[contrast][ring].mean() - 2


def test_every_value_is_one_linear_interpolation_of_original_voxels():
    """A naive twin: from the record alone, by hand, from the original voxels to the prepared value."""
    settings = PreprocessingSettings(grid=96)  # finer than the scan, so that nothing is averaged before
    volumes = a_case(stripped=True, moved=True)
    case = prepare_case(volumes, settings)
    grid = grid_image(case.record)
    parameters = step(case, "co-register")["sequences"]["FLAIR"]
    scale = step(case, "normalize")["sequences"]["FLAIR"]
    way = sitk.Euler3DTransform(parameters["center_mm"], *parameters["angles_rad"], parameters["translation_mm"])
    volume, channel = volumes["FLAIR"], case.image[SEQUENCES.index("FLAIR")]
    inside = np.argwhere(case.brain)
    for d, h, w in inside[np.random.default_rng(0).choice(len(inside), 50, replace=False)].tolist():
        point = np.array(way.TransformPoint(grid.TransformIndexToPhysicalPoint((w, h, d))))
        x, y, z = volume.direction.T @ (point - volume.origin) / volume.spacing
        i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
        value = sum(
            volume.voxels[k + c, j + b, i + a]
            * (x - i if a else i + 1 - x)
            * (y - j if b else j + 1 - y)
            * (z - k if c else k + 1 - z)
            for a in (0, 1)
            for b in (0, 1)
            for c in (0, 1)
        )
        expected = (np.clip(value, scale["low"], scale["high"]) - scale["center"]) / scale["scale"]
        assert channel[d, h, w] == pytest.approx(expected, abs=2e-3)


def test_a_stripped_scan_is_left_as_it_came():
    case = prepared("stripped")
    assert step(case, "strip the skull")["method"] == "as it came"
    grid = grid_image(case.record)
    scan = a_case(stripped=True)["T1wCE"].image()
    support = sitk.Resample(sitk.Cast(scan != 0, sitk.sitkFloat32), grid, sitk.Transform(), sitk.sitkLinear)
    truth = sitk.GetArrayFromImage(support) >= 0.5
    assert 2 * (truth & case.brain).sum() / (truth.sum() + case.brain.sum()) > 0.97
    assert step(prepared("moved"), "strip the skull")["method"] != "as it came"


def test_equal_input_gives_equal_bits_whatever_the_number_of_threads():
    volumes = a_case(moved=True)
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(3)
    try:
        again = prepare_case(volumes, SETTINGS)
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    assert pixel_digest(again) == pixel_digest(prepared("moved"))
    assert again.record == prepared("moved").record
    assert again.tumor is None


def test_the_record_is_json_and_names_every_step_in_order():
    record = json.loads(json.dumps(prepared("moved").record))
    assert record == prepared("moved").record
    assert record["settings"] == SETTINGS.model_dump()
    assert record["version"] == PREPROCESSING_VERSION
    assert [step["step"] for step in record["steps"]] == [
        "co-register",
        "resample to isotropic",
        "strip the skull",
        "normalize",
        "crop to the brain",
        "resize",
        "stack",
    ]
    grid = grid_image(record)
    assert grid.TransformPhysicalPointToIndex(grid.TransformIndexToPhysicalPoint((5, 20, 40))) == (5, 20, 40)


def test_the_crop_keeps_the_margin_around_the_brain():
    case = prepared("stripped")
    spacing = case.record["grid"]["spacing"][0]
    where = np.argwhere(case.brain)
    room = (where.min(0) * spacing, (47 - where.max(0)) * spacing)
    # On the longest axis (H) 4 mm on either side, give or take a voxel; the brain fills the rest.
    assert all(0 <= side[1] <= 4 + 1.5 * spacing for side in room)


def test_poor_scans_are_marked_with_all_their_reasons_and_never_refused():
    volumes = a_case()
    noise = np.random.default_rng(0).uniform(1, 400, volumes["T2w"].voxels.shape).astype(np.float32)
    cut = volumes["T1w"].voxels.copy()
    cut[:, :, 32:] = 0  # half of the head is missing
    damaged = volumes["T1wCE"].voxels.copy()
    damaged[3, 4, 5] = np.nan
    poor = {
        "T1w": replace(volumes["T1w"], voxels=cut),
        "T1wCE": replace(volumes["T1wCE"], voxels=damaged),
        "T2w": replace(volumes["T2w"], voxels=noise),
        "FLAIR": replace(volumes["FLAIR"], voxels=np.full_like(noise, 7)),
    }
    elsewhere = sitk.Image(lesion_labels())
    elsewhere.SetOrigin((70, -110, 60))
    case = prepare_case(poor, SETTINGS, elsewhere)
    text = " ".join(case.quality.reasons)
    for words in ("FLAIR is blank", "T2w does not match", "T1w shows only", "tumor mask"):
        assert words in text
    assert np.isfinite(case.image).all()
    assert case.image[SEQUENCES.index("T1wCE")].any()
    assert not case.image[SEQUENCES.index("FLAIR")].any()


def test_a_sequence_of_few_thick_slices_is_too_coarse():
    volumes = a_case(stripped=True)
    thick = replace(volumes["FLAIR"], voxels=volumes["FLAIR"].voxels[::4], spacing=(3.2, 3.2, 16.0))
    assert "FLAIR has voxels of 16 mm" in " ".join(prepare_case({**volumes, "FLAIR": thick}, SETTINGS).quality.reasons)


@pytest.mark.parametrize("blank", [("T1wCE",), SEQUENCES])
def test_without_a_brain_to_find_the_case_is_zeros_with_its_reason(blank):
    volumes = a_case()
    nothing = {name: replace(volumes[name], voxels=np.zeros_like(volumes[name].voxels)) for name in blank}
    case = prepare_case({**volumes, **nothing}, SETTINGS)
    assert not case.image.any()
    assert not case.brain.any()
    assert "No brain was found in the scan." in case.quality.reasons
    assert "T1wCE is blank: all its voxels have the same value." in case.quality.reasons
    json.dumps(case.record)


def test_a_missing_sequence_is_refused_by_name():
    volumes = a_case()
    del volumes["T2w"]
    with pytest.raises(NotACaseError, match="T2w"):
        prepare_case(volumes, SETTINGS)


def test_arguments_and_result_travel_between_processes():
    assert pickle.loads(pickle.dumps((a_case(), SETTINGS)))[1] == SETTINGS
    assert pixel_digest(pickle.loads(pickle.dumps(prepared("moved")))) == pixel_digest(prepared("moved"))


@pytest.mark.parametrize("spacing", [(900.0, 1.0, 1.0), (1.0, 1.0, 900.0), (1.0, float("nan"), 1.0), (0.0, 1.0, 1.0)])
def test_a_volume_of_absurd_extent_is_refused_by_its_sequence(spacing):
    usual = Volume(np.ones((2, 2, 2), np.float32), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3))
    volumes = dict.fromkeys(SEQUENCES, usual) | {"T2w": replace(usual, spacing=spacing)}
    with pytest.raises(DataError, match=r"^T2w: The volume is .* mm large, which no head scan is") as refused:
        prepare_case(volumes, SETTINGS)
    assert refused.value.fix
