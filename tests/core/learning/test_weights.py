import numpy as np
import pytest
import torch
from torch import nn

from core.errors import UpdateRejected
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of, named, restore, unnamed
from core.messages import Manifest, Part
from core.study import ModelSettings


def a_line():
    """y = [1 2] x + 3."""
    line = nn.Linear(2, 1)
    with torch.no_grad():
        line.weight.copy_(torch.tensor([[1.0, 2.0]]))
        line.bias.fill_(3.0)
    return line


def test_a_model_is_laid_out_in_the_order_of_its_manifest():
    assert manifest_of(a_line()) == Manifest((Part("weight", (1, 2)), Part("bias", (1,))))
    flat = flatten(a_line())
    assert flat.dtype == np.float32
    assert flat.tolist() == [1, 2, 3]


def test_what_is_flattened_is_a_copy():
    line = a_line()
    flatten(line)[:] = 0
    assert flatten(line).tolist() == [1, 2, 3]


def test_restoring_gives_back_every_weight_to_the_last_bit():
    model, other = (build_model(ModelSettings(preset="tiny"), seed) for seed in (1, 2))
    flat = flatten(model)
    restore(other, flat)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert flatten(other).tobytes() == flat.tobytes()


def test_the_model_does_not_share_memory_with_what_was_restored():
    line, flat = a_line(), np.array([4, 5, 6], np.float32)
    restore(line, flat)
    flat[:] = 0
    assert flatten(line).tolist() == [4, 5, 6]


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), ()])
def test_an_array_of_another_size_is_refused(shape):
    with pytest.raises(UpdateRejected, match="3 parameters"):
        restore(a_line(), np.zeros(shape, np.float32))


def test_parts_have_names_and_shapes_and_go_back_whatever_their_order():
    manifest = manifest_of(a_line())
    parts = named(manifest, np.array([1, 2, 3], np.float32))
    assert {name: part.tolist() for name, part in parts.items()} == {"weight": [[1, 2]], "bias": [3]}
    backwards = dict(reversed(parts.items()))
    assert unnamed(manifest, backwards).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "parts",
    [
        {"weight": np.zeros((1, 2), np.float32)},
        {"weight": np.zeros((2, 1), np.float32), "bias": np.zeros(1, np.float32)},
        {"weight": np.zeros((1, 2), np.float32), "offset": np.zeros(1, np.float32)},
    ],
)
def test_parts_of_another_model_are_refused(parts):
    with pytest.raises(UpdateRejected, match="names or shapes"):
        unnamed(manifest_of(a_line()), parts)
