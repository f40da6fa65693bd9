"""`fl-client models`: the shared models at this hospital."""

import typer

from core.progress import bars
from core.records.registry import approved_versions
from core.signing import load_public
from fl_client.config import load_site
from fl_client.paths import this_home

models = typer.Typer(name="models", help="The approved models: bring them here, list them.", no_args_is_help=True)


@models.command()
def pull() -> None:
    """Bring every approved model version that is not here yet, and withdraw those that the coordinator has retired.

    Each is kept only if its hash and the coordinator's signature hold; `fl-client predict` then uses the
    current one: that which was approved last.

    Example: fl-client models pull
    """
    from fl_client.coordinator import Coordinator  # loads httpx: not for `--help`
    from fl_client.models import pull_models
    from fl_client.site_records import SiteRecords

    home = this_home()
    site = load_site(home)
    with Coordinator(site, home) as coordinator, bars() as report:
        new = pull_models(coordinator, SiteRecords(site.site.name, home.records), home, report)
    typer.echo(f"New here: {', '.join(new)}" if new else "Every approved version is here already.")


@models.command("list")
def list_() -> None:
    """List the approved model versions that are here, oldest first.

    Example: fl-client models list
    """
    home = this_home()
    for name in approved_versions(home.registry, load_public(home.coordinator_key)):
        typer.echo(name)
