"""A model version and a new patient's scans become a prediction: the only place where imaging and learning meet."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from numpy.typing import NDArray

from core.config import validate
from core.errors import ConfigError, RegistryError, UpdateRejected
from core.imaging.case import PreparedCase
from core.imaging.preprocessing import prepare_case
from core.imaging.reading import read_case
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.calibration import DECISIONS, Answer, Calibration, calibrated
from core.learning.likeness import unlike
from core.learning.model import GliomaNet, build_model
from core.learning.prediction import predict_scores
from core.learning.weights import fill
from core.records.registry import ModelVersion, load_version
from core.study import Study

HEADS = tuple(DECISIONS)
ABSENT = DECISIONS["tumor"][0]
NOT_TOLD = "{}: the version's card does not say that this head was trained"


@dataclass(frozen=True)
class Predictor:
    """A model version, loaded and checked.

    Attributes:
        version: its name in the registry.
        study: the study that trained it, which says how scans are prepared for it.
        model: the network in evaluation mode.
        calibration: how its scores become probabilities, intervals and decisions, and what a case must look like.
        untrained: for `tumor` and `mgmt`, why the head has learned nothing to tell, or "" where it has.
    """

    version: str
    study: Study
    model: GliomaNet
    calibration: Calibration
    untrained: dict[str, str]


@dataclass(frozen=True)
class Prediction:
    """What the model says of one patient, or why it says nothing.

    Attributes:
        verdict: `usable`, or `unreliable` (a poor scan, or one unlike the training data): then there is no
            probability, interval, decision, set of possible answers or map.
        reasons: why the verdict is not `usable`, why a probability is None, or why there is no decision.
        tumor_probability, mgmt_probability: calibrated, in [0, 1], or None. They tie where the raw scores do not: rank
            patients by `core.learning.prediction.predict_scores`.
        model_version: the version that spoke.
        tumor_map: float32 [3, n, n, n], probabilities of necrosis, edema and enhancing tumor on a coarse copy of the
            prepared case's grid, or None.
        tumor_interval, mgmt_interval: from where to where the probability may lie, as far as the validation cases can
            tell; None where it is.
        tumor_decision: `present`, `absent` or `undecided`; None where there is no probability.
        mgmt_decision: `methylated`, `unmethylated` or `undecided`; None where there is no probability.
        tumor_possible, mgmt_possible: which of the two answers cannot be excluded at 90 %: both, one, or neither where
            the score is unlike either class's; None where there is no probability, or an earlier release's calibration.
    """

    verdict: str
    reasons: tuple[str, ...]
    tumor_probability: float | None
    mgmt_probability: float | None
    model_version: str
    tumor_map: NDArray[np.float32] | None = None
    tumor_interval: tuple[float, float] | None = None
    mgmt_interval: tuple[float, float] | None = None
    tumor_decision: str | None = None
    mgmt_decision: str | None = None
    tumor_possible: tuple[str, ...] | None = None
    mgmt_possible: tuple[str, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return everything but the map, ready for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "tumor_map"}


def load_predictor(version: Path, trusted: Ed25519PublicKey) -> Predictor:
    """Load an approved model version.

    Args:
        version: the version's folder, beside which its approval lies.
        trusted: the key of the coordinator who approved it.
    Raises: RegistryError: the version is damaged, not approved or retired, holds what this release does not
        know, or was trained on scans prepared by another release.
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
    return Predictor(stored.name, study, model, _calibration_of(stored), _untrained(stored.card))


def use_threads(threads: int) -> None:
    """Let the network use so many threads in this process; 0: as many as there are cores."""
    torch.set_num_threads(threads or torch.get_num_threads())


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
    reasons = case.quality.reasons or unlike(
        predictor.calibration.likeness, case.image, predictor.calibration.validated_on
    )
    if reasons:
        return Prediction("unreliable", reasons, None, None, predictor.version)
    predicted = predict_scores(predictor.model, torch.from_numpy(case.image)[None])
    tumor = _answer(predictor, "tumor", float(predicted.tumor[0]))
    mgmt = _answer(predictor, "mgmt", float(predicted.mgmt[0]))
    if tumor.decision == ABSENT:
        mgmt = Answer(reason="mgmt: no tumor was found, whose methylation could be told")
    return Prediction(
        verdict="usable",
        reasons=tuple(answer.reason for answer in (tumor, mgmt) if answer.reason),
        tumor_probability=tumor.probability,
        mgmt_probability=mgmt.probability,
        model_version=predictor.version,
        tumor_map=predicted.tumor_map[0],
        tumor_interval=tumor.interval,
        mgmt_interval=mgmt.interval,
        tumor_decision=tumor.decision,
        mgmt_decision=mgmt.decision,
        tumor_possible=tumor.possible,
        mgmt_possible=mgmt.possible,
    )


def _answer(predictor: Predictor, head: str, score: float) -> Answer:
    if predictor.untrained[head]:
        return Answer(reason=predictor.untrained[head])
    return calibrated(predictor.calibration, head, score)


def _calibration_of(stored: ModelVersion) -> Calibration:
    try:
        return validate(Calibration, stored.calibration, f"the calibration of {stored.name}")
    except ConfigError as error:
        raise RegistryError(error.problem, fix="use the release that trained the model") from None


def _untrained(card: dict[str, Any]) -> dict[str, str]:
    """Return, for each head, why it cannot be asked, as its version's card says."""
    heads = card.get("heads", {})
    return {head: str(heads[head]["never_trained"]) if head in heads else NOT_TOLD.format(head) for head in HEADS}
