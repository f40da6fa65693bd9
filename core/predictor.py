"""A model version and a new patient's scans become a prediction: the only place where imaging and learning meet."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from numpy.typing import NDArray

from core.config import validate
from core.errors import RegistryError, UpdateRejected
from core.imaging.case import PreparedCase
from core.imaging.preprocessing import prepare_case
from core.imaging.reading import read_case
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.model import GliomaNet, build_model
from core.learning.prediction import predict_scores
from core.learning.weights import fill
from core.records.registry import load_version
from core.study import Study


@dataclass(frozen=True)
class Predictor:
    """A model version, loaded and checked.

    Attributes:
        version: its name in the registry.
        study: the study that trained it, which says how scans are prepared for it.
        model: the network in evaluation mode.
        sees: for `tumor` and `mgmt`, why no probability can be given, or "" where it can.
    """

    version: str
    study: Study
    model: GliomaNet
    sees: dict[str, str]


@dataclass(frozen=True)
class Prediction:
    """What the model says of one patient, or why it says nothing.

    Attributes:
        verdict: `usable`, or `unreliable`: then both probabilities are None.
        reasons: why the verdict is not `usable`, or why a probability is None.
        tumor_probability, mgmt_probability: in [0, 1], or None.
        model_version: the version that spoke.
        tumor_map: float32 [3, n, n, n], probabilities of necrosis, edema and enhancing tumor on a coarse copy of the
            prepared case's grid, or None.
    """

    verdict: str
    reasons: tuple[str, ...]
    tumor_probability: float | None
    mgmt_probability: float | None
    model_version: str
    tumor_map: NDArray[np.float32] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return everything but the map, ready for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "tumor_map"}


def load_predictor(version: Path, trusted: Ed25519PublicKey) -> Predictor:
    """Load an approved model version.

    Args:
        version: the version's folder, beside which its approval lies.
        trusted: the key of the coordinator who approved it.
    Raises: RegistryError: the version is damaged, not approved or retired, or was trained on scans prepared by another
        release.
    """
    stored = load_version(version, trusted)
    study = validate(Study, stored.card.get("study", {}), f"the card of {stored.name}")
    if stored.card.get("preprocessing_version") != PREPROCESSING_VERSION:
        raise RegistryError(
            f"{stored.name} expects scans prepared by version {stored.card.get('preprocessing_version')} of the "
            f"preprocessing; this release has version {PREPROCESSING_VERSION}",
            fix="use the release that trained the model, or a model version of this release",
        )
    model = build_model(study.model, seed=0)
    try:
        fill(dict(model.named_parameters()), stored.tensors)
    except UpdateRejected as error:
        raise RegistryError(f"{stored.name}: {error.problem}", fix="use the release that trained the model") from None
    model.eval()
    return Predictor(stored.name, study, model, _what_it_cannot_tell(stored.card))


def predict_case(predictor: Predictor, path: Path) -> Prediction:
    """Read, prepare and predict one patient.

    Args:
        predictor: a loaded model version.
        path: a folder of DICOM or NIfTI, or a zip of it.
    Raises: DataError: this is no case, or a series cannot be read.
    """
    return predict_prepared(predictor, prepare_case(read_case(path).volumes, predictor.study.preprocessing))


def predict_prepared(predictor: Predictor, case: PreparedCase) -> Prediction:
    """Predict a case that is prepared already, with the settings that the model version expects."""
    if case.quality.reasons:
        return Prediction("unreliable", case.quality.reasons, None, None, predictor.version)
    predicted = predict_scores(predictor.model, torch.from_numpy(case.image)[None])
    return Prediction(
        verdict="usable",
        reasons=tuple(why for why in predictor.sees.values() if why),
        tumor_probability=None if predictor.sees["tumor"] else float(predicted.tumor[0]),
        mgmt_probability=None if predictor.sees["mgmt"] else float(predicted.mgmt[0]),
        model_version=predictor.version,
        tumor_map=predicted.tumor_map[0],
    )


def _what_it_cannot_tell(card: dict[str, Any]) -> dict[str, str]:
    """Return, for each head, why it cannot be asked: a head that saw one class only has learned nothing to tell."""
    seen = card.get("classes_seen", {})
    if not isinstance(seen, dict):  # withheld: under differential privacy no hospital says whom it has
        return dict.fromkeys(("tumor", "mgmt"), "")
    words = {"tumor": "patients with and without a tumor", "mgmt": "methylated and unmethylated patients"}
    return {
        head: "" if seen.get(head) == 2 else f"{head}: the model was never shown both {both}"
        for head, both in words.items()
    }
