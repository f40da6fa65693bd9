"""What an experiment found, as parts of a page: was it worth it, for whom, at what price."""

from collections.abc import Iterator, Sequence

import numpy as np

from core.learning.differences import holm_of
from core.learning.intervals import Interval as Bounds
from core.report import Part, Picture, Table
from simulations.code_version import codes_sentence
from simulations.experiment import Experiment
from simulations.jobs import POOLED
from simulations.plots import Interval
from simulations.plots_experiment import draw_curves, draw_differences, draw_null, draw_points
from simulations.worth_found import Against, Gain, Point, Price, Worth

# How far a federation may lie below pooled training, by partition: the product's own aim.
MARGINS = {"iid": -0.01, "scanner": -0.02, "label-0.5": -0.02}

ONE_TRAINING = (
    "One training each: intervals and p are over patients only, and with another seed a training may differ by as much."
)


def worth_parts(experiment: Experiment, worth: Worth) -> list[Part]:
    """Return the page's parts, those that were asked for."""
    parts = [_settings(experiment, worth), _compared(experiment, worth)]
    parts += [_baselines(worth)] if worth.baselines else []
    parts += [_gains(partition, gains) for partition, gains in worth.gains.items()]
    if worth.left_out:
        told = "AUC of the federation of all but one site, each site with a scanner of its own, less the AUC with it."
        parts.append(_beside("Each site's contribution", told, worth.left_out))
    parts += _curves(experiment, worth)
    if worth.ablations:
        told = "AUC of the same federation with one thing changed, less the AUC without the change."
        parts.append(_beside("Ablations", told, worth.ablations))
    if worth.added:
        told = (
            "Few patients stand for real ones; synthetic patients of scanners that no hospital has train beside them "
            "and validate nowhere. AUC less that of the first row."
        )
        parts.append(_beside("Synthetic patients added", told, worth.added))
    parts += [*_null(worth), _prices(worth)]
    return parts


