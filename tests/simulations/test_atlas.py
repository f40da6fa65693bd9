from dataclasses import fields, replace
from itertools import pairwise

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.testing import assert_array_equal

from core.imaging.atlas import DATA, atlas
from simulations import atlas as builder
from simulations.atlas import Head, Tissue, halve, load_head, templates, write_core_atlas
from simulations.head_anatomy import distance_to, smooth_field


def small_head(seed=0, shape=(6, 8, 4)):
    rng = np.random.default_rng(seed)
    gray, white, csf = rng.integers(0, 86, (3, *shape), dtype=np.uint8)
    tissue = rng.integers(0, len(Tissue), shape, dtype=np.uint8)
    brain, intracranial = rng.integers(0, 2, (2, *shape), dtype=np.uint8)
    return Head(gray, white, csf, tissue, brain, intracranial, 1.0, (-3.0, 5.0, 7.0))


def same(one, other):
    return all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Head))


def dice(one, other):
    a, b = (sitk.GetArrayFromImage(mask) > 0 for mask in (one, other))
    return 2 * np.count_nonzero(a & b) / (a.sum() + b.sum())


def region(head, x, y, z):
    """Return the slices of a box given in mm (low, high) along LPS x, y, z."""
    spans = zip((z, y, x), reversed(head.origin), strict=True)
    return tuple(slice(int((low - o) / head.spacing), int((high - o) / head.spacing)) for (low, high), o in spans)


def test_a_voxel_is_never_more_than_full_and_inside_the_skull_it_is_full():
    head = load_head(1)
    whole = head.gray.astype(int) + head.white + head.csf
    assert whole.max() == 255
    assert (whole[(head.intracranial == 1) & (head.tissue == Tissue.NONE)] == 255).all()
    assert (whole[head.intracranial == 0] == 0).all()


def test_from_outside_one_meets_scalp_then_bone_around_marrow_then_fluid_and_brain():
    head = load_head(1)
    assert not (head.brain & (1 - head.intracranial)).any()
    z, y = (round(mm - o) for mm, o in zip((40, 10), (head.origin[2], head.origin[1]), strict=True))
    ray = head.tissue[z, y]
    layers = [Tissue(ray[0])] + [Tissue(b) for a, b in pairwise(ray) if a != b]
    layers = layers[: layers.index(Tissue.NONE, 1) + 1]
    expected = ["NONE", "SKIN", "FAT", "MUSCLE", "BONE", "MARROW", "BONE", "NONE"]
    assert [layer.name for layer in layers] == expected
    fluid, brain = (int(np.argmax(volume[z, y] > 0)) for volume in (head.csf, head.brain))
    assert 1 <= brain - fluid <= 4


def test_the_brain_has_an_adult_s_volume_at_both_spacings():
    for head in (load_head(1), load_head(2)):
        liters = head.brain.sum() * head.spacing**3 / 1e6
        assert 1.7 < liters < 2.0


def test_eyes_are_in_front_and_the_cord_leaves_below_at_the_back():
    for head in (load_head(1), load_head(2)):
        eyes = np.argwhere(head.tissue == Tissue.EYE)[:, ::-1] * head.spacing + head.origin
        left = eyes[eyes[:, 0] > 0].mean(0)
        np.testing.assert_allclose(left, (32, -82, -50), atol=3)
        assert len(np.unique(np.sign(eyes[:, 0]))) == 2
        cord = np.argwhere(head.tissue == Tissue.CORD)[:, ::-1] * head.spacing + head.origin
        assert cord[:, 2].max() < -60
        assert abs(cord[:, 0]).max() < 7
        assert cord[:, 1].min() > 30
        # The ventricles' bodies hold fluid, the white matter beside them does not.
        fluid = head.csf[region(head, (4, 10), (-8, 4), (14, 20))].mean()
        matter = head.white[region(head, (26, 32), (-8, 4), (20, 26))].mean()
        assert fluid > 150
        assert matter > 200


def test_the_two_millimeter_head_averages_shares_and_lets_labels_go_by_majority():
    head = small_head()
    coarse = halve(head)
    assert coarse.spacing == 2.0
    assert coarse.origin == (-2.5, 5.5, 7.5)
    assert coarse.gray.shape == (3, 4, 2)
    for z, y, x in np.ndindex(coarse.gray.shape):
        block = (slice(2 * z, 2 * z + 2), slice(2 * y, 2 * y + 2), slice(2 * x, 2 * x + 2))
        assert coarse.white[z, y, x] == int(head.white[block].mean())
        assert coarse.brain[z, y, x] == (head.brain[block].mean() >= 0.5)
        counts = np.bincount(head.tissue[block].ravel(), minlength=len(Tissue))
        assert counts[coarse.tissue[z, y, x]] == counts.max()


def test_an_odd_last_voxel_is_dropped():
    assert halve(small_head(shape=(7, 9, 5))).gray.shape == (3, 4, 2)


