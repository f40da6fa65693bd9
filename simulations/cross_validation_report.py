"""A cross-validation's figures: AUC by fold, by site and over all, each with the interval that fits it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import nan
from statistics import fmean

from core.learning.curves import auc_interval
from core.learning.intervals import Interval, folds_interval, mean_interval
from core.report import Part, Picture, Table
from core.study import digest
from simulations import plots
from simulations.code_version import codes_sentence
from simulations.cross_validation import FoldResult, Score, auc_of

HEADER = ("", "cases with a label", "methylated", "AUC", "95 % interval")
NARROW = (
    "Two folds train on mostly the same patients, so their scores rise and fall together. An interval that takes folds "
    "for independent is too narrow, and more repeats would shrink it to nothing without a single new patient. The one "
    "beside the mean is corrected for this (Nadeau and Bengio 2003); no correction is exact, since no estimate of this "
    "variance can be unbiased (Bengio and Grandvalet 2004). Intervals of one fold, of a site and of all patients "
    "together are DeLong's: they say what other patients would change, not what other training patients would."
)
POOLED = (
    "All patients together ranks scores of different folds' models against each other: where these models differ in "
    "level, it can be lower than the folds' mean, though none of them ranks worse. Where hospitals train "
    "alone, this holds within a fold too: there the sites' own rows are what to read."
)


@dataclass(frozen=True)
class Area:
    """An AUC for methylation.

    Attributes:
        name: of what.
        cases: with a label.
        methylated: of these.
        auc: None without both classes.
        interval: 95 %; None where the cases cannot say.
    """

    name: str
    cases: int
    methylated: int
    auc: float | None
    interval: Interval | None

    def texts(self) -> tuple[str, ...]:
        """Return the area as HEADER names its columns."""
        area = "-" if self.auc is None else f"{self.auc:.3f}"
        interval = "-" if self.interval is None else f"{self.interval[0]:.2f} to {self.interval[1]:.2f}"
        return self.name, str(self.cases), str(self.methylated), area, interval


def by_fold(results: Sequence[FoldResult]) -> list[Area]:
    """Return each fold's area, in the order of the results."""
    is_repeated = len({tested.repeat for tested in results}) > 1
    return [
        _area(f"{tested.fold}, repeat {tested.repeat}" if is_repeated else tested.fold, tested.scores)
        for tested in results
    ]


def by_site(results: Sequence[FoldResult]) -> list[Area]:
    """Return each site's area over its out-of-fold scores."""
    sites = sorted({score.site for tested in results for score in tested.scores})
    return [
        _over_repeats(site, [[score for score in scores if score.site == site] for scores in _repeats(results)])
        for site in sites
    ]


def over_all(results: Sequence[FoldResult]) -> Area:
    """Return the area of all out-of-fold scores together."""
    return _over_repeats("all patients together", _repeats(results))


def mean_of_folds(results: Sequence[FoldResult]) -> tuple[Area, Interval | None]:
    """Return the folds' mean area with its corrected interval, and the one that takes folds for independent."""
    areas = [area.auc for area in by_fold(results) if area.auc is not None]
    all_of_them = over_all(results)
    if not areas:
        return Area("mean of the folds", all_of_them.cases, all_of_them.methylated, None, None), None
    share = fmean(tested.tested / tested.trained for tested in results)
    mean = Area(
        "mean of the folds", all_of_them.cases, all_of_them.methylated, fmean(areas),
        _within_bounds(folds_interval(areas, share)),
    )  # fmt: skip
    return mean, _within_bounds(mean_interval(areas))


