"""What an experiment on synthetic patients asks.

Every seed has people of its own, the same for each way of dealing them out to sites, so that one pooled training is
what all of a seed's federations are compared with. Held-out and calibration people are the same for all.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from core.config import Section
from core.study import FedAvg, PreprocessingSettings, StrategySettings, Study
from simulations.hospitals import IDENTITIES
from simulations.tensor_cohort import People

Seed = Annotated[int, Field(ge=0)]
PARTITION = re.compile(r"iid|scanner|(label|quantity)-(\d+(\.\d+)?)")


def repeated(values: Sequence[object]) -> list[object]:
    """Return what is in a list more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


class PeopleSettings(Section):
    """The synthetic people of an experiment; hospitals differ by their scanner."""

    hospitals: int = Field(4, ge=2, le=20)
    patients: int = Field(100, ge=4, lt=IDENTITIES, description="with a glioma, of each hospital, to train on")
    controls: int = Field(10, ge=0, lt=IDENTITIES, description="healthy people beside them")
    held_out: int = Field(500, ge=4, lt=IDENTITIES, description="patients of each hospital and seed who never train")
    held_out_controls: int = Field(50, ge=0, lt=IDENTITIES)
    held_out_seeds: tuple[Seed, ...] = Field((900001, 900002), min_length=1)
    calibration_seeds: tuple[Seed, ...] = Field((900003, 900004), min_length=1)
    separability: float = Field(0.95, ge=0.5, lt=1, description="best possible AUC of the planted methylation signal")

    @model_validator(mode="after")
    def _are_numbered(self) -> "PeopleSettings":
        if max(self.patients + self.controls, self.held_out + self.held_out_controls) >= IDENTITIES:
            raise ValueError(f"a hospital has at most {IDENTITIES - 1} people of one seed")
        if repeated([*self.held_out_seeds, *self.calibration_seeds]):
            raise ValueError("held_out_seeds and calibration_seeds must not name a seed twice")
        return self


class CurveSettings(Section):
    """Learning curves: all ways to train on fewer patients, and federations of fewer sites."""

    patients: tuple[int, ...] = Field((), description="of each hospital: federated, pooled and, where asked, alone")
    sites: tuple[int, ...] = Field((), description="each with the patients of its own scanner")


class AddedSettings(Section):
    """Few patients who stand for real ones, and synthetic ones beside them, of scanners that no hospital has."""

    patients: int = Field(25, ge=4, description="of each hospital who stand for real ones")
    counts: tuple[Annotated[int, Field(ge=0, lt=IDENTITIES)], ...] = Field(
        (), description="how many synthetic ones train beside them at each site; 0 too"
    )
    seed: Seed = 800001


