"""`fl-simulate`: what a researcher runs, all on one machine."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from core.config import load_config
from core.errors import ConfigError, FederationError
from core.files import write_atomically
from core.progress import bars
from core.terminal import run as run_command_line
from simulations import cli_cross_validation, cli_experiment, cli_public, cli_tuning
from simulations.cli_tracking import Tracking

if TYPE_CHECKING:
    from simulations.scenario import Outcome

app = typer.Typer(
    help="Federations on one machine: make hospitals, split a cohort into sites, run a scenario and compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def check_installed() -> None:
    """Check that there is what simulations need beyond a site's or coordinator's program.

    Raises: ConfigError: there is not.
    """
    if find_spec("nilearn") is None:
        raise ConfigError(
            "fl-simulate needs more than a hospital's or coordinator's machine has",
            fix="pip install 'gliofed[simulation]', on a machine for research",
        )


for module in (cli_cross_validation, cli_experiment, cli_public, cli_tuning):
    for name, command in module.COMMANDS.items():
        app.command(name)(command)


@app.command()
def hospitals(
    out: Annotated[Path, typer.Argument(help="Folder to write OUT/<site>/ into.")],
    sites: Annotated[int, typer.Option(min=1, max=50, help="How many hospitals, each with its own scanner.")] = 3,
    patients: Annotated[int, typer.Option(min=1, help="Glioma patients at each.")] = 40,
    controls: Annotated[int, typer.Option(min=0, help="Healthy people at each.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 7,
    separability: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Best possible AUC of the planted signal.")
    ] = 0.9,
    coarse: Annotated[
        bool, typer.Option("--coarse", help="128 x 128 pixels, 5 mm slices: fast to make and prepare.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes side by side.")] = 2,
) -> None:
    """Write synthetic hospitals: DICOM in the RSNA-MICCAI layout, labels, tumor masks.

    Real anatomy (MNI152), invented patients. MGMT methylation shows in the tumors as strongly as --separability says.
    Safe to interrupt: the next call goes on.

    Example: fl-simulate hospitals cohort --sites 3 --patients 40 --seed 7
    """
    from simulations.hospitals import site_names, write_cohort

    with bars() as report:
        write_cohort(
            out, site_names(sites), patients, seed,
            separability=separability, coarse=coarse, controls=controls, workers=workers, report=report,
        )  # fmt: skip
    Console().print(f"{sites} hospitals in {out}; best possible AUC {separability:.2f}")


@app.command()
def split(
    source: Annotated[Path, typer.Argument(help="A cohort: SOURCE/train/<patient>/ and SOURCE/train_labels.csv.")],
    out: Annotated[Path, typer.Argument(help="Folder to write OUT/<site>/ into.")],
    sites: Annotated[int, typer.Option(min=1, help="How many sites; a CSV brings its own.")] = 3,
    how: Annotated[str, typer.Option(help="iid, label, quantity, scanner, or a CSV of BraTS21ID,site.")] = "iid",
    alpha: Annotated[float, typer.Option(help="Of the Dirichlet draw for label and quantity: small is uneven.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same split.")] = 7,
) -> None:
    """Deal an existing RSNA-MICCAI folder out to sites; every patient goes to one of them only.

    Files are hard-linked, so nothing is copied and the source stays as it is.

    Example: fl-simulate split rsna cohort --sites 4 --how label --alpha 0.5
    """
    from simulations.splits import split as deal_out

    with bars() as report:
        dealt = deal_out(source, out, sites, how, alpha=alpha, seed=seed, report=report)
    console = Console()
    for site, patients in dealt.sites.items():
        console.print(f"{site}: {len(patients)} patients", highlight=False)
    if dealt.left_out:
        console.print(f"{len(dealt.left_out)} patient(s) are in no site: the CSV does not name them")
    if dealt.absent:
        console.print(f"train_labels.csv names {len(dealt.absent)} patient(s) without scans")


@app.command()
def run(
    scenario: Annotated[Path, typer.Argument(help="A scenario's TOML file.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the scenario's own; by default named after it, here.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="For scenarios over real patients: the folder that `import` wrote.")
    ] = None,
    external: Annotated[
        Path | None, typer.Option(help="Another import: its patients test, instead of those whom the cohort holds out.")
    ] = None,
    tracking: Tracking = None,
) -> None:
    """Run a whole scenario and compare: each hospital alone, pooled training, the federation.

    Makes the hospitals or deals an imported cohort out to them, prepares their scans, runs the federation with the apps
    of a real deployment, registers its best round, predicts patients whom no hospital had, prints one table and writes
    OUT/report.html. FL_SECTION__KEY in the environment overrides, as FL_STUDY__FEDERATION__ROUNDS=5.

    Example: fl-simulate run simulations/scenarios/demo.toml --out demo

    Example: fl-simulate run simulations/scenarios/rsna-iid.toml --cohort rsna
    """
    from simulations.scenario import Scenario, over_folders, run_scenario
    from simulations.scenario_report import write_report
    from simulations.tracking import check_tools, rounds_of, track

    check_tools(tracking or ())
    settings = over_folders(load_config(Scenario, scenario), cohort, external)
    folder = (out or Path(scenario.stem)).absolute()
    with bars() as report:
        outcome = run_scenario(settings, folder, report)
    page = write_report(outcome, folder)
    areas = {f"{row.name}/auc": row.auc for row in outcome.rows if row.auc is not None}
    settled, steps = settings.model_dump(mode="json"), rounds_of(outcome.run.history)
    track(folder / "tracking", outcome.run.version, settled, steps, areas, tracking or ())
    _show(outcome, page)


@app.command()
def federation(
    sites: Annotated[int, typer.Option(min=1, max=20, help="How many hospitals.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds.")] = 2,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to keep the homes and logs in; else they are thrown away.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what it came to into this file.")] = None,
) -> None:
    """Start a whole federation as processes on this machine, over mutual TLS, and see it through to a signed model.

    A coordinator and hospitals with noise for patients, each with a home of its own: init, invite, join, start, launch,
    approve, the rounds, the model's approval, `models pull`, and every side's `verify`. Needs Nginx.

    Example: fl-simulate federation --sites 2 --rounds 2
    """
    from tempfile import TemporaryDirectory

    from simulations.local import run_local_federation, tiny_study

    with TemporaryDirectory(prefix="gliofed-") as scratch, bars() as report:
        home = (folder or Path(scratch) / "federation").absolute()
        found = run_local_federation(home, sites, tiny_study(sites, rounds), report)
    if json_file:
        write_atomically(json_file, json.dumps(found.as_json(), indent=2))
    table = Table("round", "sites", "seconds")
    for one in found.rounds:
        table.add_row(str(one["round"]), str(one["sites"]), f"{one['seconds']:.1f}")
    console = Console()
    console.print(table)
    console.print(f"Model version {found.model_version}, approved and signed. Audit: {found.audit}.", highlight=False)


@app.command()
def drill(
    quick: Annotated[bool, typer.Option("--quick", help="Only what is over within a minute.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to keep the homes and logs in; else they are thrown away.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what it came to into this file.")] = None,
    night: Annotated[
        int, typer.Option("--weather", min=0, help="Instead: so many rounds, each with a fault drawn at random.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="For --weather: the same seed draws the same faults.")] = 7,
) -> None:
    """Make go wrong what can, one fault at a time, in a real federation on this machine, and show what it cost.

    Kills every process before, during and after an upload, sends answers that may not count, starts apps that nobody
    approved. Each round's average is compared with an undisturbed run's. Needs Nginx. Ends with exit code 8 where a
    fault did not come out as it should.

    Example: fl-simulate drill --quick --json drill.json
    """
    import signal
    import sys
    from tempfile import TemporaryDirectory

    from simulations.drill import as_json, run_drill, table_of
    from simulations.drill_weather import growth, run_weather, summary

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was mounted and started goes
    with TemporaryDirectory(prefix="gliofed-") as scratch, bars() as report:
        home = (folder or Path(scratch) / "drill").absolute()
        if night:
            soak = run_weather(home, night, seed, report)
            faults, told, tables = soak.faults, soak.as_json(), [summary(soak.faults), growth(soak.growth)]
        else:
            faults = run_drill(home, quick=quick, report=report)
            told, tables = as_json(faults), [table_of(faults)]
    if json_file:
        write_atomically(json_file, json.dumps(told, indent=2))
    for table in tables:
        Console().print(table)
    for one in faults if night else ():
        if not one.passed:
            Console().print(f"{one.fault}: {one.happened}", style="bold red", highlight=False)
    if not all(one.passed for one in faults):
        raise typer.Exit(FederationError.exit_code)


@app.command("audit-privacy")
def audit_privacy(
    quick: Annotated[bool, typer.Option("--quick", help="Only what is over within a minute.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write what it came to into this file.")] = None,
) -> None:
    """Try to tell from a model who it was trained on, and compare what that gives away with the epsilon claimed.

    Trains a small network with a site's own code for differential privacy and with canaries: without noise, with a weak
    and a strong claim, and with each of three bugs planted. Ends with exit code 8 where a claim is broken, or where a
    bug is not seen.

    Example: fl-simulate audit-privacy --quick --json audit.json
    """
    import torch

    from fl_client.differential_privacy import SecureRandom
    from simulations.privacy_audit import FULL, MEANING, QUICK, as_json, run_audit, table_of

    torch.set_num_threads(1)  # a canary's pass is too small to share out
    with bars() as report:
        findings = run_audit(QUICK if quick else FULL, SecureRandom(), report)
    if json_file:
        write_atomically(json_file, json.dumps(as_json(findings), indent=2))
    console = Console()
    console.print(table_of(findings))
    console.print(MEANING, highlight=False)
    if not all(one.passed for one in findings):
        raise typer.Exit(FederationError.exit_code)


def _show(outcome: "Outcome", page: Path) -> None:
    from simulations.scenario_report import table_of

    console = Console()
    compared = table_of(outcome)
    table = Table(*compared.header, title=f"{len(outcome.labels)} outside patients, MGMT methylation")
    for index, texts in enumerate(compared.rows):
        table.add_row(*texts, style="bold" if index in compared.strong else "")
    console.print(table)
    console.print("   ".join(f"{step} {seconds:.0f} s" for step, seconds in outcome.seconds.items()), highlight=False)
    console.print(
        f"Model version {outcome.run.version} (round {outcome.run.best_round}). Report: {page}", soft_wrap=True
    )


def main() -> None:
    """Run `fl-simulate`."""
    run_command_line(app)
