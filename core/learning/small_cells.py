"""Counts of groups that may be shown: small cells are withheld, and others with them, so that none can be worked out.

Everything up to some count is withheld, nothing above it. Whoever sees the table then learns of the withheld cells
only their sum, and that any of them may hold any of their counts: the counts could be dealt out among these groups in
any other way and the same table would be shown. With two different counts among them, none is certain, even to one who
knows this rule. A rule that withheld only the next larger cell, by name where several are equal, could be undone.

Not covered: somebody who knows one of two withheld cells, such as the hospital that it is of, finds the other; and two
tables of overlapping groups may be subtracted from each other.

Sources: Hundepool 2012, Statistical Disclosure Control, doi:10.1002/9781118348239, chapter 4 (primary and secondary
suppression, attacks by one who knows the rule).
"""

from collections.abc import Mapping
from dataclasses import dataclass

FLOOR = 5


@dataclass(frozen=True)
class ShownCounts:
    """A table that may be shown.

    Attributes:
        cells: by group, its count, or None where it is withheld.
        total: of all groups, or None where it would give a cell away.
    """

    cells: dict[str, int | None]
    total: int | None


def suppressed(counts_by_group: Mapping[str, int], floor: int = FLOOR) -> ShownCounts:
    """Withhold the cells below a floor, and as many more as hide them.

    Withheld cells together hold at least two different counts, since equal ones would be their mean, and at least
    `floor` cases, since their sum is the total less what is shown. Where all cells together do not, the total is
    withheld as well.

    Args:
        counts_by_group: cases by group; groups do not overlap.
        floor: counts below it, none included, are withheld.
    Returns: the table; the total is of every group.
    Raises: ValueError for a count below 0, or a floor below 2, of which the withheld cells would all be none.
    """
    if floor < 2:
        raise ValueError("a floor below 2 hides nothing")
    counts = sorted(counts_by_group.values())
    if counts and counts[0] < 0:
        raise ValueError("a group cannot have fewer than no cases")
    if not counts or counts[0] >= floor:
        return ShownCounts(dict(counts_by_group), sum(counts))
    highest = _highest_withheld(counts, floor)
    if highest is None:
        return ShownCounts(dict.fromkeys(counts_by_group), None)
    cells = {group: None if count <= highest else count for group, count in counts_by_group.items()}
    return ShownCounts(cells, sum(counts))


def _highest_withheld(counts: list[int], floor: int) -> int | None:
    """Return the count up to which cells must be withheld, or None where not even all of them hide each other."""
    for highest in sorted(set(counts)):
        withheld = [count for count in counts if count <= highest]
        following = min((count for count in counts if count > highest), default=floor)
        if following >= floor and len(set(withheld)) > 1 and sum(withheld) >= floor:
            return highest
    return None
