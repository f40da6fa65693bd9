"""What a tuning searches: settings of a study by their dotted names, each within bounds or among choices.

Depth and width are searched as `model.preset`, how strongly cases are varied as `augmentation.strength`: a factor on
every number of the base study's augmentation. A number of a strategy (`strategy.mu`) changes nothing in trials of a
strategy that has no such number.
"""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from core.config import Section, validate
from core.study import StrategySettings, Study

Value = bool | int | float | str
Params = Mapping[str, Value]

STRENGTH = "augmentation.strength"
EPOCHS = "training.epochs_per_round"
STRATEGY = "strategy.name"
# Whose patients are measured, for how many epochs, and how a deployment runs: what trials must have in common.
KEPT = {"name", "seed", "validation_fraction", "preprocessing", "federation", "stopping", "privacy", "budget", "hours"}


class PeopleSettings(Section):
    """On whom every trial trains and is validated: synthetic patients, or cohorts that are prepared already."""

    prepared: tuple[Path, ...] = Field(
        (), description="site settings, such as a scenario's OUT/sites/north.toml; not outside.toml"
    )
    sites: int = Field(3, ge=1, le=50, description="synthetic hospitals, where nothing is prepared")
    patients: int = Field(16, ge=2, description="at each")
    controls: int = Field(2, ge=0)
    separability: float = Field(0.95, ge=0.5, lt=1, description="best possible AUC of the planted methylation signal")
    seed: int = Field(7, ge=0)


class Searched(Section):
    """Where one setting is looked for: from low to high, or among choices."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = Field(False, description="look as closely at small values as at large ones")
    choices: tuple[Value, ...] = ()

    @model_validator(mode="after")
    def _is_a_range_or_choices(self) -> "Searched":
        if self.choices:
            if self.low is not None or self.high is not None or self.log or len(set(self.choices)) < 2:
                raise ValueError("choices must be two or more different ones, without low, high and log")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError("wants low below high, or choices")
        elif self.log and self.low <= 0:
            raise ValueError("log wants a low above 0")
        return self

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values between or among which all others lie."""
        return self.choices or tuple(end for end in (self.low, self.high) if end is not None)

    def holds(self, value: Value) -> bool:
        """Say whether a value may come out of the search."""
        if self.choices:
            return value in self.choices
        return not isinstance(value, str) and self.ends[0] <= value <= self.ends[1]  # type: ignore[operator]


Search = Mapping[str, Searched]


class Tuning(Section):
    """Everything in a tuning's TOML file; what is not searched is the base study's."""

    over: Literal["federated", "pooled"] = Field(
        "federated", description="a trial is a whole federated run, or cross-validated training on pooled patients"
    )
    folds: int = Field(5, ge=2, le=20, description="of the cross-validation")
    goal: Literal["auc", "loss"] = Field("auc", description="methylation's AUC or the loss, on validation patients")
    sampler: Literal["gp", "tpe", "random"] = "gp"
    pruner: Literal["median", "hyperband", "none"] = Field("none", description="stops poor trials; not for sampler gp")
    trials: int = Field(40, ge=1, le=10_000)
    seed: int = Field(7, ge=0, description="of the sampler; every trial trains with the study's own")
    people: PeopleSettings = PeopleSettings()
    study: Study
    search: dict[str, Searched] = Field(min_length=1)

    @field_validator("pruner")
    @classmethod
    def _stops_no_trial_that_the_sampler_needs(cls, pruner: str, info: ValidationInfo) -> str:
        if pruner != "none" and info.data.get("sampler") == "gp":
            raise ValueError(
                f"{pruner} stops trials before they have a score, which a Gaussian process learns from: set sampler = "
                '"tpe", which learns from stopped ones too, or pruner = "none"'
            )
        return pruner

    @field_validator("study")
    @classmethod
    def _spends_no_privacy(cls, study: Study) -> Study:
        if study.privacy.is_on:
            raise ValueError("under differential privacy every trial would spend of the patients' budget")
        return study

    @field_validator("search")
    @classmethod
    def _is_of_the_study(cls, search: dict[str, Searched], info: ValidationInfo) -> dict[str, Searched]:
        study = info.data.get("study")
        if study is not None:  # else it is named as wrong itself
            problems = [f"{name}: {problem}" for name in search for problem in _problems(study, name, search)]
            if problems:
                raise ValueError("; ".join(problems))
        return search

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Where each setting is looked for, in Optuna's words."""
        return {name: _distribution(self.study, name, self.search) for name in self.search}

    @property
    def base(self) -> dict[str, Value] | None:
        """The base study as a trial, or None where it lies outside of what is searched."""
        values = {name: _value(self.study, name, searched) for name, searched in self.search.items()}
        return values if all(self.search[name].holds(value) for name, value in values.items()) else None

    def study_of(self, params: Params) -> Study:
        """Return the study of one trial.

        Every trial trains as many epochs on a patient as the base study, as nearly as whole rounds allow: with more
        epochs a round there are fewer rounds.

        Raises: ConfigError: the settings do not go together.
        """
        return validate(Study, _settings(self.study, params), "A trial")