class Experiment(Section):
    """Everything in an experiment's TOML file."""

    seeds: tuple[Seed, ...] = Field((1,), min_length=1)
    people: PeopleSettings = PeopleSettings()
    study: Study
    partitions: tuple[str, ...] = Field(("iid",), min_length=1, description="iid, scanner, label-ALPHA, quantity-ALPHA")
    strategies: tuple[StrategySettings, ...] = Field(
        (FedAvg(),), min_length=1, description="what is asked once is asked of the first"
    )
    alone: bool = Field(True, description="also train each site by itself")
    calibrate: bool = Field(True, description="also judge the federations on the calibration people")
    baselines: bool = Field(False, description="also, in one place, a 2D network on slices and hand-crafted features")
    scans_again: int = Field(
        0, ge=0, description="held-out patients of each hospital whose worse and second scans the first federation sees"
    )
    leave_one_out: bool = Field(False, description="also federate without each site in turn")
    permutations: int = Field(0, ge=0, le=1000, description="federations on shuffled methylation labels")
    permuted_patients: int = Field(25, ge=4, description="of each hospital, for these")
    curve: CurveSettings = CurveSettings()
    added: AddedSettings = AddedSettings()
    ablations: dict[str, dict[str, Any]] = Field({}, description="by name, sections of the study that differ")

    @model_validator(mode="after")
    def _fits_together(self) -> "Experiment":
        if told := [*self._people_told_wrong(), *self._trainings_told_wrong()]:
            raise ValueError("; ".join(told))
        return self

    def _people_told_wrong(self) -> Iterator[str]:
        people = self.people
        others = {*people.held_out_seeds, *people.calibration_seeds, self.added.seed}
        if taken := set(self.seeds) & others:
            yield f"seeds: {', '.join(map(str, taken))} would train on people who are held out or added"
        fewer = [self.permuted_patients] if self.permutations else []
        fewer += [self.added.patients] if self.added.counts else []
        most = max((people.patients, *self.curve.patients, *fewer))
        if most > people.patients:
            yield f"no hospital has {most} patients to train on: people.patients is {people.patients}"
        if self.scans_again == 1 or self.scans_again > people.held_out:
            yield f"scans_again must be 0, or at least 2 and at most people.held_out, {people.held_out}"
        if any(not 1 <= count <= people.hospitals for count in self.curve.sites):
            yield f"curve.sites must be between 1 and people.hospitals, {people.hospitals}"

    def _trainings_told_wrong(self) -> Iterator[str]:
        wrong = [name for name in self.partitions if not PARTITION.fullmatch(name)]
        if wrong:
            yield f"partitions: {', '.join(wrong)} is none of iid, scanner, label-ALPHA, quantity-ALPHA"
        names = [strategy.name for strategy in self.strategies]
        for told, values in (("seeds", self.seeds), ("partitions", self.partitions), ("strategies", names)):
            if again := repeated(values):
                yield f"{told}: {', '.join(map(str, again))} must be there only once"
        for asked, needed in ((self.leave_one_out, "scanner"), (self.ablations, "iid")):
            if asked and needed not in self.partitions:
                yield f"partitions: without {needed} there is nothing to compare with"
        for sections in self.ablations.values():
            if same := sections.keys() & {"preprocessing", "budget", "hours"}:
                yield f"ablations cannot change {', '.join(sorted(same))}: no training here would differ by it"
        changed = [Study.model_validate(merged(self.study.model_dump(), each)) for each in self.ablations.values()]
        if any(study.privacy.is_on for study in (self.study, *changed)):
            yield "an experiment trains without differential privacy: leave privacy out"
        if self.study.strategy != FedAvg():
            yield "strategies says how the federations train: leave study.strategy out"
        if self.study.preprocessing != PreprocessingSettings(grid=self.grid):
            yield "of study.preprocessing only grid matters: synthetic people are made on the model's grid"

    def held_out(self, seeds: tuple[int, ...]) -> tuple[People, ...]:
        """Return the people who never train, of some seeds."""
        people = self.people
        return tuple(
            People(seed, hospital, people.held_out, people.held_out_controls, people.separability, self.grid)
            for seed in seeds
            for hospital in range(people.hospitals)
        )

    def trained_on(self, seed: int) -> tuple[People, ...]:
        """Return the people of one seed, hospital by hospital."""
        people = self.people
        return tuple(
            People(seed, hospital, people.patients, people.controls, people.separability, self.grid)
            for hospital in range(people.hospitals)
        )

    def added_people(self, count: int) -> tuple[People, ...]:
        """Return the synthetic people who train beside others, site by site."""
        people = self.people
        return tuple(
            People(self.added.seed, people.hospitals + site, count, 0, people.separability, self.grid)
            for site in range(people.hospitals if count else 0)
        )

    @property
    def grid(self) -> int:
        """Voxels along each axis."""
        return self.study.preprocessing.grid


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return settings with changes, section by section."""
    return settings | {
        name: settings[name] | value if isinstance(value, dict) and isinstance(settings.get(name), dict) else value
        for name, value in changes.items()
    }
