"""`fl-simulate experiment`: many trainings on synthetic people, compared."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from core.config import load_config
from core.progress import bars
from simulations.cli_tracking import Tracking


def experiment(
    settings: Annotated[Path, typer.Argument(help="An experiment's TOML file.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Its folder; by default named after the file, here.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Trainings side by side, each on one thread.")] = 2,
    ray: Annotated[
        str | None, typer.Option(help="Do them on the Ray cluster at this address, which shares OUT and the people.")
    ] = None,
    tracking: Tracking = None,
    cases: Annotated[
        Path | None, typer.Option("--people", help="Folder of synthetic people; several experiments may share one.")
    ] = None,
) -> None:
    """Ask whether federating was worth it: federated, pooled and alone, by seed, strategy and way of dealing out.

    Trains on synthetic people straight on the model's grid, without DICOM. Also learning curves, label permutations,
    leave-one-out, ablations, as the file says. Writes OUT/report.html and OUT/results.json. Safe to interrupt: each
    training is kept, and a federation goes on from its last round.

    Example: fl-simulate experiment simulations/scenarios/experiments/worth-it.toml --out worth-it
    """
    from simulations.experiment import Experiment
    from simulations.run_experiment import run_experiment
    from simulations.worth_report import shown

    asked = load_config(Experiment, settings)
    folder = (out or Path(settings.stem)).absolute()
    with bars() as report:
        worth, page = run_experiment(asked, folder, cases or folder / "people", workers, ray, tracking or (), report)
    header, rows = shown(worth)
    table = Table(*header, title=f"AUC of {worth.people} held-out patients, MGMT methylation")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"Report: {page}", soft_wrap=True, highlight=False)


COMMANDS: dict[str, Callable[..., None]] = {"experiment": experiment}
