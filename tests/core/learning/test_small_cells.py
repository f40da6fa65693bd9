"""What may be shown of groups, attacked by one who knows the rule and tries every table there could be."""

from collections import defaultdict
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.learning.small_cells import ShownCounts, suppressed

some_counts = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(0, 15), max_size=8)


@pytest.mark.parametrize(
    ("counts", "shown", "total"),
    [
        ([9, 7, 5], [9, 7, 5], 21),  # none is small
        ([9, 7, 2], [9, None, None], 18),  # 2 would be 18 - 16; 7 goes with it
        ([9, 3, 2], [9, None, None], 14),  # two different ones hide each other
        ([9, 8, 2, 1], [9, None, None, None], 20),  # 1 and 2 together are a small group of 3
        ([9, 6, 4, 4], [9, None, None, None], 23),  # equal ones would be half of 8 each
        ([9, 6, 6, 3], [9, None, None, None], 24),  # which of the 6 goes with 3 would tell who came first
        ([9, 0], [None, None], 9),  # none is small as well
        ([4, 4, 4], [None] * 3, None),
        ([1, 2], [None] * 2, None),
        ([3], [None], None),
        ([], [], 0),
    ],
)
def test_tables_by_hand(counts, shown, total):
    found = suppressed({f"group {place}": count for place, count in enumerate(counts)})
    assert list(found.cells.values()) == shown
    assert list(found.cells) == [f"group {place}" for place in range(len(counts))]
    assert found.total == total


@pytest.mark.parametrize(
    ("groups", "highest", "floor"), [(1, 12, 5), (2, 14, 5), (3, 10, 5), (3, 10, 3), (3, 8, 2), (4, 6, 3)]
)
def test_no_table_that_is_shown_lets_anybody_work_out_a_withheld_cell(groups, highest, floor):
    """All tables are made, put together by what is shown of them: within each the withheld cells must differ."""
    tables = defaultdict(list)
    for counts in product(range(highest + 1), repeat=groups):
        found = suppressed(dict(enumerate(counts)), floor)
        tables[tuple(found.cells.values()), found.total].append(counts)
    assert len(tables) > 1
    for (cells, _), candidates in tables.items():
        for place, cell in enumerate(cells):
            seen = {counts[place] for counts in candidates}
            if cell is None:
                assert len(seen) >= 2, (cells, candidates)
                # And it is never certain to be a larger one, which only keeps a small one company.
                assert min(seen) < floor
            else:
                assert seen == {cell}
                assert cell >= floor


@given(some_counts, st.integers(2, 8))
def test_what_is_shown_is_true_and_what_is_withheld_is_a_group_of_its_own(counts, floor):
    found = suppressed(counts, floor)
    withheld = [count for group, count in counts.items() if found.cells[group] is None]
    assert all(cell in (None, counts[group]) for group, cell in found.cells.items())
    assert all(found.cells[group] is None for group, count in counts.items() if count < floor)
    if found.total is None:
        assert len(withheld) == len(counts)
    else:
        assert found.total == sum(counts.values())
    if withheld and found.total is not None:
        assert len(set(withheld)) >= 2
        assert sum(withheld) == found.total - sum(cell or 0 for cell in found.cells.values()) >= floor
        assert max(withheld) < min((cell for cell in found.cells.values() if cell is not None), default=16)


@given(some_counts, st.integers(2, 8), st.randoms(use_true_random=False))
def test_withheld_counts_dealt_out_anew_show_the_same_table(counts, floor, order):
    """The proof that nobody can tell which is which: it also holds for tables too large to try them all."""
    found = suppressed(counts, floor)
    groups = [group for group in counts if found.cells[group] is None]
    dealt = dict(zip(groups, order.sample([counts[group] for group in groups], len(groups)), strict=True))
    assert suppressed(counts | dealt, floor) == found


@given(some_counts)
def test_no_more_is_withheld_than_the_rule_asks_for(counts):
    """Showing the largest withheld cells would leave the others alike, or too few, or one below the floor."""
    found = suppressed(counts)
    withheld = [count for group, count in counts.items() if found.cells[group] is None]
    if withheld and found.total is not None:
        fewer = [count for count in withheld if count < max(withheld)]
        assert max(withheld) < 5 or len(set(fewer)) < 2 or sum(fewer) < 5


def test_what_cannot_be_hidden_or_counted_is_refused():
    assert suppressed({}) == ShownCounts({}, 0)
    with pytest.raises(ValueError, match="hides nothing"):
        suppressed({"a": 3}, 1)
    with pytest.raises(ValueError, match="fewer than no"):
        suppressed({"a": -3})
