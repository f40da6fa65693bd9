"""A study becomes an offer to sites and a run that starts when its quorum has approved."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Engine, select

from core.clock import now
from core.cost import Prices, budget_sentence
from core.errors import ConfigError
from core.public_files import public_file
from core.records.budgets import check_comparable, exceeds
from core.records.cost_views import projection_sentences
from core.records.costs import projection
from core.records.db import reading
from core.records.runs import create_run, offer_study
from core.records.tables import Site
from core.study import Study, closing_sentence, privacy_sentence
from fl_server.bundle import write_bundle

ACTOR = "coordinator"


@dataclass(frozen=True)
class Launched:
    """What was launched.

    Attributes:
        run: its name.
        sites: who was asked.
        bundle_sha256: what they approve.
        closes: when a round closes, in one sentence.
        privacy: how patients are protected, and what that costs; in sentences.
        cost: what the run will come to, against the study's budget; in sentences.
    """

    run: str
    sites: tuple[str, ...]
    bundle_sha256: str
    closes: str
    privacy: str
    cost: tuple[str, ...]


def launch(
    records: Engine,
    home: Path,
    study: Study,
    wanted: tuple[str, ...],
    build: Callable[[Path], Path],
    prices: Prices | None = None,
    *,
    over_budget: bool = False,
) -> Launched:
    """Offer a study to sites and enter its run.

    Args:
        records: the coordinator's.
        home: the coordinator's.
        study: every setting.
        wanted: names of the sites to ask; all enrolled ones where empty.
        build: makes a bundle of an app folder and returns its path.
        prices: the coordinator's; None: nothing has one.
        over_budget: launch it also where it will come to more than its budget, at which it stops.
    Raises:
        ConfigError: a site is not enrolled, fewer are asked than the quorum needs, a file that the study names by its
            hash is not here, or its budget cannot be kept or will not do.
        FederationError: another study of this name was offered.
    """
    for named, what in ((study.model.frozen, "frozen weights"), (study.privacy.validation, "public cases")):
        if named:
            public_file(home / "public", named, what)
    sites = _enrolled(records, wanted)
    if len(sites) < study.federation.quorum:
        raise ConfigError(
            f"A quorum of {study.federation.quorum} can never be reached by {len(sites)} enrolled site(s)",
            fix="enrol more sites (`fl-server invite`), or lower federation.quorum in the study",
        )
    cost = _cost(records, study, sites, prices or Prices(), over_budget)
    folder = home / "studies" / study.name
    text = write_bundle(study, folder)
    bundle = build(folder).read_bytes()
    digest = sha256(bundle).hexdigest()
    offer_study(
        records, study=study.name, toml=text, bundle=bundle, bundle_sha256=digest, sites=list(sites), actor=ACTOR
    )
    run = f"{study.name}-{now()[:19].translate(str.maketrans('T', '-', ':-'))}"
    create_run(records, run=run, study=study.name, folder=str(home / "runs" / run), sites=list(sites), actor=ACTOR)
    return Launched(run, sites, digest, closing_sentence(study, len(sites)), privacy_sentence(study), cost)


def _cost(records: Engine, study: Study, sites: tuple[str, ...], prices: Prices, over_budget: bool) -> tuple[str, ...]:
    """Say what a run will come to.

    Raises: ConfigError: see `launch`.
    """
    check_comparable(study.budget, prices)
    projected = projection(records, study, sites, prices)
    told = projection_sentences(projected, study, prices)
    if projected is not None and exceeds(projected.spent, study.budget) and not over_budget:
        raise ConfigError(
            f"The run would go beyond its budget of {budget_sentence(study.budget)}: {' '.join(told)}",
            fix="give the study fewer rounds or a larger budget; or launch it with --over-budget: it stops there",
        )
    return told


def _enrolled(records: Engine, wanted: tuple[str, ...]) -> tuple[str, ...]:
    with reading(records) as session:
        enrolled = sorted(session.scalars(select(Site.name).where(Site.state == "enrolled")))
    strangers = [name for name in wanted if name not in enrolled]
    if strangers:
        raise ConfigError(f"Not enrolled: {', '.join(strangers)}", fix="see `fl-server sites`, and invite them first")
    return tuple(name for name in enrolled if not wanted or name in wanted)
