import numpy as np
import pytest
import torch
from torch.nn import functional

from core.learning.explain import grad_cam, methylation_from, within_regions
from core.learning.model import GliomaNet, build_model
from core.learning.weights import flatten
from core.study import ModelSettings

FROZEN = "0" * 64


def a_model(preset: str = "tiny", seed: int = 1, **settings: object) -> GliomaNet:
    """A network whose heads answer something: a small head begins at zero."""
    model = build_model(ModelSettings.model_validate({"preset": preset, **settings}), seed)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.methylation.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        model.to_map.bias.fill_(-1.0)
    return model


def an_image(size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((4, size, size, size)).astype(np.float32)


def test_the_layer_gives_the_methylation_logit_that_the_whole_model_gives():
    model, image = a_model().eval(), torch.from_numpy(an_image())[None]
    with torch.no_grad():
        layer = within_regions(*model.look_inside(image))
        torch.testing.assert_close(methylation_from(model, layer)[:, 0], model(image).mgmt)


@pytest.mark.parametrize("answer", [True, False])
def test_the_map_is_what_the_paper_s_formula_gives(answer):
    """Selvaraju's equations 1 and 2, by finite differences instead of a gradient.

    All that the head is told of a channel is its mean, so that adding a constant to all of its voxels shows its weight.
    """
    model, image = a_model().double().eval(), an_image(16)
    with torch.no_grad():
        layer = within_regions(*model.look_inside(torch.from_numpy(image).double()[None]))
        weights = []
        for channel in range(layer.shape[1]):
            more, less = layer.clone(), layer.clone()
            more[:, channel] += 1e-6
            less[:, channel] -= 1e-6
            weights.append(float(methylation_from(model, more) - methylation_from(model, less)) / 2e-6)
        seen = sum(weight * layer[0, channel] for channel, weight in enumerate(weights)) * (1 if answer else -1)
        expected = functional.interpolate(seen.clamp(min=0)[None, None], [16] * 3, mode="trilinear")[0, 0].numpy()
    cam = grad_cam(model.float(), image, answer=answer)
    assert expected.max() > 0
    np.testing.assert_allclose(cam, expected / expected.max(), atol=2e-3)


def test_evidence_for_a_tumor_is_where_the_map_says_so():
    """The strongest voxels lead, whatever region they are: of a map with one bright spot, that spot."""
    model, image = a_model(), an_image()
    with torch.no_grad():
        tumor_map, _ = model.eval().look_inside(torch.from_numpy(image)[None])
        model.to_map.bias += 0.1 - tumor_map.flatten(1).topk(16).values.mean()
        strongest = int((tumor_map[0] - tumor_map.mean()).amax(0).argmax())
    cam = grad_cam(model, image, "tumor")
    place = np.unravel_index(int(cam.argmax()), cam.shape)
    distance = np.abs(np.array(place) // 4 - np.unravel_index(strongest, (8, 8, 8)))
    assert distance.max() <= 1
    assert (cam == 0).mean() > 0.5


@pytest.mark.parametrize("head", ["mgmt", "tumor"])
@pytest.mark.parametrize(
    ("preset", "size", "settings"), [("tiny", 32, {}), ("tiny", 32, {"frozen": FROZEN}), ("densenet121", 16, {})]
)
def test_every_model_is_explained_and_left_as_it_was(head, preset, size, settings):
    model = a_model(preset, **settings)
    model.train()
    before = flatten(model).copy()
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        cam = grad_cam(model, an_image(size), head)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert (cam.dtype, cam.shape) == (np.float32, (size,) * 3)
    assert cam.min() >= 0
    assert cam.max() in (0, 1)
    assert model.training
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(flatten(model), before)


def test_equal_input_gives_equal_bits_whatever_the_threads_and_the_mode_and_other_input_another_map():
    model = a_model("small")
    first = grad_cam(model.eval(), an_image())
    with torch.inference_mode():
        np.testing.assert_array_equal(grad_cam(model.train(), an_image()), first)
    assert not np.array_equal(grad_cam(model, an_image(seed=1)), first)


def test_where_nothing_speaks_for_an_answer_the_map_is_empty():
    model = a_model()
    with torch.no_grad():
        model.methylation[-1].weight.zero_()
    assert not grad_cam(model, an_image()).any()


def test_an_image_is_not_changed():
    image = an_image()
    image.setflags(write=True)
    before = image.copy()
    grad_cam(a_model(), image)
    np.testing.assert_array_equal(image, before)
