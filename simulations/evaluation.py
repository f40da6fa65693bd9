"""A model judged on held-out cases: one record a case, and what each site would send of them by group."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.imaging.case import PreparedCase, load_case
from core.imaging.traits import Traits
from core.learning.cases import TrainingCase, collate, training_case
from core.learning.evaluation import BATCH, CPU, INSIDE
from core.learning.groups import Groups, added, site_groups
from core.learning.lesions import LesionCounts, count_lesions, dice
from core.learning.losses import ClassWeights, case_losses
from core.learning.metrics import REGIONS, TASKS, task_counts
from core.learning.model import GliomaNet
from core.learning.prediction import look
from core.learning.small_cells import FLOOR
from core.messages import Counts
from fl_client.prepare import Entry

USABLE = "usable"
# The regions of the maps, and all of them together.
WHOLE = "whole tumor"
PLACES = (*REGIONS, WHOLE)
MAPS = "maps"

Maps = NDArray[np.float32]
Counting = Callable[[Sequence["Judged"]], Counts]
Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Known:
    """What is known of a held-out case beside its labels.

    Attributes:
        id: a pseudonym, which stays at the site.
        site: whose case it is.
        traits: of patient and scanner.
        verdict: of the scan's quality.
        tumor_ml: the tumor's volume by its mask, 0 for a healthy control; None without a mask.
    """

    id: str
    site: str
    traits: Traits
    verdict: str = USABLE
    tumor_ml: float | None = None


@dataclass(frozen=True)
class Judged:
    """What a model says of one held-out case, and what is true of it.

    Attributes:
        known: whose it is.
        labels: for `mgmt` and `tumor`, 0, 1 or None where unknown.
        scores: for each, the head's raw score, 0 to 1, before calibration.
        loss: the case's share of the validation loss.
        tumor_map: float32 [3, n, n, n], the predicted map.
        lesions, dice: of each of PLACES on the map's grid; empty without a reference.
    """

    known: Known
    labels: Mapping[str, int | None]
    scores: Mapping[str, float]
    loss: float
    tumor_map: Maps
    lesions: tuple[LesionCounts, ...] = ()
    dice: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Held-out cases and what a model says of them, in the same order."""

    cases: tuple[TrainingCase, ...]
    judged: tuple[Judged, ...]


def evaluate_site(
    entries: Sequence[Entry], prepared: Path, site: str, model: GliomaNet, untrained: Mapping[str, str]
) -> Evaluation:
    """Judge a model on a site's prepared cases, those of poor quality as well.

    A head that was never trained is judged by no label: it has no score rather than a bad one.

    Args:
        entries: of the site's cohort.
        prepared: the folder of its prepared cases.
        site: its name.
        model: any.
        untrained: for `mgmt` and `tumor`, why the head has learned nothing, or "" where it has.
    """
    cases, known = [], []
    for entry in entries:
        if entry.file is None:
            continue
        case = load_case(prepared / entry.file)
        cases.append(_without(training_case(case.image, case.tumor, entry.mgmt), untrained))
        known.append(Known(entry.id, site, entry.traits, entry.verdict, _tumor_ml(case)))
    return Evaluation(tuple(cases), judge(model, cases, known))


def judge(model: GliomaNet, cases: Sequence[TrainingCase], known: Sequence[Known]) -> tuple[Judged, ...]:
    """Judge a model on cases that it was not trained on, on the CPU.

    Args:
        model: any.
        cases: with what labels they have.
        known: of each of them.
    Returns: one for each case, in order.
    """
    judged = []
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        image, targets = collate(batch, CPU)
        output = look(model, image)
        losses = case_losses(output, targets, ClassWeights()).total(1.0).tolist()
        maps = torch.sigmoid(output.tumor_map).numpy()
        scores = {"mgmt": torch.sigmoid(output.mgmt).tolist(), "tumor": torch.sigmoid(output.tumor).tolist()}
        for place, case in enumerate(batch):
            labels = {"mgmt": case.mgmt, "tumor": case.tumor}
            said = {task: scores[task][place] for task in TASKS}
            compared = _compared(maps[place], case)
            judged.append(Judged(known[start + place], labels, said, losses[place], maps[place], *compared))
    return tuple(judged)


