"""Which preprocessing this release has; prepared cases and model versions carry it."""

import hashlib
from pathlib import Path

# Raised whenever the code would prepare the same scans differently.
CODE = 1

_DATA = Path(__file__).parent / "data"


def _of_data() -> str:
    """Return a digest of the atlas and the network's weights, through which every case is seen."""
    whole = hashlib.sha256()
    for path in sorted([*_DATA.glob("*.nii.gz"), *_DATA.glob("*.safetensors")]):
        whole.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:8]


PREPROCESSING_VERSION = f"{CODE}-{_of_data()}"
