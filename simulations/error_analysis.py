"""Where a model errs: the cases with the highest loss, and the share of wrong answers by scanner, quality and size."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.learning.cases import TrainingCase
from core.learning.groups import UNKNOWN
from core.learning.intervals import Interval, wilson_interval
from core.learning.metrics import TASKS, THRESHOLD
from core.report import Part, Picture, Table
from simulations.evaluation import Judged
from simulations.plots_evaluation import Shown, draw_cases

WORST = 4
NO_TUMOR = "no tumor"


@dataclass(frozen=True)
class ErrorRate:
    """How often a head's call at one half is wrong in a group.

    Attributes:
        cases: with a label.
        errors: of them.
        interval: of their share, 95 % (Wilson); None without cases.
    """

    cases: int
    errors: int
    interval: Interval | None


def error_rates(judged: Sequence[Judged], task: str) -> dict[str, dict[str, ErrorRate]]:
    """Return by attribute (`scanner`, `quality`, `tumor size`) and group how often a head errs; of all cases first."""
    by = {
        "all": ["all"] * len(judged),
        "scanner": [one.known.traits.scanner or UNKNOWN for one in judged],
        "quality": [one.known.verdict for one in judged],
        "tumor size": size_groups([one.known.tumor_ml for one in judged]),
    }
    told = [place for place, one in enumerate(judged) if one.labels[task] is not None]
    wrong = [is_wrong(judged[place], task) for place in told]
    return {attribute: _rates([groups[place] for place in told], wrong) for attribute, groups in by.items()}


def is_wrong(judged: Judged, task: str) -> bool:
    """Return whether a head's call at one half is not the label, which must be known."""
    return (judged.scores[task] >= THRESHOLD) != (judged.labels[task] == 1)


def size_groups(tumor_ml: Sequence[float | None]) -> list[str]:
    """Return each case's tertile of tumor volume, named with its limits; equal volumes are of one tertile.

    Args:
        tumor_ml: ml, 0 without a tumor, None where unknown.
    """
    sizes = sorted(size for size in tumor_ml if size)
    if not sizes:
        return [UNKNOWN if size is None else NO_TUMOR for size in tumor_ml]
    low, high = np.quantile(sizes, [1 / 3, 2 / 3])
    names = (
        f"1st third, up to {low:.1f} ml", f"2nd third, {low:.1f} to {high:.1f} ml", f"3rd third, over {high:.1f} ml"
    )  # fmt: skip
    return [
        UNKNOWN if size is None else NO_TUMOR if size == 0 else names[int(size > low) + int(size > high)]
        for size in tumor_ml
    ]


def worst(judged: Sequence[Judged]) -> list[int]:
    """Return the places of the cases with the highest loss, the worst first; equal ones by name."""
    order = sorted(range(len(judged)), key=lambda place: (-judged[place].loss, judged[place].known.id))
    return order[:WORST]


def error_figures(judged: Sequence[Judged]) -> dict[str, Any]:
    """Return the error rates of both heads and the worst cases, ready for JSON."""
    return {
        "rates": {
            task: {
                attribute: {group: asdict(rate) for group, rate in groups.items()}
                for attribute, groups in error_rates(judged, task).items()
            }
            for task in TASKS
        },
        "worst": [
            {"case": one.known.id, "site": one.known.site, "loss": one.loss, "labels": dict(one.labels),
             "scores": dict(one.scores)}
            for one in (judged[place] for place in worst(judged))
        ],
    }  # fmt: skip


def errors_part(judged: Sequence[Judged], cases: Sequence[TrainingCase]) -> Part:
    """Return the worst cases with their pictures, and how often each head errs by scanner, quality and tumor size.

    Args:
        judged: of any quality.
        cases: the same, in the same order.
    """
    rates = {task: error_rates(judged, task) for task in TASKS}
    rows = [
        (
            "all cases" if attribute == "all" else f"{attribute}: {group}",
            *(_text(rates[task][attribute].get(group)) for task in TASKS),
        )
        for attribute in rates[TASKS[0]]
        for group in sorted({name for task in TASKS for name in rates[task][attribute]})
    ]
    told = (
        "Wrong calls at one half, of the cases with a label, with Wilson's 95 % interval. Tumor sizes are in thirds of "
        "these cases. Cases whose scans the quality check excludes are judged here too, and only here."
    )
    content: list[str | Picture | Table] = [told, Table(("group", "MGMT wrong", "tumor wrong"), rows)]
    if chosen := worst(judged):
        caption = (
            "The cases with the highest loss, over both heads and the map. A researcher's page of synthetic or public "
            "cases: a hospital would look at its own on its own machine."
        )
        content.append(Picture(draw_cases([_shown(judged[place], cases[place]) for place in chosen]), caption))
    return Part("Where it errs", content)


def _rates(groups: Sequence[str], wrong: Sequence[bool]) -> dict[str, ErrorRate]:
    by_group: Mapping[str, list[bool]] = defaultdict(list)
    for group, is_one in zip(groups, wrong, strict=True):
        by_group[group].append(is_one)
    return {
        group: ErrorRate(len(found), sum(found), wilson_interval(sum(found), len(found)))
        for group, found in sorted(by_group.items())
    }


def _shown(judged: Judged, case: TrainingCase) -> Shown:
    said = [
        f"{task} {judged.scores[task]:.2f}" + ("" if judged.labels[task] is None else f", is {judged.labels[task]}")
        for task in TASKS
    ]
    overlap = "" if not judged.dice or judged.dice[-1] is None else f"; Dice {judged.dice[-1]:.2f}"
    return Shown(
        f"{judged.known.id} of {judged.known.site}: loss {judged.loss:.2f}; {'; '.join(said)}{overlap}",
        case.image.numpy(),
        judged.tumor_map.sum(0),
        None if case.tumor_map is None else case.tumor_map.numpy().sum(0),
    )


def _text(rate: ErrorRate | None) -> str:
    if rate is None or rate.interval is None:
        return "-"
    low, high = rate.interval
    return f"{rate.errors} of {rate.cases} ({low:.0%} to {high:.0%})"
