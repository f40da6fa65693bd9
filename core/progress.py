"""How long work tells how far it is, without knowing who looks."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# step, pieces done, pieces in all
Report = Callable[[str, int, int], None]
# Between two lines, where nobody looks at a terminal.
EVERY_S = 30.0


def silent(step: str, done: int, total: int) -> None:
    """Report to nobody."""


def lines(write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> Report:
    """Tell `write` how far each step is: at its end, and before that now and then."""
    told: dict[str, float] = {}

    def report(step: str, done: int, total: int) -> None:
        now = clock()
        if done == total or now - told.get(step, -inf) >= EVERY_S:
            told[step] = now
            write(f"{step}: {done} of {total}")

    return report


@contextmanager
def bars() -> Iterator[Report]:
    """Show how far each step is on standard error, where it does not mix with a command's answer.

    One progress bar a step on a terminal; lines in a log file.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(partial(print, file=sys.stderr, flush=True))
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield report
