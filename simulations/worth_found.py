"""What an experiment found, as plain data: its comparisons, curves, gains and prices."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.learning.differences import AucDifference, RecipeDifference
from core.learning.intervals import Interval


@dataclass(frozen=True)
class Against:
    """A federation beside another way to train.

    Attributes:
        partition, strategy: of the federation; of another model in one place, `pooled` and what it is.
        other: `pooled`, or `best site alone`.
        seeds: the difference over seeds and patients; None with one seed.
        models: the paired test of each seed's models.
    """

    partition: str
    strategy: str
    other: str
    seeds: RecipeDifference | None
    models: tuple[AucDifference | None, ...]

    @property
    def lower_bound(self) -> float | None:
        """The lower end of the difference's 95 % interval."""
        only = self.models[0] if len(self.models) == 1 else None
        interval = self.seeds.interval if self.seeds else only.interval if only else None
        return interval[0] if interval else None


@dataclass(frozen=True)
class Gain:
    """What a site has of taking part.

    Attributes:
        site: its name.
        alone, federated: mean areas over seeds, on everybody held out.
        own_alone, own_federated: on those held out of the hospital whose scanner it has; None where sites are not
            hospitals.
    """

    site: str
    alone: float
    federated: float
    own_alone: float | None
    own_federated: float | None


@dataclass(frozen=True)
class Null:
    """Federations on shuffled labels.

    Attributes:
        areas: of each permutation.
        mean, interval: of them, Student's.
        true_labels: the area with the labels as they are, same people and settings.
        p: share of permutations, this one among them, that come as far.
    """

    areas: tuple[float, ...]
    mean: float
    interval: Interval | None
    true_labels: float
    p: float


@dataclass(frozen=True)
class Point:
    """An area under the curve with its interval, by a number or a name."""

    name: str
    people: int
    auc: float
    interval: Interval | None
    difference: AucDifference | None = None


@dataclass(frozen=True)
class Size:
    """All ways to train on so many patients.

    Attributes:
        patients: of each hospital.
        federated, pooled: with people trained on, area and interval.
        alone: each site's area; empty where not asked.
    """

    patients: int
    federated: Point
    pooled: Point
    alone: tuple[float, ...]


@dataclass(frozen=True)
class Price:
    """What a way to train takes.

    Attributes:
        name: partition and strategy, or `pooled`.
        rounds: of one training.
        megabytes: sent to and from all sites over a whole training.
        cpu_seconds: of one training, mean over the seeds that were not interrupted, None without any.
    """

    name: str
    rounds: float
    megabytes: float
    cpu_seconds: float | None


@dataclass(frozen=True)
class Worth:
    """All that an experiment says; `as_json` of it is a plain dict.

    Attributes:
        people: held out.
        areas: by model's name, its area with the interval.
        against: each federation beside pooling and the best site alone.
        baselines: other models in one place, beside the pooled network.
        gains: by partition, of the first strategy.
        left_out: the federation without each site, beside the whole one.
        patients, sites: the learning curves, the latter of federations only.
        ablations: each beside the federation as it is.
        added: synthetic patients beside others, each count beside the first.
        null: of shuffled labels, None where not asked.
        prices: what it takes.
        code: which versions of the code trained.
    """

    people: int
    areas: tuple[Point, ...]
    against: tuple[Against, ...]
    baselines: tuple[Against, ...]
    gains: Mapping[str, tuple[Gain, ...]]
    left_out: tuple[Point, ...]
    patients: tuple[Size, ...]
    sites: tuple[Point, ...]
    ablations: tuple[Point, ...]
    added: tuple[Point, ...]
    null: Null | None
    prices: tuple[Price, ...]
    code: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        told = asdict(self)
        for one, found in zip(told["against"], self.against, strict=True):
            one["lower_bound"] = found.lower_bound
        return told
