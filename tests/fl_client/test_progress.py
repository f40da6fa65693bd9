import json
from pathlib import Path

from core.clock import moment_of, now
from fl_client.progress import Effort, Efforts, Progress, ProgressFile, read_progress

TASK = Progress(run="r-1", round=3, device="CPU")


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_what_is_shown_is_read_back(tmp_path: Path) -> None:
    progress = Progress("training", "r-1", 3, 5, 20, now(), None, "CPU", "", 1.5, 0.0, (7, 8))
    ProgressFile(tmp_path / "run" / "progress.json").show(progress)
    assert read_progress(tmp_path / "run" / "progress.json") == progress


def test_nothing_or_something_else_to_read_is_idleness(tmp_path: Path) -> None:
    assert read_progress(tmp_path / "none.json").state == "idle"
    for content in ("", "[]", '{"state": "training"}', '{"flower_runs": [], "stranger": 1}'):
        (tmp_path / "p.json").write_text(content)
        assert read_progress(tmp_path / "p.json").state == "idle"


def test_steps_are_written_four_times_a_second_at_most_but_every_beginning_and_end(tmp_path: Path) -> None:
    clock = Clock()
    file = ProgressFile(tmp_path / "p.json", clock)
    report = file.report(TASK, "training", Effort)

    def after(seconds: float, step: str, done: int, total: int) -> tuple[str, int]:
        clock.seconds += seconds
        report(step, done, total)
        shown = read_progress(file.path)
        return shown.state, shown.done

    assert after(0, "evaluating", 0, 2) == ("evaluating", 0)
    assert after(0.1, "evaluating", 1, 2) == ("evaluating", 0)
    assert after(0.1, "evaluating", 2, 2) == ("evaluating", 2)
    assert after(0.1, "training", 1, 9) == ("training", 1)
    assert after(0.2, "training", 2, 9) == ("training", 1)
    assert after(0.1, "training", 3, 9) == ("training", 3)


def test_the_end_of_the_last_step_is_foretold_from_its_pace(tmp_path: Path) -> None:
    clock = Clock()
    file = ProgressFile(tmp_path / "p.json", clock)
    report = file.report(TASK, "training", lambda: Effort(cpu_s=2.0, flower_runs=(7,)))
    report("evaluating", 1, 1)
    assert read_progress(file.path).expected_end is None
    report("training", 0, 10)
    assert read_progress(file.path).expected_end is None
    clock.seconds += 30
    report("training", 3, 10)
    shown = read_progress(file.path)
    # Three steps took 30 s, so the seven that are left take 70 s.
    left = moment_of(str(shown.expected_end)) - moment_of(shown.progressed_at)
    assert abs(left.total_seconds() - 70) < 1
    assert (shown.run, shown.round, shown.cpu_s, shown.flower_runs) == ("r-1", 3, 2.0, (7,))


def test_what_was_done_before_the_trainer_was_killed_tells_nothing_of_its_pace(tmp_path: Path) -> None:
    clock = Clock()
    file = ProgressFile(tmp_path / "p.json", clock)
    report = file.report(TASK, "training", Effort)
    report("training", 80, 100)
    clock.seconds += 30
    report("training", 83, 100)
    shown = read_progress(file.path)
    # Three steps took 30 s, so the 17 that are left take 170 s.
    left = moment_of(str(shown.expected_end)) - moment_of(shown.progressed_at)
    assert abs(left.total_seconds() - 170) < 1


def test_what_a_run_has_cost_outlives_the_trainer(tmp_path: Path) -> None:
    efforts = Efforts(tmp_path / "efforts.json")
    efforts.came_as("r-1", 7)
    efforts.worked("r-1", 2.5, 0.0)
    efforts.came_as("r-1", 8)
    efforts.came_as("r-1", 7)
    efforts.came_as("r-1", 0)
    again = Efforts(tmp_path / "efforts.json")
    assert again.of("r-1") == Effort(2.5, 0.0, (7, 8))
    assert again.of("r-2") == Effort()


def test_what_a_killed_trainer_had_worked_is_counted_once(tmp_path: Path) -> None:
    efforts = Efforts(tmp_path / "efforts.json")
    efforts.came_as("r-1", 7)
    efforts.worked("r-1", 2.0, 0.0)
    for _ in range(2):
        efforts.recover(Progress(run="r-1", cpu_s=5.0))
        assert efforts.of("r-1") == Effort(5.0, 0.0, (7,))
    efforts.recover(Progress(run="r-1", cpu_s=1.0))
    efforts.recover(Progress())
    assert json.loads((tmp_path / "efforts.json").read_text()) == {
        "r-1": {"cpu_s": 5.0, "gpu_s": 0.0, "flower_runs": [7]}
    }


def test_a_damaged_file_of_efforts_begins_anew(tmp_path: Path) -> None:
    for content in ("", "[1]", '{"r-1": {"cpu_s": 1}}'):
        (tmp_path / "efforts.json").write_text(content)
        assert Efforts(tmp_path / "efforts.json").of("r-1") == Effort()
