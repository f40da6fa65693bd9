"""What a study fixes for every site: the model, how scans are prepared, how it trains, how rounds close."""

import hashlib
import json
import tomllib
from math import inf
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from core.config import Section, validate
from core.cost import BudgetSettings
from core.errors import ConfigError
from core.hours import HoursSettings

# Measured by bench/private_utility.py on synthetic patients; see bench/README.md.
WHOLE_NETWORK_PRICE = (
    "with 5 sites of 100 patients, at epsilon 8, it reached an AUC of 0.54, where a head on frozen weights reaches 0.97"
)
SHA256_OR_NONE = r"^([0-9a-f]{64})?$"


class ModelSettings(Section):
    """The shared network."""

    preset: Literal["tiny", "small", "base", "large", "densenet121"] = "small"
    dropout: float = Field(0.2, ge=0, lt=1)
    frozen: str = Field("", pattern=SHA256_OR_NONE, description="SHA-256 of weights that stay as they are; only a head")
    features: int = Field(8, ge=1, le=64, description="that this head is trained on, where there is one")


class PreprocessingSettings(Section):
    """How four sequences become one case; prepared cases and model versions carry its digest."""

    grid: int = Field(48, ge=16, le=256, multiple_of=16, description="voxels along each axis of the model's grid")
    margin_mm: float = Field(4.0, ge=0, le=30, description="kept around the brain when cropping")
    normalization: Literal["zscore", "robust"] = "zscore"


class AugmentationSettings(Section):
    """How far a training case may be varied; zero turns a variation off."""

    flip: bool = True
    rotation_degrees: float = Field(10.0, ge=0, le=45)
    zoom: float = Field(0.1, ge=0, le=0.5, description="largest relative change of size")
    intensity_shift: float = Field(0.1, ge=0, le=1, description="in standard deviations of the brain's intensity")
    intensity_scale: float = Field(0.1, ge=0, le=0.5)


class TrainingSettings(Section):
    """How a site trains between two averages."""

    epochs_per_round: int = Field(1, ge=1, le=100)
    batch_size: int = Field(4, ge=1, le=256)
    learning_rate: float = Field(6e-3, gt=0, le=1, description="the peak of the one cycle that spans the study")
    weight_decay: float = Field(1e-3, ge=0, le=1)
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of a step's gradient")
    tumor_map_weight: float = Field(5.0, ge=0, description="weight of the tumor map's loss beside the label's")
    precision: Literal["auto", "float32"] = "auto"


class FederationSettings(Section):
    """When a round closes and what an update may hold."""

    rounds: int = Field(60, ge=1, le=10_000)
    quorum: int = Field(2, ge=1, description="updates without which a round does not count")
    deadline_s: float = Field(3600, gt=0, description="seconds a round waits for every site that takes part")
    grace_s: float = Field(600, ge=0, description="seconds more that it waits for its quorum, before the run pauses")
    max_update_norm: float = Field(1e4, gt=0, description="largest Euclidean norm of what a site adds to the weights")


class FedAvg(Section):
    """The average is the next model."""

    name: Literal["fedavg"] = "fedavg"


class FedProx(Section):
    """As FedAvg, each site held to the weights that it was sent."""

    name: Literal["fedprox"] = "fedprox"
    mu: float = Field(0.01, gt=0, le=100, description="of half the squared distance from them, added to the loss")


class FedAvgM(Section):
    """The server descends towards the average with momentum."""

    name: Literal["fedavgm"] = "fedavgm"
    learning_rate: float = Field(1.0, gt=0, le=10)
    momentum: float = Field(0.7, ge=0, lt=1)


class FedAdam(Section):
    """The server descends towards the average with Adam."""

    name: Literal["fedadam"] = "fedadam"
    learning_rate: float = Field(0.01, gt=0, le=10)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.99, ge=0, lt=1)
    tau: float = Field(1e-3, gt=0, le=1, description="the smallest spread that a step is divided by")


StrategySettings = FedAvg | FedProx | FedAvgM | FedAdam


class StoppingSettings(Section):
    """When a run ends before its rounds do."""

    patience: int = Field(0, ge=0, description="rounds without a new best, past half of the rounds; 0: all rounds")


class PrivacySettings(Section):
    """Differential privacy of every patient, at the patient's own site; off where epsilon is 0.

    Nothing here follows from a site's patients: what divides a step, how many there are and how each site counts in the
    average are agreed, since a site's size is as private as its patients.
    """

    epsilon: float = Field(0.0, ge=0, le=8, description="of a patient over all runs; 0: no differential privacy")
    delta: float = Field(1e-5, gt=0, le=1e-4)
    clip: float = Field(1.0, gt=0, description="largest norm of one patient's gradient")
    sampling_rate: float = Field(1.0, gt=0, le=1, description="with which each step draws each patient, by itself")
    steps_per_round: int = Field(1, ge=1, le=1000)
    learning_rate: float = Field(2.0, gt=0, le=1000)
    patients: int = Field(100, ge=1, le=100_000, description="the size of site that a step is divided by")
    views: int = Field(8, ge=1, le=64, description="augmented views of a patient, which count as one; 1 is slow")
    validation: str = Field("", pattern=SHA256_OR_NONE, description="SHA-256 of the public cases to validate on")

    @property
    def is_on(self) -> bool:
        """Whether updates are noised."""
        return self.epsilon > 0


