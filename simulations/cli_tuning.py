"""The command that looks for a study's settings."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from core.config import load_config
from core.progress import bars
from simulations.cli_tracking import Tracking


def tune(
    tuning: Annotated[Path, typer.Argument(help="A tuning's TOML file.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the tuning's own; by default named after it, here.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Trials side by side; what they find then varies.")] = 1,
    ray: Annotated[str | None, typer.Option(help="On the Ray cluster at this address, which shares OUT.")] = None,
    tracking: Tracking = None,
) -> None:
    """Look for a study's settings by trial after trial, each a whole federated run or a cross-validation.

    Proposes settings by a Gaussian process, or by tree-structured Parzen estimators, with which poor trials can be
    stopped early. Keeps every trial, and writes OUT/best-study.toml for `fl-server launch`, OUT/best.safetensors,
    OUT/trials.json and OUT/tuning.html. Safe to interrupt: the next call goes on, and does what further `trials` the
    file then asks for.

    Example: fl-simulate tune simulations/scenarios/tuning/demo.toml --out tuned --workers 2
    """
    from simulations.tracking import check_tools, track
    from simulations.tuning import tune as search
    from simulations.tuning_report import as_json, write_results
    from simulations.tuning_space import Tuning

    check_tools(tracking or ())
    settings = load_config(Tuning, tuning)
    folder = (out or Path(tuning.stem)).absolute()
    with bars() as report:
        study = search(settings, folder, workers, report, ray=ray)
    page = write_results(settings, study, folder)
    goal: str = settings.goal
    for trial in study.trials:
        steps = {step: {goal: value} for step, value in trial.intermediate_values.items()}
        reached = {} if trial.value is None else {goal: trial.value}
        track(folder / "tracking", f"trial-{trial.number}", as_json(trial), steps, reached, tracking or ())
    console, best = Console(), study.best_trial
    console.print(
        f"Best of {len(study.trials)}: trial {best.number}, {settings.goal} {best.value:.4f}", highlight=False
    )
    for name, value in best.params.items():
        console.print(f"  {name} = {value}", highlight=False)
    console.print(f"fl-server launch {folder / 'best-study.toml'}", soft_wrap=True, highlight=False)
    console.print(f"Report: {page}", soft_wrap=True, highlight=False)


COMMANDS: dict[str, Callable[..., None]] = {"tune": tune}
