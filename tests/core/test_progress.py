"""Progress where nobody looks at a terminal."""

import pytest

from core.progress import EVERY_S, bars, lines


def test_a_log_gets_a_step_s_begin_and_end_and_now_and_then_a_line_between() -> None:
    told: list[str] = []
    times = iter([0, 1, EVERY_S, EVERY_S + 1, EVERY_S + 2, EVERY_S + 3])
    report = lines(told.append, lambda: next(times))
    for done in (0, 1, 2, 3):
        report("train", done, 4)
    report("judge", 0, 2)
    report("train", 4, 4)
    assert told == ["train: 0 of 4", "train: 2 of 4", "judge: 0 of 2", "train: 4 of 4"]


def test_without_a_terminal_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with bars() as report:
        report("train", 2, 2)
    assert capsys.readouterr() == ("", "train: 2 of 2\n")