def labeled(judged: Sequence[Judged], task: str) -> tuple[Judged, ...]:
    """Return the cases of usable quality whose label for a task is known."""
    return tuple(one for one in judged if one.labels[task] is not None and one.known.verdict == USABLE)


def mapped(judged: Sequence[Judged]) -> tuple[Judged, ...]:
    """Return the cases of usable quality with a reference map."""
    return tuple(one for one in judged if one.lesions and one.known.verdict == USABLE)


def whole(tumor_map: Maps) -> Masks:
    """Return which voxels of a map, float32 [3, n, n, n], are tumor of any region, of which each voxel has one."""
    return np.asarray(tumor_map.sum(0) > INSIDE)


def group_tables(judged: Sequence[Judged], floor: int = FLOOR) -> dict[str, Groups]:
    """Return the counts by group that sites show of their own cases, added: for both tasks and for `maps`.

    Args:
        judged: of any number of sites.
        floor: of each site, see `core.learning.groups`.
    """
    countings: dict[str, tuple[Sequence[Judged], Counting]] = {
        task: (labeled(judged, task), partial(_task_counts, task)) for task in TASKS
    }
    countings[MAPS] = mapped(judged), map_counts
    tables = {}
    for name, (cases, counts_of) in countings.items():
        by_site = defaultdict(list)
        for one in cases:
            by_site[one.known.site].append(one)
        tables[name] = added(
            {site: site_groups(partial(_of_places, counts_of, own), attributes_of(own), floor)
             for site, own in by_site.items()}
        )  # fmt: skip
    return tables


def attributes_of(judged: Sequence[Judged]) -> dict[str, list[str]]:
    """Return by attribute the group of each case, empty where it is not known."""
    traits = [one.known.traits for one in judged]
    return {
        "scanner": [of.scanner for of in traits],
        "sex": [of.sex for of in traits],
        "age": [of.age_band for of in traits],
    }


def map_counts(judged: Sequence[Judged]) -> Counts:
    """Count maps, their lesions and their overlap: for each of PLACES a number, which adds across sites."""
    counts: Counts = {"maps": float(len(judged))}
    for name in ("lesions", "found", "predicted", "false_positives"):
        counts[name] = [float(sum(getattr(one.lesions[place], name) for one in judged)) for place in range(len(PLACES))]
    known = [[value for one in judged if (value := one.dice[place]) is not None] for place in range(len(PLACES))]
    counts["dice"] = [float(sum(values)) for values in known]
    counts["dice_maps"] = [float(len(values)) for values in known]
    return counts


def _task_counts(task: str, judged: Sequence[Judged]) -> Counts:
    return task_counts(task, [one.scores[task] for one in judged], [float(one.labels[task] or 0) for one in judged])


def _of_places(counts_of: Counting, judged: Sequence[Judged], places: Sequence[int]) -> Counts:
    return counts_of([judged[place] for place in places])


def _compared(predicted: Maps, case: TrainingCase) -> tuple[tuple[LesionCounts, ...], tuple[float | None, ...]]:
    """Return lesions and Dice of each of PLACES, nothing without a reference."""
    if case.tumor_map is None:
        return (), ()
    reference = case.tumor_map.numpy()
    pairs = [*zip(predicted > INSIDE, reference > INSIDE, strict=True), (whole(predicted), whole(reference))]
    return tuple(count_lesions(*pair) for pair in pairs), tuple(dice(*pair) for pair in pairs)


def _without(case: TrainingCase, untrained: Mapping[str, str]) -> TrainingCase:
    """Return a case without the labels of heads that were never trained."""
    return replace(
        case, mgmt=None if untrained["mgmt"] else case.mgmt, tumor=None if untrained["tumor"] else case.tumor
    )


def _tumor_ml(case: PreparedCase) -> float | None:
    if case.tumor is None:
        return None
    return float((case.tumor > 0).sum() * np.prod(case.record["grid"]["spacing"])) / 1000
