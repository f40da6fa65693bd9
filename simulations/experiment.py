"""What an experiment on synthetic patients asks, and the trainings that it takes: settings in, a list of jobs out.

Every seed has people of its own, the same for each way of dealing them out to sites, so that one pooled training is
what all of a seed's federations are compared with. Held-out and calibration people are the same for all.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from json import dumps
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from core.config import Section
from core.study import FedAvg, PreprocessingSettings, StrategySettings, Study
from simulations.hospitals import IDENTITIES
from simulations.splits import numbered_sites
from simulations.tensor_cohort import People

Seed = Annotated[int, Field(ge=0)]
PARTITION = re.compile(r"iid|scanner|(label|quantity)-(\d+(\.\d+)?)")
POOLED = "pooled"
# Baselines in one place: a 2D network, and a linear model on features of regions as drawn or as the pooled network has
# them.
Baseline = Literal["slices", "features of masks", "features of found regions"]
SLICES: Baseline = "slices"
OF_MASKS: Baseline = "features of masks"
OF_FOUND: Baseline = "features of found regions"


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
        for told in (*self._people_told_wrong(), *self._trainings_told_wrong()):
            raise ValueError(told)
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
        changed = [Study.model_validate(_merged(self.study.model_dump(), each)) for each in self.ablations.values()]
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


@dataclass(frozen=True)
class Deal:
    """Who trains where.

    Attributes:
        partition: how people come to sites.
        seed: whose people, and the draw of the deal.
        patients, controls: of each hospital, its first ones.
        sites: how many take part; fewer than hospitals only by scanner.
        without: a site that is left out, or "".
        permutation: which shuffling of the methylation labels; 0 leaves them.
        added: synthetic people who train beside them at each site, and validate nowhere.
        added_seed: theirs, 0 where there are none.
    """

    partition: str
    seed: int
    patients: int
    controls: int
    sites: int
    without: str = ""
    permutation: int = 0
    added: int = 0
    added_seed: int = 0


@dataclass(frozen=True)
class Job:
    """One training and what its model says of people who never trained.

    Attributes:
        family: what it is for.
        name: what it is called in tables.
        how: federated, pooled, alone at `site`, or one of the baselines in one place.
        study: every setting, the seed included.
        deal: who trains where.
        site: for `alone`.
        calibrates: whether it is judged on the calibration people too.
    """

    family: str
    name: str
    how: Literal["federated", "pooled", "alone"] | Baseline
    study: Study
    deal: Deal
    site: str = ""
    calibrates: bool = False

    def key(self, people: PeopleSettings) -> str:
        """Return a digest of all that the training's weights and scores depend on, names left aside."""
        study = self.study.model_dump(mode="json", exclude={"name"})
        told = [self.how, study, asdict(self.deal), self.site, people.model_dump(mode="json")]
        return sha256(dumps(told, sort_keys=True).encode()).hexdigest()[:24]


def jobs_of(experiment: Experiment) -> list[Job]:
    """Return every training of an experiment, the comparison's first."""
    return [*_compared(experiment), *_asked_once(experiment)]


def _compared(experiment: Experiment) -> Iterator[Job]:
    """Yield, for each seed, the pooled training, and each partition's federations and sites alone."""
    for seed in experiment.seeds:
        study, deal = _with(experiment.study, seed, FedAvg()), _whole(experiment, "iid", seed)
        yield Job("compared", f"pooled, seed {seed}", "pooled", study, deal)
        for how in (SLICES, OF_MASKS, OF_FOUND) if experiment.baselines else ():
            yield Job("baselines", f"{how}, seed {seed}", how, study, deal)
        for partition in experiment.partitions:
            dealt = replace(deal, partition=partition)
            for strategy in experiment.strategies:
                yield Job(
                    "compared",
                    f"{partition}, {strategy.name}, seed {seed}",
                    "federated",
                    _with(study, seed, strategy),
                    dealt,
                    calibrates=experiment.calibrate,
                )
            for site in numbered_sites(deal.sites) if experiment.alone else ():
                yield Job("compared", f"{partition}, {site} alone, seed {seed}", "alone", study, dealt, site)


def _asked_once(experiment: Experiment) -> Iterator[Job]:
    """Yield what is asked of the first seed only."""
    seed, strategy = experiment.seeds[0], experiment.strategies[0]
    study, whole = _with(experiment.study, seed, strategy), _whole(experiment, "iid", seed)
    by_scanner = replace(whole, partition="scanner")
    for site in numbered_sites(whole.sites) if experiment.leave_one_out else ():
        yield Job("left out", f"without {site}", "federated", study, replace(by_scanner, without=site))
    share = experiment.people.controls / experiment.people.patients
    by_itself = _with(study, seed, FedAvg())
    for patients in experiment.curve.patients:
        fewer = replace(whole, patients=patients, controls=round(patients * share))
        name = f"{patients} patients a hospital"
        yield Job("patients", f"{name}, federated", "federated", study, fewer)
        yield Job("patients", f"{name}, pooled", "pooled", by_itself, fewer)
        for site in numbered_sites(whole.sites) if experiment.alone else ():
            yield Job("patients", f"{name}, {site} alone", "alone", by_itself, fewer, site)
    for sites in experiment.curve.sites:
        name = "1 site" if sites == 1 else f"{sites} sites"
        yield Job("sites", name, "federated", study, replace(by_scanner, sites=sites))
    few = replace(whole, patients=experiment.permuted_patients, controls=round(experiment.permuted_patients * share))
    for number in range(experiment.permutations + 1 if experiment.permutations else 0):
        name = f"permutation {number}" if number else "true labels"
        yield Job("permuted", name, "federated", study, replace(few, permutation=number))
    real = experiment.added.patients
    for count in experiment.added.counts:
        added_seed = experiment.added.seed if count else 0
        dealt = replace(whole, patients=real, controls=round(real * share), added=count, added_seed=added_seed)
        yield Job("added", f"{real} patients a hospital and {count} synthetic ones", "federated", study, dealt)
    for name, sections in experiment.ablations.items():
        changed = Study.model_validate(_merged(study.model_dump(), sections))
        yield Job("ablated", name, "federated", changed, whole)


def _with(study: Study, seed: int, strategy: StrategySettings) -> Study:
    return study.model_copy(update={"seed": seed, "strategy": strategy})


def _whole(experiment: Experiment, partition: str, seed: int) -> Deal:
    people = experiment.people
    return Deal(partition, seed, people.patients, people.controls, people.hospitals)


def _merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return settings with changes, section by section."""
    return settings | {
        name: settings[name] | value if isinstance(value, dict) and isinstance(settings.get(name), dict) else value
        for name, value in changes.items()
    }
