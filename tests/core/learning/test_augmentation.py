import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from core.learning.augmentation import Augmentation, apply, move, rotation_matrix, sample
from core.study import AugmentationSettings

NOTHING = AugmentationSettings(flip=False, rotation_degrees=0, zoom=0, intensity_shift=0, intensity_scale=0)
EVERYTHING = AugmentationSettings(flip=True, rotation_degrees=20, zoom=0.3, intensity_shift=0.5, intensity_scale=0.2)


def a_field(channels=2, size=9, seed=0):
    """Smooth, so that one voxel's shift does not matter much, and without symmetry."""
    noise = np.random.default_rng(seed).standard_normal((channels, size, size, size))
    return ndimage.gaussian_filter(noise, (0, 1, 1, 1)).astype(np.float32)


def alone(augmentation, field):
    """A field moved in a batch of its own."""
    return move([augmentation], field[None])[0]


def one_case(augmentation, image, tumor_map):
    """The plain way: one case at a time, one change after the other, PyTorch's own grid."""
    scale, shift = (
        torch.tensor(told)[:, None, None, None] for told in (augmentation.intensity_scale, augmentation.intensity_shift)
    )
    image = torch.where(image != 0, image * scale + shift, 0.0)
    moved = []
    for values in (image, tumor_map):
        flipped = values.flip([axis + 1 for axis in range(3) if augmentation.flip[axis]])
        inverse = (rotation_matrix(augmentation.rotation).T / augmentation.zoom)[::-1, ::-1]
        affine = torch.from_numpy(np.concatenate([inverse, np.zeros((3, 1))], 1).astype(np.float32))
        grid = torch.nn.functional.affine_grid(affine[None], [1, *values.shape], align_corners=False)
        moved.append(torch.nn.functional.grid_sample(flipped[None], grid, align_corners=False)[0])
    return moved


