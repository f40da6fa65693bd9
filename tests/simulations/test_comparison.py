from simulations.comparison import HEADER, measure


def test_a_row_holds_hand_counted_scores() -> None:
    """Of 3 x 2 pairs the positive wins 5; at one half there are 2 hits, 1 miss, 1 false alarm and 1 rest."""
    row = measure("x", [1, 1, 1, 0, 0], [0.9, 0.8, 0.4, 0.6, 0.1])
    assert row.auc == 5 / 6
    assert (row.accuracy, row.precision, row.recall) == (3 / 5, 2 / 3, 2 / 3)
    assert row.interval is not None
    assert row.interval[0] < 5 / 6 < row.interval[1]
    assert len(row.texts()) == len(HEADER)
    assert row.texts()[0:2] == ("x", "0.833")


def test_what_cannot_be_scored_is_a_dash() -> None:
    assert measure("x", [1, 1], [0.2, 0.3]).texts()[1:] == ("-", "-", "0.00", "-", "0.00")
