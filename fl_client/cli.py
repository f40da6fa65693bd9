"""`fl-client`: what a hospital runs; the federation's own commands are in `cli_site` and `cli_studies`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from core.config import load_config
from core.progress import bars
from core.records.home import registry_folder, trusted_key
from core.records.registry import current_version
from core.terminal import run
from fl_client import cli_site, cli_studies
from fl_client.cli_models import models
from fl_client.config import SiteConfig, load_site
from fl_client.paths import this_home

if TYPE_CHECKING:
    from fl_client.prepare import PreparedCohort

app = typer.Typer(
    help=(
        "The hospital's side of GlioFed. To take part: join, prepare, check, start. Scans never leave; what does is a "
        "model's weights and counts, for studies that you have approved. Everything lies under $FL_HOME."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (*cli_site.COMMANDS, *cli_studies.COMMANDS):
    app.command()(command)
app.add_typer(models)


@app.command()
def prepare(
    config: Annotated[
        Path | None, typer.Option("--config", help="The site's settings; else site.toml in $FL_HOME.")
    ] = None,
) -> None:
    """Turn this site's DICOM or NIfTI scans into prepared cases for training.

    Reads DATA/train/<patient>/{T1w,T1wCE,T2w,FLAIR}/ and DATA/train_labels.csv; writes only into the folder that
    site.toml names as `prepared`. Safe to interrupt: what is prepared is kept, and the next call goes on. A patient
    who cannot be used is listed with the reason.

    Example: fl-client prepare
    """
    from fl_client.prepare import prepare_cohort  # loads torch: not for `--help`

    settings = load_config(SiteConfig, config) if config else load_site(this_home())
    with bars() as report:
        cohort = prepare_cohort(settings, report)
    _show(cohort, settings)


@app.command()
def predict(
    case: Annotated[Path, typer.Argument(help="A patient's folder (DICOM or four NIfTI files) or a zip of it.")],
    model: Annotated[
        Path | None, typer.Option("--model", help="A model version's folder; else the current one, approved last.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Estimate tumor and MGMT methylation probabilities for one patient, each with its interval and a decision.

    A research estimate that cannot replace the tissue test: on real cohorts no published model tells methylation from
    MRI much better than chance. Where the interval does not lie on one side of the threshold, or the model was not
    shown to be better than chance, the decision is `undecided`. A scan of poor quality gets the verdict `unreliable`
    and no probabilities. Only a model that the coordinator has approved is used, and only while its signature holds.

    Example: fl-client predict /scans/00042 --json
    """
    from core.predictor import load_predictor, predict_case  # as above

    trusted = trusted_key()
    predictor = load_predictor(model or current_version(registry_folder(), trusted), trusted)
    prediction = predict_case(predictor, case)
    if as_json:
        typer.echo(json.dumps(prediction.as_json()))
        return
    console = Console()
    console.print(f"Model version        {prediction.model_version}")
    console.print(f"Verdict              {prediction.verdict}")
    for name, probability, interval, decision in (
        ("Tumor", prediction.tumor_probability, prediction.tumor_interval, prediction.tumor_decision),
        ("MGMT methylation", prediction.mgmt_probability, prediction.mgmt_interval, prediction.mgmt_decision),
    ):
        told = "no estimate" if probability is None or interval is None else f"{decision}, {probability:.2f}"
        console.print(f"{name:20} {told}{' ({:.2f} to {:.2f})'.format(*interval) if interval else ''}")
    for reason in prediction.reasons:
        console.print(f"- {reason}")
    console.print("A research estimate: it cannot replace the tissue test.")


def _show(cohort: "PreparedCohort", settings: SiteConfig) -> None:
    console = Console()
    usable = len(cohort.entries) - len(cohort.excluded)
    console.print(f"{settings.site.name}: {usable} of {len(cohort.entries)} cases usable, {cohort.made} prepared now.")
    if cohort.excluded:
        table = Table("case", "why it is excluded", title="Excluded")
        for entry in cohort.excluded:
            table.add_row(entry.id, "\n".join(entry.reasons))
        console.print(table)
    if cohort.absent:
        console.print(
            f"train_labels.csv names {len(cohort.absent)} patient(s) without scans: {', '.join(cohort.absent)}"
        )


def main() -> None:
    """Run `fl-client`."""
    run(app)