def a_batch(count=5, size=12):
    """Images with an empty rim, and maps."""
    images = torch.stack([torch.from_numpy(a_field(4, size, seed)) for seed in range(count)])
    images[:, :, :2] = 0
    maps = torch.stack([torch.from_numpy(a_field(3, size // 4, seed)) for seed in range(count)])
    return images, maps


@pytest.mark.parametrize("settings", [EVERYTHING, AugmentationSettings()])
def test_a_batch_becomes_what_its_cases_would_become_one_by_one(settings):
    images, maps = a_batch()
    kept, generator = images.clone(), np.random.default_rng(4)
    drawn = [sample(settings, generator) for _ in images]
    moved, moved_maps = apply(drawn, images, maps)
    for place, augmentation in enumerate(drawn):
        image, tumor_map = one_case(augmentation, images[place], maps[place])
        np.testing.assert_allclose(moved[place], image, atol=2e-5)
        np.testing.assert_allclose(moved_maps[place], tumor_map, atol=2e-5)
    assert torch.equal(images, kept)


def test_what_becomes_of_a_case_does_not_depend_on_the_others():
    images, maps = a_batch()
    generator = np.random.default_rng(5)
    turned, other = sample(EVERYTHING, generator), sample(EVERYTHING, generator)
    mirrored, brighter = Augmentation(flip=(True, False, True)), Augmentation(intensity_shift=(0.1, 0.2, 0.3, 0.4))
    for company in ([turned, other, turned], [mirrored, brighter], [turned, mirrored, Augmentation(), brighter]):
        moved, moved_maps = apply(company, images[: len(company)], maps[: len(company)])
        for place, augmentation in enumerate(company):
            image, tumor_map = apply([augmentation], images[place][None], maps[place][None])
            assert torch.equal(moved[place], image[0])
            assert torch.equal(moved_maps[place], tumor_map[0])


def test_nothing_to_vary_changes_nothing_at_all():
    image, tumor_map = torch.from_numpy(a_field(4, 8)), torch.from_numpy(a_field(3, 2))
    augmentation = sample(NOTHING, np.random.default_rng(1))
    assert augmentation == Augmentation()
    images, tumor_maps = image[None], tumor_map[None]
    moved, moved_maps = apply([augmentation], images, tumor_maps)
    assert moved is images
    assert moved_maps is tumor_maps


@given(st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_flips_are_numpys_flips(flip):
    field = a_field()
    axes = [axis + 1 for axis in range(3) if flip[axis]]
    moved = alone(Augmentation(flip=flip), torch.from_numpy(field))
    assert np.array_equal(moved.numpy(), np.flip(field, axes))


@pytest.mark.parametrize(("axis", "plane"), [(0, (1, 2)), (1, (2, 0)), (2, (0, 1))])
def test_a_quarter_turn_is_numpys_quarter_turn_in_the_same_sense(axis, plane):
    field = a_field()
    rotation = tuple(90.0 if each == axis else 0.0 for each in range(3))
    turned = alone(Augmentation(rotation=rotation), torch.from_numpy(field)).numpy()
    expected = np.rot90(field, axes=(plane[0] + 1, plane[1] + 1))
    np.testing.assert_allclose(turned, expected, atol=1e-5)


def test_rotation_and_zoom_are_scipys_affine_transform_about_the_center():
    field, rotation, zoom = a_field(1, 11), (12.0, -8.0, 5.0), 1.2
    moved = alone(Augmentation(rotation=rotation, zoom=zoom), torch.from_numpy(field))[0].numpy()
    inverse = np.linalg.inv(rotation_matrix(rotation) * zoom)
    center = np.full(3, 5.0)
    expected = ndimage.affine_transform(field[0], inverse, center - inverse @ center, order=1, cval=0)
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(moved[inner], expected[inner], atol=1e-4)


def test_image_and_map_move_together():
    # A ball in the image at full size and in the map at a quarter of it: their centers of mass must coincide.
    places = np.stack(np.meshgrid(*[np.arange(32.0)] * 3, indexing="ij"))
    ball = (np.square(places - np.array([19, 13, 21.0])[:, None, None, None]).sum(0) < 25).astype(np.float32)
    image = torch.from_numpy(ball)[None].repeat(4, 1, 1, 1)
    tumor_map = torch.nn.functional.avg_pool3d(image[:3], 4)
    augmentation = Augmentation(flip=(True, False, True), rotation=(15, -10, 20), zoom=1.15)
    (moved,), (moved_map,) = apply([augmentation], image[None], tumor_map[None])
    fine = np.array(ndimage.center_of_mass(moved[0].numpy()))
    coarse = np.array(ndimage.center_of_mass(moved_map[0].numpy())) * 4 + 1.5
    assert np.abs(fine - coarse).max() < 0.2
    assert np.abs(fine - np.array([19, 13, 21])).max() > 3


def test_intensity_changes_each_sequence_inside_the_brain_only():
    image = torch.zeros(4, 2, 2, 2)
    image[:, 0] = 2
    augmentation = Augmentation(intensity_scale=(1, 2, 3, 0.5), intensity_shift=(0, 1, -1, 0.25))
    (changed,), _ = apply([augmentation], image[None], torch.zeros(1, 3, 1, 1, 1))
    assert changed[:, 0].unique(dim=1).mean((1, 2)).tolist() == [2, 5, 5, 1.25]
    assert changed[:, 1].abs().max() == 0
    assert image[:, 0].unique().tolist() == [2]


@given(st.integers(0, 2**32))
def test_parameters_stay_within_their_settings(seed):
    drawn = sample(EVERYTHING, np.random.default_rng(seed))
    assert max(map(abs, drawn.rotation)) <= 20
    assert 1 / 1.3 <= drawn.zoom <= 1.3
    assert max(map(abs, drawn.intensity_shift)) <= 0.5
    assert 1 / 1.2 <= min(drawn.intensity_scale) <= max(drawn.intensity_scale) <= 1.2


def test_turning_one_variation_off_leaves_the_others_as_they_were():
    full, still = (
        sample(settings, np.random.default_rng(3))
        for settings in (EVERYTHING, EVERYTHING.model_copy(update={"rotation_degrees": 0.0, "flip": False}))
    )
    assert still.rotation == (0, 0, 0)
    assert still.flip == (False, False, False)
    assert (still.zoom, still.intensity_scale, still.intensity_shift) == (
        full.zoom,
        full.intensity_scale,
        full.intensity_shift,
    )
