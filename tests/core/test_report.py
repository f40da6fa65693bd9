import numpy as np

from core.imaging.case import PreparedCase, Quality
from core.report import Part, Picture, Table, render
from simulations.plots import Interval, draw_case, draw_intervals, draw_roc, draw_rounds, draw_tumor


def test_what_a_page_is_given_cannot_become_markup() -> None:
    page = render("<b>", "a & b", [Part("x<y", ["1 < 2", Table(("<h>",), [("<c>",)])])])
    assert "<b>" not in page.replace("<body>", "")
    assert all(text in page for text in ("&lt;b&gt;", "a &amp; b", "x&lt;y", "1 &lt; 2", "&lt;h&gt;", "&lt;c&gt;"))


def test_a_picture_is_inside_the_page_and_described_for_those_who_cannot_see_it() -> None:
    page = render("t", "w", [Part("p", [Picture(b"\x89PNG", 'two "lines"')])])
    assert 'src="data:image/png;base64,iVBORw=="' in page
    assert 'alt="two &quot;lines&quot;"' in page


def test_strong_rows_stand_out() -> None:
    page = render("t", "w", [Part("p", [Table(("a",), [("1",), ("2",)], frozenset({1}))])])
    assert page.count("class=strong") == 1
    assert page.index("<td>1</td>") < page.index("class=strong") < page.index("<td>2</td>")


def test_a_table_of_words_is_set_to_the_left() -> None:
    page = render("t", "w", [Part("p", [Table(("a",), [("1",)]), Table(("a",), [("b",)], words=True)])])
    assert page.count("<table class=words>") == page.count("<table>") == 1


def test_every_picture_is_drawn_from_awkward_data_too() -> None:
    """No brain, no tumor, gaps in curves, one round: nothing may stop a report."""
    nothing = PreparedCase(np.zeros((4, 16, 16, 16), np.float32), np.zeros((16, 16, 16), bool), None, Quality())
    pictures = [
        draw_case(nothing),
        draw_tumor(nothing, np.zeros((3, 4, 4, 4), np.float32)),
        draw_rounds({"a": [1.0], "all sites": [float("nan")]}, {"a": [float("nan")], "all sites": [0.5]}, 0),
        draw_roc({"a": (np.array([0.0, 1.0]), np.array([0.0, 1.0]))}),
        draw_intervals({"a": Interval(0.5, 0.1, 0.9)}, 0.99),
    ]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