def test_the_head_is_built_once_and_then_read_from_the_cache(tmp_path, monkeypatch):
    built = []
    monkeypatch.setenv("FL_HOME", str(tmp_path))
    monkeypatch.setattr(builder, "build_head", lambda: built.append(1) or small_head())
    fresh = load_head.__wrapped__
    first, second = fresh(1), fresh(1)
    assert built == [1]
    assert same(first, small_head())
    assert same(second, first)
    assert second.origin == first.origin
    assert isinstance(second.spacing, float)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npz"]


def test_an_empty_setting_of_home_is_none_for_the_cache_too(tmp_path, monkeypatch):
    monkeypatch.setenv("FL_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builder, "build_head", small_head)
    load_head.__wrapped__(1)
    assert [path.suffix for path in (tmp_path / ".local" / "share" / "gliofed" / "cache").iterdir()] == [".npz"]


def test_another_builder_s_head_is_not_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FL_HOME", str(tmp_path))
    monkeypatch.setattr(builder, "build_head", small_head)
    load_head.__wrapped__(1)
    monkeypatch.setattr(builder, "_fingerprint", lambda: "another")
    monkeypatch.setattr(builder, "build_head", lambda: small_head(1))
    assert same(load_head.__wrapped__(1), small_head(1))


def test_a_build_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("FL_HOME", str(tmp_path))
    monkeypatch.setattr(builder, "build_head", small_head)

    def full_disk(path, **arrays):
        path.write_bytes(b"half")
        raise OSError

    monkeypatch.setattr(builder.np, "savez_compressed", full_disk)
    with pytest.raises(OSError):
        load_head.__wrapped__(1)
    assert list((tmp_path / "cache").iterdir()) == []


def test_templates_are_turned_from_nilearn_s_axes_to_ours(monkeypatch):
    values = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    affine = np.eye(4)
    affine[:3, 3] = (-10, -20, -30)  # RAS position of values[0, 0, 0]
    image = nibabel.Nifti1Image(values, affine)
    for name in ("template", "gm_template", "wm_template"):
        monkeypatch.setattr(f"nilearn.datasets.load_mni152_{name}", lambda resolution: image)
    arrays, (x, y, z) = templates()
    # RAS (-9, -18, -30) is LPS (9, 18, -30): the first voxel of the turned array.
    assert (x, y, z) == (9, 18, -30)
    assert arrays["t1"][0, 0, 0] == values[1, 2, 0]
    # RAS (-10, -19, -28) is LPS (10, 19, -28).
    assert arrays["gray"][2, 1, 1] == values[0, 1, 2]


def test_the_shipped_atlas_is_what_the_command_writes(tmp_path):
    write_core_atlas(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(written) == ["atlas_2mm.nii.gz", "atlas_2mm_brain.nii.gz"]
    for name, content in written.items():
        assert (DATA / name).read_bytes() == content


def test_the_shipped_atlas_lies_where_the_head_does():
    template, brain = atlas()
    head = load_head(2)
    assert template.GetSpacing() == brain.GetSpacing() == (2, 2, 2)
    assert template.GetSize() == brain.GetSize()
    there = sitk.GetImageFromArray(head.brain)
    there.SetSpacing((2, 2, 2))
    there.SetOrigin(head.origin)
    overlaps = [
        dice(sitk.Resample(there, brain, sitk.TranslationTransform(3, (0, y, z)), sitk.sitkNearestNeighbor), brain)
        for y, z in ((0, 0), (0, 4), (0, -4), (4, 0), (-4, 0))
    ]
    assert overlaps[0] > 0.98
    assert max(overlaps[1:]) < 0.97
    values = sitk.GetArrayFromImage(template)
    assert values.min() == 0
    assert 0.9 < values.max() <= 1
    assert (values[sitk.GetArrayFromImage(brain) > 0] > 0).mean() > 0.99
    assert "McGill" in (DATA / "MNI152_LICENSE.txt").read_text()


def test_distance_is_negative_inside_and_in_voxels():
    mask = np.zeros((9, 9, 9), bool)
    mask[3:6, 3:6, 3:6] = True
    distance = distance_to(mask)
    assert distance[4, 4, 4] == -1
    assert distance[4, 4, 8] == 3
    np.testing.assert_allclose(distance[8, 8, 4], np.sqrt(18), rtol=1e-6)


def test_smooth_fields_repeat_and_have_about_unit_variance():
    field = smooth_field(np.random.default_rng(3), (40, 44, 48), 6)
    assert field.shape == (40, 44, 48)
    assert_array_equal(field, smooth_field(np.random.default_rng(3), (40, 44, 48), 6))
    assert 0.5 < field.std() < 1.2
    assert np.abs(np.diff(field, axis=0)).max() < 1


def test_a_head_cannot_be_changed():
    with pytest.raises(AttributeError):
        small_head().spacing = 3
    assert replace(small_head(), spacing=3.0).spacing == 3
