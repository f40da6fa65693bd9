"""A study's network with the weights that stay as they are, from a file that every side knows by its hash."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from core.errors import DataError, UpdateRejected
from core.learning.model import GliomaNet, build_model
from core.learning.weights import fill, frozen
from core.public_files import public_file
from core.study import ModelSettings

WHAT = "frozen weights"


def study_model(settings: ModelSettings, seed: int, public: Path) -> GliomaNet:
    """Build a study's network as every side begins with it.

    Args:
        settings: the study's.
        seed: of the weights that are trained.
        public: the folder of files that are known by their hash.
    Raises:
        ConfigError: the frozen weights are not there.
        DataError: they are damaged, or another network's.
    """
    model = build_model(settings, seed)
    if settings.frozen:
        path = public_file(public, settings.frozen, WHAT)
        try:
            fill(frozen(model), load_file(path))
        except (SafetensorError, UpdateRejected):
            raise DataError(
                f"{path} does not hold the {WHAT} of {settings.preset} with {settings.features} features",
                fix="name weights in the study that were made for its model",
            ) from None
    return model