def cross_validation_part(recipe: str, results: Sequence[FoldResult]) -> Part:
    """Return what a cross-validation found, for a page.

    Args:
        recipe: how was trained, in a word.
        results: every fold.
    """
    folds, sites, together = by_fold(results), by_site(results), over_all(results)
    mean, independent = mean_of_folds(results)
    is_by_site = all(len({score.site for score in tested.scores}) == 1 for tested in results)
    groups = {"folds": folds} | ({} if is_by_site else {"sites": sites}) | {"over all": [mean, together]}
    told = "-" if independent is None else f"{independent[0]:.2f} to {independent[1]:.2f}"
    rows = [*mean.texts()], ["the same, were the folds independent", "", "", "", told], [*together.texts()]
    content: list[str | Picture | Table] = [
        _setting(recipe, results),
        codes_sentence((tested.code for tested in results), "folds"),
        Table(HEADER, rows, frozenset({0})),
        Picture(
            plots.draw_folds({name: {area.name: _drawn(area) for area in areas} for name, areas in groups.items()}),
            "AUC for MGMT methylation of people whom the model never saw, with 95 % intervals.",
        ),
        NARROW,
        POOLED,
        _fold_table(results, folds),
    ]
    if not is_by_site:
        content.append(Table(("site", *HEADER[1:]), [area.texts() for area in sites]))
    return Part(f"Cross-validation, {recipe}", content)


def as_json(recipe: str, results: Sequence[FoldResult]) -> dict[str, object]:
    """Return the figures, ready for JSON."""
    mean, independent = mean_of_folds(results)
    return {
        "how": recipe,
        "mean_of_folds": asdict(mean),
        "interval_were_folds_independent": independent,
        "all_patients_together": asdict(over_all(results)),
        "folds": [
            asdict(area)
            | {"trained": one.trained, "tested": one.tested, "code": one.code}
            | {"study": one.study.model_dump(mode="json")}
            for one, area in zip(results, by_fold(results), strict=True)
        ],
        "sites": [asdict(area) for area in by_site(results)],
    }


def _setting(recipe: str, results: Sequence[FoldResult]) -> str:
    repeats = max(tested.repeat for tested in results)
    people = sum(tested.tested for tested in results if tested.repeat == 1)
    times = "once" if repeats == 1 else f"once in each of {repeats} repeats"
    return (
        f"{people} people in {len(results) // repeats} folds, {recipe} training; each is tested {times}, by a model "
        "that saw none of this person's scans, at whatever hospital. The best round was chosen by other people than "
        "those tested."
    )


def _fold_table(results: Sequence[FoldResult], areas: Sequence[Area]) -> Table:
    """Return a row a fold; with the settings where each fold chose its own."""
    is_nested = len({digest(tested.study) for tested in results}) > 1
    rows = [
        (*area.texts(), str(tested.trained), str(tested.tested))
        + ((f"{tested.study.name} {digest(tested.study)[:8]}",) if is_nested else ())
        for tested, area in zip(results, areas, strict=True)
    ]
    return Table(("fold", *HEADER[1:], "people trained on", "tested", *(["settings"] if is_nested else [])), rows)


def _repeats(results: Sequence[FoldResult]) -> list[list[Score]]:
    """Return the out-of-fold scores of each repeat."""
    numbers = sorted({tested.repeat for tested in results})
    return [[score for tested in results if tested.repeat == number for score in tested.scores] for number in numbers]


def _over_repeats(name: str, repeats: Sequence[Sequence[Score]]) -> Area:
    """Return the mean of the repeats' areas and bounds: the patients are the same, so their number narrows nothing."""
    each = [_area(name, scores) for scores in repeats]
    areas = [area.auc for area in each if area.auc is not None]
    intervals = [area.interval for area in each if area.interval is not None]
    return Area(
        name,
        each[0].cases,
        each[0].methylated,
        fmean(areas) if areas else None,
        (fmean(low for low, _ in intervals), fmean(high for _, high in intervals)) if intervals else None,
    )


def _area(name: str, scores: Iterable[Score]) -> Area:
    labeled = [score for score in scores if score.mgmt is not None]
    labels = [score.mgmt or 0 for score in labeled]
    interval = auc_interval(labels, [score.mgmt_score for score in labeled])
    return Area(name, len(labels), sum(labels), auc_of(labeled), interval)


def _within_bounds(interval: Interval | None) -> Interval | None:
    return interval and (max(0.0, interval[0]), min(1.0, interval[1]))


def _drawn(area: Area) -> plots.Interval:
    return plots.Interval(nan if area.auc is None else area.auc, *(area.interval or (nan, nan)))
