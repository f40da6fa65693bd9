"""How long work tells how far it is, without knowing who looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# step, pieces done, pieces in all
Report = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """Report to nobody."""


@contextmanager
def bars() -> Iterator[Report]:
    """Show one progress bar a step on standard error, where it does not mix with a command's answer."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield report