class Study(Section):
    """Every setting that all sites of a study share."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    seed: int = 7
    validation_fraction: float = Field(0.2, gt=0, lt=0.9, description="of each site's patients, never trained on")
    model: ModelSettings = ModelSettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    training: TrainingSettings = TrainingSettings()
    federation: FederationSettings = FederationSettings()
    strategy: Annotated[StrategySettings, Field(discriminator="name")] = FedAvg()
    stopping: StoppingSettings = StoppingSettings()
    privacy: PrivacySettings = PrivacySettings()
    budget: BudgetSettings = BudgetSettings()
    hours: HoursSettings = HoursSettings()

    @model_validator(mode="after")
    def _chooses_its_round_without_patients(self) -> "Study":
        if self.privacy.is_on and not self.privacy.validation:
            raise ValueError("privacy.validation must name public cases: no site tells how good a round is")
        return self

    @model_validator(mode="after")
    def _holds_no_private_site(self) -> "Study":
        if self.privacy.is_on and isinstance(self.strategy, FedProx):
            raise ValueError("strategy fedprox is not for differential privacy: noised steps are not held back")
        return self

    @model_validator(mode="after")
    def _has_a_budget_that_can_be_kept(self) -> "Study":
        if self.privacy.is_on and self.budget.is_set:
            raise ValueError("budget cannot be kept under differential privacy: no site tells how long it works")
        return self


# Sections that change when a run goes on, and no bit of it.
NO_BITS = {"budget", "hours", "stopping"}
# A run of one epoch after another may end for want of a better one only past this share of them: before lies a plateau.
PLATEAU = 0.5
# From this share of them on the one cycle's rate is below a quarter of its peak.
SETTLED = 0.75


def settings_to_share(study: Study) -> dict[str, Any]:
    """Return every setting for a study.toml; sections that earlier releases do not know, only where they are used."""
    return study.model_dump(mode="json", exclude=_unused(study))


def _unused(study: Study) -> set[str]:
    """Return the sections that only later releases know and that are as if they were not there."""
    return {name for name in (*NO_BITS, "strategy") if getattr(study, name) == Study.model_fields[name].default}


def study_of(text: str) -> Study:
    """Return the study that the text of a study.toml says; no variable of this process changes it.

    Raises: ConfigError: it is not TOML, or not a study.
    """
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"study.toml is not TOML: {error}", fix="tell the coordinator") from None
    return validate(Study, settings, "study.toml")


def digest(settings: Section) -> str:
    """Return the SHA-256 of settings, as 64 hexadecimal digits that do not depend on the order of keys."""
    return _digest_of(settings.model_dump(mode="json"))


def settings_digest(study: Study) -> str:
    """Return a digest of all that the bits depend on: a run may be resumed with another quorum or deadline."""
    bounds = {"max_update_norm": study.federation.max_update_norm, "rounds": study.federation.rounds}
    all_rounds = study.model_copy(update={"federation": FederationSettings(**bounds)})
    # Without them a run of an earlier release has the digest that it had.
    return _digest_of(all_rounds.model_dump(mode="json", exclude=NO_BITS | _unused(study)))


def _digest_of(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def is_settled(done: int, planned: int) -> bool:
    """Say whether the model of a round or epoch is of the end of its plan, where the learning rate has come down.

    A model goes before all earlier ones: which of them a few validation patients like best is mostly luck, and on new
    patients it was worse than the last one in most of the federations that were looked at (docs/decisions/0018).
    """
    return done >= SETTLED * planned


def is_time_to_stop(done: int, best: int, planned: int, patience: int) -> bool:
    """Say whether training should end before its plan does.

    Args:
        done: rounds or epochs whose result is validated.
        best: which of them was best, 0 for none.
        planned: how many there are to be.
        patience: how many without a new best are enough, past the plateau; 0 waits for all.
    """
    return bool(patience) and done - max(best, PLATEAU * planned) >= patience


def work_digest(study: Study) -> str:
    """Return a digest of all that the work of one round depends on: two studies that share it cost the same a round."""
    return _digest_of(
        study.model_dump(mode="json", include={"model", "preprocessing", "training", "privacy", "validation_fraction"})
    )


def closing_sentence(study: Study, sites: int) -> str:
    """Say in one sentence when a round closes.

    Args:
        study: sets quorum, deadline and grace.
        sites: how many sites take part.
    """
    federation = study.federation
    wait = f"else wait {duration(federation.grace_s)} more, then pause" if federation.grace_s else "else pause"
    return (
        f"{federation.quorum} of {sites} sites within {duration(federation.deadline_s)}, {wait} and keep what is done"
    )


def tier_of(epsilon: float) -> str:
    """Say how strong a protection is, in the words of every card and report."""
    if not 0 < epsilon < inf:
        return "no DP: what leaves a hospital is not noised"
    strength = next(word for most, word in ((1, "strong"), (3, "medium"), (inf, "weak")) if epsilon <= most)
    return f"epsilon {epsilon:g} ({strength})"


def privacy_sentence(study: Study) -> str:
    """Say how a study protects each patient, and what is to be expected of its model for that."""
    privacy = study.privacy
    if not privacy.is_on:
        return f"{tier_of(0)}."
    told = f"{tier_of(privacy.epsilon)} at delta {privacy.delta:g} for each patient over the whole study"
    if study.model.frozen:
        return f"{told}; only a head on {study.model.features} features is trained."
    return f"{told}. THE WHOLE NETWORK IS TRAINED UNDER NOISE: {WHOLE_NETWORK_PRICE}."


def duration(seconds: float) -> str:
    """Return seconds in the largest unit that needs no fraction."""
    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds:g} seconds"
