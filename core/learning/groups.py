"""A model's scores by group of patients, over hospitals: each sends counts of its large groups, and they are added.

A hospital counts its own cases by scanner, sex and age band, and sends the counts of groups that `small_cells` lets it
show, and of all its cases where they are no small group themselves. A withheld group's name is not sent either. Of
sizes the tables of one hospital share only their sum, which `small_cells` takes as known; so nobody who sees them,
alone or added, can work out a withheld group's size, and the cases left over by subtraction are at least `floor`, of
two groups or more.

Not covered: single patients. Counts hold a histogram of 256 bins for each class, and of a hospital's few cases most
have a bin to themselves. Found in the tables of sex, age and scanner, it joins these to that patient's row, score and
label included; found in none of the groups of a table, it is of a withheld one. A large group may also have few cases
of one class, or only cases of one, and the counts tell that; and the tables of two tasks may be subtracted from each
other where a few cases have the label of one alone. So nothing that leaves a hospital holds such tables (decision 18).

Scores of added counts are those of all patients together with each probability moved to the middle of its bin, by at
most 1/512: whatever is called at one half is exact, and the area under the curve is within `auc_bounds`.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.learning.binary_report import BinaryReport, Estimate, report_of
from core.learning.intervals import Interval
from core.learning.metrics import MIDDLES, THRESHOLD, add, histograms_of
from core.learning.pooled_auc import auc_bounds
from core.learning.small_cells import FLOOR, suppressed
from core.messages import Counts

ALL, SITE = "all", "site"
UNKNOWN = "unknown"

# By attribute (such as `sex`) and group (such as `female`), the counts of its cases.
Groups = Mapping[str, Mapping[str, Counts]]
# Takes places of cases; returns their counts.
Counting = Callable[[Sequence[int]], Counts]


@dataclass(frozen=True)
class GroupReport:
    """Scores of a group's added counts.

    Attributes:
        scores: of probabilities moved to the middles of their bins; the area's interval is widened by as much as that
            may have moved the area.
        auc_bounds: between which the area of the probabilities themselves lies; None without both classes.
    """

    scores: BinaryReport
    auc_bounds: Interval | None


def site_groups(counting: Counting, attributes: Mapping[str, Sequence[str]], floor: int = FLOOR) -> Groups:
    """Return what one hospital sends of its groups.

    Args:
        counting: counts some of the hospital's cases.
        attributes: by name, each case's group; empty where it is not known.
        floor: groups with fewer cases are withheld, and others with them.
    Returns: counts by attribute and group, without the withheld ones; all cases together are the only group of `all`.
        Nothing, where there are fewer than `floor`.
    """
    (cases,) = {len(groups) for groups in attributes.values()}
    if cases < floor:
        return {}
    table: dict[str, dict[str, Counts]] = {ALL: {ALL: counting(range(cases))}}
    for attribute, groups in attributes.items():
        members: dict[str, list[int]] = defaultdict(list)
        for place, group in enumerate(groups):
            members[group or UNKNOWN].append(place)
        # Where even the total is to be withheld, no group is shown: the same table as where all groups hide each other.
        cells = suppressed({group: len(places) for group, places in members.items()}, floor).cells
        table[attribute] = {
            group: counting(members[group]) for group, count in sorted(cells.items()) if count is not None
        }
    return table


def added(sites: Mapping[str, Groups]) -> Groups:
    """Add what hospitals sent; each that shows its total is also a group of the attribute `site`."""
    total: dict[str, dict[str, Counts]] = defaultdict(dict)
    for site, groups in sorted(sites.items()):
        for attribute, of_attribute in groups.items():
            for group, counts in of_attribute.items():
                total[attribute][group] = add(total[attribute].get(group, {}), counts)
        if ALL in groups:
            total[SITE][site] = groups[ALL][ALL]
    return {attribute: dict(sorted(of_attribute.items())) for attribute, of_attribute in total.items()}


def group_report(counts: Counts, task: str) -> GroupReport:
    """Score a group's counts for one task."""
    positive, negative = (np.asarray(histogram, np.int64) for histogram in histograms_of(counts, task))
    labels = np.repeat([1, 0], [positive.sum(), negative.sum()])
    scores = np.concatenate([np.repeat(MIDDLES, positive), np.repeat(MIDDLES, negative)])
    bounds = auc_bounds(positive, negative)
    report = report_of(labels, scores, THRESHOLD)
    return GroupReport(replace(report, auc=_widened(report.auc, bounds)), bounds)


def _widened(area: Estimate, bounds: Interval | None) -> Estimate:
    if bounds is None or area.low is None or area.high is None:
        return area
    moved = (bounds[1] - bounds[0]) / 2
    return Estimate(area.value, max(0.0, area.low - moved), min(1.0, area.high + moved))
