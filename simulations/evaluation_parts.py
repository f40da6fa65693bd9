"""An evaluation as parts of a page and as figures for JSON: every score of both heads, and scores by group."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.learning.binary_report import BinaryReport, Estimate, report_of
from core.learning.curves import auc, precision_recall_curve, roc_curve
from core.learning.groups import ALL, SITE, GroupReport, Groups, group_report
from core.learning.intervals import bootstrap_interval, rowwise
from core.learning.metrics import BINS, TASKS, THRESHOLD
from core.learning.small_cells import FLOOR
from core.report import Part, Picture, Table
from simulations.evaluation import MAPS, PLACES, Judged, group_tables, labeled, mapped
from simulations.plots import Interval
from simulations.plots_evaluation import draw_curves, draw_forest

HEADS = {"mgmt": "MGMT methylation", "tumor": "Presence of a tumor"}
SEED = 0
SCORES = {
    "AUC (DeLong)": "auc",
    "AUC (bootstrap)": "auc_bootstrap",
    "average precision": "average_precision",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall (sensitivity)": "recall",
    "specificity": "specificity",
    "F1": "f1",
    "Brier score": "brier",
    "calibration error, equal width": "ece_equal_width",
    "calibration error, equal mass": "ece_equal_mass",
}
ATTRIBUTES = (ALL, SITE, "scanner", "sex", "age")

Vector = NDArray[np.float64]


def figures(judged: Sequence[Judged], floor: int = FLOOR) -> dict[str, Any]:
    """Return all scores, ready for JSON: of both heads, of the maps, and by group, of what sites show."""
    tables = group_tables(judged, floor)
    return {
        "cases": len(judged),
        "heads": {task: head_scores(judged, task) for task in TASKS},
        "maps": {place: map_scores(judged, place) for place in PLACES},
        "floor": floor,
        "groups": {
            task: {
                attribute: {group: asdict(group_report(counts, task)) for group, counts in groups.items()}
                for attribute, groups in tables[task].items()
            }
            for task in TASKS
        },
        "groups_of_maps": tables[MAPS],
    }


def head_scores(judged: Sequence[Judged], task: str) -> dict[str, Any]:
    """Return every score of a head, by the names of `BinaryReport`, and the area's bootstrap interval."""
    truth, scores = _labels(judged, task)
    area = auc(truth, scores)
    resampled = bootstrap_interval(truth, scores, rowwise(auc), seed=SEED) if area is not None else None
    bootstrap = Estimate(area, *(resampled or (None, None)))
    return asdict(_report(judged, task)) | {"auc_bootstrap": asdict(bootstrap)}


def map_scores(judged: Sequence[Judged], place: str) -> dict[str, Any]:
    """Return the scores of the maps of one of PLACES; their intervals are of resampled cases.

    Returns: `maps`, `lesions`, and as Estimate `sensitivity`, `false_positives_a_case` and `dice`, the mean over cases.
    """
    cases, index = mapped(judged), PLACES.index(place)
    counts = [one.lesions[index] for one in cases]
    found, lesions, made_up = (
        np.array([getattr(one, name) for one in counts], np.float64) for name in ("found", "lesions", "false_positives")
    )
    overlap = np.array([one.dice[index] for one in cases if one.dice[index] is not None], np.float64)
    with_lesions = lesions > 0
    return {
        "maps": len(cases),
        "lesions": int(lesions.sum()),
        "sensitivity": asdict(_resampled(found[with_lesions], lesions[with_lesions])),
        "false_positives_a_case": asdict(_resampled(made_up, np.ones_like(made_up))),
        "dice": asdict(_resampled(overlap, np.ones_like(overlap))),
    }


def heads_part(judged: Sequence[Judged]) -> Part:
    """Return every score of both heads and of the maps, with intervals and curves."""
    scores = {task: head_scores(judged, task) for task in TASKS}
    cases = ["cases (positive)", *(f"{of['cases']} ({of['positives']})" for of in scores.values())]
    rows = [[name, *(_text(of[key]) for of in scores.values())] for name, key in SCORES.items()]
    debiased = ["the same, less chance", *(_number(of["ece_equal_width_debiased"]) for of in scores.values())]
    maps = {place: map_scores(judged, place) for place in PLACES}
    return Part(
        "Every score of both heads",
        [
            "Of the heads' raw scores, before calibration, called at one half. In brackets 95 % intervals: DeLong's or "
            "of stratified resamples for areas, Wilson's for proportions, of resamples for average precision and Brier "
            "score. A calibration error counted from few cases is too large; what chance is expected to add is also "
            "taken off.",
            Table(("score", *HEADS.values()), [cases, *rows, debiased]),
            _curves(judged),
            "The maps, region by region, on the network's coarse grid. A lesion is a connected part of the reference; "
            "it is found where any voxel is shared. Intervals are of resampled cases.",
            Table(
                ("region", "lesions", "lesion sensitivity", "false positives a case", "Dice, mean of cases"),
                [
                    (place, str(of["lesions"]), *(_text(of[key]) for key in _MAP_SCORES))
                    for place, of in maps.items()
                ],
            ),
        ],
    )  # fmt: skip


