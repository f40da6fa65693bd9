"""The command that tests a scenario's recipe on every one of its patients in turn."""

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from core.config import load_config
from core.errors import ConfigError
from core.files import write_atomically
from core.progress import bars


class How(StrEnum):
    """What is trained in each fold."""

    FEDERATED = "federated"
    POOLED = "pooled"
    ALONE = "alone"


def cross_validate(
    scenario: Annotated[Path, typer.Argument(help="A scenario's TOML file.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the scenario's own; by default named after it, here.")
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts that the people of all hospitals are dealt out to.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="How often they are dealt out anew.")] = 1,
    how: Annotated[
        How, typer.Option(help="The federation, all patients in one place, or each hospital by itself.")
    ] = How.FEDERATED,
    leave_one_site_out: Annotated[
        bool, typer.Option("--leave-one-site-out", help="Instead of folds: test each hospital by the others' model.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed deals out the same folds.")] = 7,
    cohort: Annotated[
        Path | None, typer.Option(help="For scenarios over real patients: the folder that `import` wrote.")
    ] = None,
) -> None:
    """Train once for each part of a scenario's patients that is held out, and test it on them.

    Nobody is on both sides of a fold, under whatever name, at whatever hospital; whom the scenario itself holds out is
    in no fold. Writes OUT/cross_validation.html and .json. Safe to interrupt: the next call goes on.

    Example: fl-simulate cross-validate simulations/scenarios/demo.toml --out demo --folds 5
    """
    if how is How.ALONE and leave_one_site_out:
        raise ConfigError(
            "A hospital that is left out has no model of its own",
            fix="leave a site out of federated or pooled training",
        )
    from core.report import render
    from fl_client.dataset import load_cohort
    from fl_client.trainer import device_of
    from simulations import cross_validation, cross_validation_report
    from simulations import folds as dealing
    from simulations.scenario import Scenario, over_folders, prepare_sites
    from simulations.scenario_report import warning_of

    settings = over_folders(load_config(Scenario, scenario), cohort)
    folder = (out or Path(scenario.stem)).absolute()
    recipe = cross_validation.RECIPES[how.value]
    with bars() as report:
        configs = prepare_sites(settings, folder, report)
        sites = {
            site: load_cohort(config.site.prepared, settings.study, site).patients for site, config in configs.items()
        }
        parts = dealing.leave_one_site_out(sites) if leave_one_site_out else dealing.folds(sites, folds, repeats, seed)
        results = cross_validation.cross_validate(
            parts, settings.study, folder / "folds", recipe, device_of(settings.compute), report
        )
    part = cross_validation_report.cross_validation_part(recipe.name, results)
    page = folder / "cross_validation.html"
    write_atomically(page, render(f"GlioFed: cross-validation of {settings.study.name}", warning_of(settings), [part]))
    told = cross_validation_report.as_json(recipe.name, results)
    write_atomically(folder / "cross_validation.json", json.dumps(told, indent=1))
    table = Table(*cross_validation_report.HEADER, title=part.title)
    for area in (*cross_validation_report.by_fold(results), cross_validation_report.mean_of_folds(results)[0]):
        table.add_row(*area.texts())
    Console().print(table)
    Console().print(f"Report: {page}", soft_wrap=True, highlight=False)


COMMANDS: dict[str, Callable[..., None]] = {"cross-validate": cross_validate}
