"""The trainings that an experiment takes: settings in, a list of jobs out."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from json import dumps
from typing import Literal

from core.study import FedAvg, StrategySettings, Study
from simulations.experiment import Experiment, PeopleSettings, merged
from simulations.splits import numbered_sites

POOLED = "pooled"
# Baselines in one place: a 2D network, and a linear model on features of regions as drawn or as the pooled network has
# them.
Baseline = Literal["slices", "features of masks", "features of found regions"]
SLICES: Baseline = "slices"
OF_MASKS: Baseline = "features of masks"
OF_FOUND: Baseline = "features of found regions"


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
        changed = Study.model_validate(merged(study.model_dump(), sections))
        yield Job("ablated", name, "federated", changed, whole)


def _with(study: Study, seed: int, strategy: StrategySettings) -> Study:
    return study.model_copy(update={"seed": seed, "strategy": strategy})


def _whole(experiment: Experiment, partition: str, seed: int) -> Deal:
    people = experiment.people
    return Deal(partition, seed, people.patients, people.controls, people.hospitals)