def _settings(study: Study, params: Params) -> dict[str, Any]:
    settings = study.model_dump(mode="json")
    if STRENGTH in params:
        varied = settings["augmentation"]
        varied |= {name: value * params[STRENGTH] for name, value in varied.items() if not isinstance(value, bool)}
    strategy = params.get(STRATEGY, study.strategy.name)
    if strategy != study.strategy.name:
        settings["strategy"] = {"name": strategy}
    for name, value in params.items():
        section, _, key = name.rpartition(".")
        if name != STRENGTH and (section != "strategy" or any(key in kind.model_fields for kind in _named(strategy))):
            settings[section][key] = value
    if EPOCHS in params:
        epochs = study.training.epochs_per_round * study.federation.rounds
        settings["federation"]["rounds"] = max(1, round(epochs / settings["training"]["epochs_per_round"]))
    return settings


def _problems(study: Study, name: str, search: Search) -> list[str]:
    """Return what is wrong with the search of one setting, by trying its ends."""
    section, _, key = name.rpartition(".")
    searched, kinds = search[name], _kinds(study, name, search)
    if name.partition(".")[0] in KEPT:
        return ["is the same in every trial"]
    if name == STRENGTH and searched.choices:
        return ["wants a range, not choices"]
    if name != STRENGTH and not kinds:
        return [
            "is no setting of the study" + (", nor of a strategy that is searched" if section == "strategy" else "")
        ]
    if name != STRENGTH and not searched.choices and not _is_number(kinds[0], key):
        return ["wants choices, not a range"]
    given = [{STRATEGY: _name_of(kind)} for kind in kinds] if section == "strategy" and name != STRATEGY else [{}]
    problems = []
    for end, others in product(searched.ends, given):
        try:
            Study.model_validate(_settings(study, {**others, name: end}))
        except ValidationError as error:
            problems += [f"{end} gives {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return problems


def _distribution(study: Study, name: str, search: Search) -> BaseDistribution:
    searched = search[name]
    if searched.choices:
        return CategoricalDistribution(searched.choices)
    low, high = searched.ends
    if name != STRENGTH and _kinds(study, name, search)[0].model_fields[name.rpartition(".")[2]].annotation is int:
        return IntDistribution(int(low), int(high), log=searched.log)
    return FloatDistribution(float(low), float(high), log=searched.log)


def _value(study: Study, name: str, searched: Searched) -> Value:
    """Return what a setting is in the base study: any where its strategy has none."""
    section, _, key = name.rpartition(".")
    value: Value = 1.0 if name == STRENGTH else getattr(getattr(study, section), key, searched.ends[0])
    return value


def _kinds(study: Study, name: str, search: Search) -> list[type[Section]]:
    """Return the kinds of section with this setting that some trial has."""
    section, _, key = name.rpartition(".")
    if section == "strategy" and STRATEGY in search:
        kinds = [kind for choice in search[STRATEGY].choices for kind in _named(choice)]
    else:
        here = getattr(study, section, None)
        kinds = [type(here)] if isinstance(here, Section) else []
    return [kind for kind in kinds if key in kind.model_fields]


def _named(strategy: Value) -> list[type[Section]]:
    return [kind for kind in get_args(StrategySettings) if _name_of(kind) == strategy]


def _name_of(kind: type[Section]) -> str:
    return str(kind.model_fields["name"].default)


def _is_number(kind: type[Section], key: str) -> bool:
    return kind.model_fields[key].annotation in (int, float)
