"""What must be known of a study's model where PyTorch is not loaded: at a hospital's gate, on a card, on a page."""

from dataclasses import dataclass

from core.messages import Manifest, Part
from core.study import ModelSettings

# What is trained of a model whose other weights are frozen.
HEAD = "methylation.linear"
BYTES_A_VALUE = 4


@dataclass(frozen=True)
class Preset:
    """A model as it goes over the wire: one array of float32.

    Attributes:
        size: its number of values.
        digest: of its manifest, see `core.messages.Manifest`.
    """

    size: int
    digest: str

    @property
    def bytes(self) -> int:
        """Bytes of its values."""
        return self.size * BYTES_A_VALUE


# What building each model gives; a test builds them all and compares.
PRESETS = {
    "tiny": Preset(10_742, "70e8509a4434f1b448469e7e43627614f020375faf8aabfe0cce89b304054bf0"),
    "small": Preset(260_534, "030d69bb05dd0ff1ead40d733aa1fb792b1bb92727800b4999561eb90e9afaa8"),
    "base": Preset(4_140_230, "6562bf71c359dbf076fc009f7e3f76938792d467ddadc046bd95d73adf09d5dd"),
    "large": Preset(8_138_998, "fa5637bcba2f12580187cc3ae6c4cd3d2ac260be29f5567915ec02ff6f853531"),
    "densenet121": Preset(11_547_590, "cb7d36b2e013bef23d7e0ee1e35825c87d63fdc29e3e2cae2b76c313301ca45d"),
}


def preset_of(model: ModelSettings) -> Preset:
    """Return what is known of a study's model: of its small head alone, where the rest is frozen."""
    if not model.frozen:
        return PRESETS[model.preset]
    head = Manifest((Part(f"{HEAD}.weight", (1, model.features)), Part(f"{HEAD}.bias", (1,))))
    return Preset(head.size, head.digest)