def groups_part(judged: Sequence[Judged], floor: int = FLOOR) -> Part:
    """Return scores by site, scanner, sex and age band, made of what sites show alone."""
    tables = group_tables(judged, floor)
    reports = {task: _reports(tables[task], task) for task in TASKS}
    told = (
        "Each site counts its own cases by group and sends counts of groups of at least "
        f"{floor} cases, others being withheld with as many more as hide them; the counts are added, and no case's "
        f"score leaves its site. Scores are counted in {BINS} bins: what is called at one half is exact, and the area "
        "that all single scores would give lies within the bounds, which are wide where many cases have nearly the "
        "same score. Intervals, 95 %: DeLong's, widened by as much as bins may have moved the area, and Wilson's."
    )
    content: list[str | Picture | Table] = [told]
    for task, of in reports.items():
        if of:
            content += [HEADS[task], Table(_GROUP_HEADER, _group_rows(of))]
    areas = {HEADS[task]: _areas(of) for task, of in reports.items() if of}
    if any(any(groups.values()) for groups in areas.values()):
        caption = "AUC by group with its 95 % interval; a group with fewer than two cases of a class has none."
        content.append(Picture(draw_forest(areas), caption))
    if tables[MAPS]:
        content += ["Tumor maps, all regions together", Table(_MAP_HEADER, _map_rows(tables[MAPS]))]
    return Part("By site, scanner, sex and age", content)


_MAP_SCORES = ("sensitivity", "false_positives_a_case", "dice")
_GROUP_HEADER = (
    "group", "cases (positive)", "AUC", "exact within", "accuracy", "sensitivity", "specificity", "calibration error",
)  # fmt: skip
_MAP_HEADER = ("group", "maps", "lesions", "lesion sensitivity", "false positives a case", "Dice, mean of cases")


def _reports(groups: Groups, task: str) -> dict[str, dict[str, GroupReport]]:
    return {
        attribute: {group: group_report(counts, task) for group, counts in groups[attribute].items()}
        for attribute in ATTRIBUTES
        if attribute in groups
    }


def _group_rows(reports: Mapping[str, Mapping[str, GroupReport]]) -> list[Sequence[str]]:
    total = reports[ALL][ALL].scores.cases
    rows: list[Sequence[str]] = []
    for attribute, groups in reports.items():
        rows += [_group_row(_name(attribute, group), report) for group, report in groups.items()]
        if left := total - sum(report.scores.cases for report in groups.values()):
            rows.append((f"{attribute}: withheld", str(left), *[""] * (len(_GROUP_HEADER) - 2)))
    return rows


def _group_row(name: str, report: GroupReport) -> Sequence[str]:
    of, bounds = report.scores, report.auc_bounds
    scores = (of.accuracy, of.recall, of.specificity, of.ece_equal_width)
    within = "-" if bounds is None else f"{bounds[0]:.3f} to\u00a0{bounds[1]:.3f}"
    return (
        name,
        f"{of.cases} ({of.positives})",
        _text(asdict(of.auc)),
        within,
        *(_text(asdict(one)) for one in scores),
    )


def _map_rows(groups: Groups) -> list[Sequence[str]]:
    return [
        (_name(attribute, group), *_map_row(counts))
        for attribute in ATTRIBUTES
        for group, counts in groups.get(attribute, {}).items()
    ]


def _map_row(counts: Mapping[str, Any]) -> Sequence[str]:
    maps, (lesions, found, made_up, overlap, with_dice) = (
        counts["maps"],
        (counts[name][-1] for name in ("lesions", "found", "false_positives", "dice", "dice_maps")),
    )
    shares = (_ratio(found, lesions), _ratio(made_up, maps), _ratio(overlap, with_dice))
    return (f"{maps:.0f}", f"{lesions:.0f}", *map(_number, shares))


def _areas(reports: Mapping[str, Mapping[str, GroupReport]]) -> dict[str, list[tuple[str, Interval]]]:
    return {
        "" if attribute == ALL else f"by {attribute}": [
            (f"{'all cases' if group == ALL else group} ({of.scores.cases})", Interval(area.value, area.low, area.high))
            for group, of in groups.items()
            if (area := of.scores.auc).value is not None and area.low is not None and area.high is not None
        ]
        for attribute, groups in reports.items()
    }


def _curves(judged: Sequence[Judged]) -> Picture:
    roc, precision_recall = {}, {}
    for task, name in HEADS.items():
        truth, scores = _labels(judged, task)
        if 0 < truth.sum() < len(truth):
            roc[name] = roc_curve(truth, scores)
            precision_recall[name] = precision_recall_curve(truth, scores), float(truth.mean())
    caption = "Receiver operating characteristic, and precision over recall, of both heads."
    return Picture(draw_curves(roc, precision_recall), caption)


def _labels(judged: Sequence[Judged], task: str) -> tuple[Vector, Vector]:
    cases = labeled(judged, task)
    truth = np.array([one.labels[task] for one in cases], np.float64)
    return truth, np.array([one.scores[task] for one in cases], np.float64)


def _report(judged: Sequence[Judged], task: str) -> BinaryReport:
    return report_of(*_labels(judged, task), THRESHOLD, seed=SEED)


def _resampled(part: Vector, of: Vector) -> Estimate:
    """Return a sum of parts over a sum of wholes, one of each a case, with its interval over resampled cases."""
    if not len(part):
        return Estimate(None, None, None)

    def share(_: Vector, places: Vector) -> Vector:
        chosen = places.astype(np.int64)
        return np.asarray(part[chosen].sum(-1) / of[chosen].sum(-1))

    places = np.arange(len(part), dtype=np.float64)
    interval = bootstrap_interval(np.ones(len(part)), places, share, seed=SEED)
    return Estimate(float(part.sum() / of.sum()), *(interval or (None, None)))


def _name(attribute: str, group: str) -> str:
    return "all cases" if attribute == ALL else f"{attribute}: {group}"


def _ratio(part: float, of: float) -> float | None:
    return part / of if of else None


def _text(estimate: Mapping[str, float | None]) -> str:
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    # A line may break before the interval, never within it.
    interval = "" if low is None or high is None else f" ({low:.2f}\u00a0to\u00a0{high:.2f})"
    return _number(value) + interval


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