def shown(worth: Worth) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return header and rows of the table that the command prints."""
    rows = []
    for one in worth.against:
        first, second, difference, bounds = _figures(one)
        label = f"{one.partition}, {one.strategy} - {one.other}"
        rows.append((label, f"{first:.3f}", f"{second:.3f}", f"{difference:+z.4f}", _bounds(bounds, "+z.4f")))
    return ("federation - other", "federated", "other", "difference", "95 %"), rows


def _settings(experiment: Experiment, worth: Worth) -> Part:
    people, study = experiment.people, experiment.study
    seeds = ", ".join(map(str, experiment.seeds))
    return Part(
        "What was asked",
        [
            f"{people.hospitals} hospitals, each with its own scanner, {people.patients} patients and "
            f"{people.controls} controls each; {experiment.grid}^3 voxels; the best possible AUC is "
            f"{people.separability:g}. {study.federation.rounds} rounds of {study.training.epochs_per_round} epoch(s); "
            "pooled training and each site alone see each patient at most as often, and of the last quarter of "
            "rounds or epochs all keep that with the lowest validation loss. "
            f"Seeds {seeds}: each has people, deal and first weights of its own.",
            f"Judged on {worth.people} held-out patients of the same hospitals, who never trained and chose nothing.",
            codes_sentence(worth.code, "trainings"),
        ],
    )


def _compared(experiment: Experiment, worth: Worth) -> Part:
    rows, drawn, margins = [], {}, {}
    for one in worth.against:
        first, second, difference, bounds = _figures(one)
        label = f"{one.partition}, {one.strategy} - {one.other}"
        if bounds:
            drawn[label] = Interval(difference, *bounds)
        if one.other == POOLED and one.partition in MARGINS and one.strategy == "fedavg":
            margins[label] = MARGINS[one.partition]
        by_seed = ", ".join("-" if test is None else f"{test.difference:+z.3f} ({_p(test.p)})" for test in one.models)
        rows.append((label, f"{first:.3f}", f"{second:.3f}", f"{difference:+z.4f}", _bounds(bounds, "+z.4f"), by_seed))
    table = Table(("federation - other", "federated", "other", "difference", "95 %", "each seed (DeLong's p)"), rows)
    areas = {one.name: Interval(one.auc, *one.interval) for one in worth.areas if one.interval}
    over = (
        "The interval takes seeds and patients together (Obuchowski and Rockette)."
        if len(experiment.seeds) > 1
        else ONE_TRAINING
    )
    told = (
        f"{over} P of a seed is of its two models on the same patients. The best site alone is the one that does best "
        "on the held-out patients, chosen in its favor. A red mark is the lowest difference that is aimed at."
    )
    content: list[str | Picture | Table] = [told, table]
    if drawn:
        content.append(Picture(draw_differences(drawn, margins), "Differences in AUC with their 95 % intervals."))
    label = "AUC (MGMT), 95 % interval (DeLong)"
    content.append(Picture(draw_points(areas, experiment.people.separability, label), "Every model's AUC."))
    return Part("Federated, pooled, alone", content)


def _baselines(worth: Worth) -> Part:
    rows, drawn = [], {}
    for one in worth.baselines:
        first, second, difference, bounds = _figures(one)
        rows.append((one.strategy, f"{first:.3f}", f"{second:.3f}", f"{difference:+z.4f}", _bounds(bounds, "+z.4f")))
        if bounds:
            drawn[one.strategy] = Interval(difference, *bounds)
    told = (
        "In one place, on the same patients. Slices: a 2D network on axial slices of the brain. Features: volumes, "
        "intensities and texture by region, with a linear model; regions as they were planted, which no clinic has, "
        "or as the pooled 3D network finds them: on the patients that it was trained on to fit the linear model, on "
        "others to judge it."
    )
    table = Table(("model", "AUC", "pooled 3D network", "difference", "95 %"), rows)
    pictures = [Picture(draw_differences(drawn, {}), "AUC less that of the pooled 3D network.")] if drawn else []
    return Part("Other models", [told, table, *pictures])


def _figures(one: Against) -> tuple[float, float, float, Bounds | None]:
    """Return both areas, their difference and its interval; over seeds where there are several."""
    if one.seeds:
        return one.seeds.first, one.seeds.second, one.seeds.difference, one.seeds.interval
    (test,) = one.models
    if test is None:
        return float("nan"), float("nan"), float("nan"), None
    return test.first, test.second, test.difference, test.interval


def _gains(partition: str, gains: Sequence[Gain]) -> Part:
    header = ["site", "alone", "federated", "gain"]
    own = gains[0].own_alone is not None
    header += ["alone, own scanner", "federated, own scanner", "gain"] if own else []
    rows = []
    for one in gains:
        row = [one.site, f"{one.alone:.3f}", f"{one.federated:.3f}", f"{one.federated - one.alone:+z.3f}"]
        if one.own_alone is not None and one.own_federated is not None:
            row += [f"{one.own_alone:.3f}", f"{one.own_federated:.3f}", f"{one.own_federated - one.own_alone:+z.3f}"]
        rows.append(row)
    return Part(f"Each site's gain, {partition}", ["Mean AUC over seeds.", Table(header, rows)])


def _beside(title: str, told: str, points: Sequence[Point]) -> Part:
    rows, drawn = [], {}
    for one, p in zip(points, holm_of([one.difference for one in points]), strict=True):
        apart = one.difference
        difference, bounds = ("-", None) if apart is None else (f"{apart.difference:+z.4f}", apart.interval)
        rows.append((one.name, f"{one.auc:.3f}", difference, _bounds(bounds, "+z.4f"), _p(p)))
        if apart and bounds:
            drawn[one.name] = Interval(apart.difference, *bounds)
    table = Table(("", "AUC", "difference", "95 % (DeLong)", "p (Holm)"), rows)
    pictures = [Picture(draw_differences(drawn, {}), f"{title}: differences in AUC.")] if drawn else []
    return Part(title, [f"{told} {ONE_TRAINING}", table, *pictures])


def _curves(experiment: Experiment, worth: Worth) -> Iterator[Part]:
    ceiling = experiment.people.separability
    if worth.patients:
        rows = []
        curves: dict[str, list[tuple[int, Interval]]] = {}
        for one in worth.patients:
            told = [("federated", _interval(one.federated)), ("pooled", _interval(one.pooled))]
            if one.alone:
                told.append(("alone", Interval(float(np.mean(one.alone)), min(one.alone), max(one.alone))))
            for name, interval in told:
                curves.setdefault(name, []).append((one.patients, interval))
            areas = [f"{area.value:.3f} ({area.low:.3f} to {area.high:.3f})" for _, area in told]
            rows.append((str(one.patients), str(one.federated.people), *areas))
        header = ("patients of each hospital", "people trained on", *curves)
        text = (
            f"{ONE_TRAINING} Federated and pooled: AUC (95 %, DeLong); sites alone: mean (lowest to highest). The same "
            "first patients of each hospital, dealt out at random."
        )
        picture = Picture(draw_curves(curves, ceiling, "patients of each hospital"), "AUC by number of patients.")
        yield Part("Learning curve: patients", [text, Table(header, rows), picture])
    if worth.sites:
        points = [(count, _interval(one)) for count, one in zip(experiment.curve.sites, worth.sites, strict=True)]
        rows = [(one.name, str(one.people), f"{one.auc:.3f}", _bounds(one.interval, ".3f")) for one in worth.sites]
        table = Table(("federation of", "people trained on", "AUC", "95 %"), rows)
        drawn = draw_curves({"federated": points}, ceiling, "sites, each with its own scanner")
        yield Part("Learning curve: sites", [ONE_TRAINING, table, Picture(drawn, "AUC by number of sites.")])


def _interval(point: Point) -> Interval:
    return Interval(point.auc, *(point.interval or (point.auc, point.auc)))


def _null(worth: Worth) -> Iterator[Part]:
    null = worth.null
    if null is None:
        return
    told = (
        f"{len(null.areas)} federations whose methylation labels were shuffled before training: mean AUC "
        f"{null.mean:.3f}, 95 % {_bounds(null.interval, '.3f')}; with true labels {null.true_labels:.3f}, "
        f"p = {null.p:.3f}."
    )
    picture = Picture(draw_null(null.areas, null.true_labels), "AUC on shuffled and on true labels.")
    yield Part("Permutation null", [told, picture])


def _prices(worth: Worth) -> Part:
    rows = [(one.name, f"{one.rounds:.0f}", f"{one.megabytes:.0f}", _seconds(one)) for one in worth.prices]
    header = ("", "rounds or epochs", "MB to and from sites", "CPU s")
    return Part("What it takes", [Table(header, rows), "CPU seconds are of one training, on one thread."])


def _seconds(price: Price) -> str:
    return "-" if price.cpu_seconds is None else f"{price.cpu_seconds:.0f}"


def _bounds(bounds: Bounds | None, form: str) -> str:
    return "-" if bounds is None else f"{bounds[0]:{form}} to {bounds[1]:{form}}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"p {value:.2g}"
