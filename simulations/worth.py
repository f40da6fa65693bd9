"""Was it worth it: what the trainings of an experiment say of federation beside pooling and beside staying alone.

Every comparison is on the same people, who never trained, of all hospitals. Where a recipe was trained with several
seeds, its interval takes seeds and patients together; of single models it is DeLong's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.learning.curves import auc, auc_interval
from core.learning.differences import delong_test, recipe_difference
from core.learning.intervals import mean_interval
from simulations.experiment import Experiment
from simulations.fits import Fit, hospitals_of, labels_of
from simulations.jobs import POOLED
from simulations.splits import numbered_sites
from simulations.worth_found import Against, Gain, Null, Point, Price, Size, Worth

Vector = NDArray[np.float64]
BYTES = 4  # of a float32


def worth_of(experiment: Experiment, fits: Sequence[Fit]) -> Worth:
    """Compare the trainings of an experiment.

    Args:
        experiment: its settings.
        fits: of all its jobs, in any order.
    """
    held_out = experiment.held_out(experiment.people.held_out_seeds)
    labels, hospitals = labels_of(held_out)["mgmt"], hospitals_of(held_out)
    known = ~np.isnan(labels)
    asked = _Asked(experiment, fits, labels[known], hospitals[known], known)
    first = experiment.strategies[0].name
    by_chance, by_scanner = (asked.find("federated", partition, first) for partition in ("iid", "scanner"))
    return Worth(
        people=int(known.sum()),
        areas=tuple(asked.point(fit) for fit in fits if fit.job.family == "compared"),
        against=tuple(asked.compared()),
        baselines=tuple(asked.baselines()),
        gains={partition: tuple(asked.gains(partition)) for partition in experiment.partitions if experiment.alone},
        left_out=tuple(asked.point(fit, by_scanner[0]) for fit in asked.family("left out")),
        patients=tuple(asked.size(patients) for patients in experiment.curve.patients),
        sites=tuple(asked.point(fit) for fit in asked.family("sites")),
        ablations=tuple(asked.point(fit, by_chance[0]) for fit in asked.family("ablated")),
        added=tuple(asked.point(fit, asked.family("added")[0]) for fit in asked.family("added")),
        null=asked.null(),
        prices=tuple(asked.prices()),
        code=tuple(sorted({fit.code for fit in fits})),
    )


@dataclass(frozen=True)
class _Asked:
    """The trainings, and the labeled held-out people they are judged on."""

    experiment: Experiment
    fits: Sequence[Fit]
    labels: Vector
    hospitals: NDArray[np.int64]
    known: NDArray[np.bool_]

    def scores(self, fit: Fit) -> Vector:
        return fit.scores["held_out.mgmt"][self.known]

    def area(self, fit: Fit, among: NDArray[np.bool_] | None = None) -> float:
        chosen = np.ones(len(self.labels), bool) if among is None else among
        area = auc(self.labels[chosen], self.scores(fit)[chosen])
        return float("nan") if area is None else area

    def family(self, family: str) -> list[Fit]:
        return [fit for fit in self.fits if fit.job.family == family]

    def find(self, how: str, partition: str, strategy: str = "", site: str = "") -> list[Fit]:
        """Return the compared trainings of one kind, one a seed."""
        found = {
            fit.job.deal.seed: fit
            for fit in self.family("compared")
            if (fit.job.how, fit.job.deal.partition, fit.job.site) == (how, partition, site)
            and (not strategy or fit.job.study.strategy.name == strategy)
        }
        return [found[seed] for seed in self.experiment.seeds if seed in found]

    def point(self, fit: Fit, whole: Fit | None = None) -> Point:
        scores = self.scores(fit)
        apart = delong_test(self.labels, scores, self.scores(whole)) if whole else None
        people = sum(fit.training.values())
        return Point(fit.job.name, people, self.area(fit), auc_interval(self.labels, scores), apart)

    def compared(self) -> list[Against]:
        pooled = self.find("pooled", "iid")
        rows = []
        for partition in self.experiment.partitions:
            for strategy in self.experiment.strategies:
                ours = self.find("federated", partition, strategy.name)
                rows.append(self._against(partition, strategy.name, POOLED, ours, pooled))
                if self.experiment.alone:
                    best = self._best_alone(partition)
                    rows.append(self._against(partition, strategy.name, "best site alone", ours, best))
        return rows

    def baselines(self) -> list[Against]:
        pooled, rows = self.find("pooled", "iid"), []
        for how in dict.fromkeys(fit.job.how for fit in self.family("baselines")):
            ours = [fit for fit in self.family("baselines") if fit.job.how == how]
            rows.append(self._against(POOLED, how, POOLED, ours, pooled))
        return rows

    def _against(
        self, partition: str, strategy: str, other: str, ours: Sequence[Fit], theirs: Sequence[Fit]
    ) -> Against:
        first, second = ([self.scores(fit) for fit in fits] for fits in (ours, theirs))
        models = tuple(delong_test(self.labels, one, two) for one, two in zip(first, second, strict=True))
        return Against(partition, strategy, other, recipe_difference(self.labels, first, second), models)

    def _best_alone(self, partition: str) -> list[Fit]:
        """Return of each seed the site whose model is best on the held-out people: chosen in its favor."""
        sites = [self.find("alone", partition, site=site) for site in numbered_sites(self.experiment.people.hospitals)]
        return [max(each, key=self.area) for each in zip(*sites, strict=True)]

    def gains(self, partition: str) -> list[Gain]:
        ours = self.find("federated", partition, self.experiment.strategies[0].name)
        rows = []
        for place, site in enumerate(numbered_sites(self.experiment.people.hospitals)):
            alone = self.find("alone", partition, site=site)
            own = self.hospitals == place if partition == "scanner" else None
            rows.append(
                Gain(
                    site,
                    self._mean(alone),
                    self._mean(ours),
                    None if own is None else self._mean(alone, own),
                    None if own is None else self._mean(ours, own),
                )
            )
        return rows

    def _mean(self, fits: Sequence[Fit], among: NDArray[np.bool_] | None = None) -> float:
        return float(np.mean([self.area(fit, among) for fit in fits]))

    def size(self, patients: int) -> Size:
        fits = [fit for fit in self.family("patients") if fit.job.deal.patients == patients]
        (federated,), (pooled,) = ([fit for fit in fits if fit.job.how == how] for how in ("federated", POOLED))
        alone = tuple(self.area(fit) for fit in fits if fit.job.how == "alone")
        return Size(patients, self.point(federated), self.point(pooled), alone)

    def null(self) -> Null | None:
        fits = {fit.job.deal.permutation: fit for fit in self.family("permuted")}
        if not fits:
            return None
        true = self.area(fits.pop(0))
        areas = tuple(self.area(fit) for fit in fits.values())
        as_far = sum(abs(area - 0.5) >= abs(true - 0.5) for area in areas)
        return Null(areas, float(np.mean(areas)), mean_interval(areas), true, (1 + as_far) / (1 + len(areas)))

    def prices(self) -> list[Price]:
        groups: dict[str, list[Fit]] = {}
        for fit in self.family("compared"):
            if fit.job.how != "alone":
                federated = f"{fit.job.deal.partition}, {fit.job.study.strategy.name}"
                groups.setdefault(federated if fit.job.how == "federated" else POOLED, []).append(fit)
        return [
            Price(
                name,
                float(np.mean([fit.rounds for fit in fits])),
                float(np.mean([_sent(fit) for fit in fits])) / 1e6,
                _mean_of_known([fit.cpu_seconds for fit in fits]),
            )
            for name, fits in groups.items()
        ]


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _sent(fit: Fit) -> int:
    """Return the bytes of all weights that went out and came back; what is only validated only goes out."""
    if fit.job.how != "federated":
        return 0
    only_validated = len(fit.curve) == fit.rounds
    return BYTES * fit.parameters * len(fit.training) * (2 * fit.rounds + only_validated)
