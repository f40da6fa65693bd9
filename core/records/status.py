"""What a coordinator sees: every site with what it does and what is wrong, every run with its rounds."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, select

from core.clock import age_s, now, span
from core.cost import load_prices
from core.errors import ConfigError
from core.records.cost_views import RunCost, cost_from
from core.records.costs import MAY_GO_ON, Rows, own_projection
from core.records.db import reading
from core.records.runs import runs_in
from core.records.tables import Effort, Offer, Presence, Round, Run, Site, StudyBundle, Version
from core.study import Study, study_of
from core.supervision import states_of

# A site reports every few seconds; one that has been silent for longer is away.
SILENT_S = 60.0
LOST = "this site's audit log, and with it its privacy ledger, has lost events that were seen here: it was restored"


@dataclass(frozen=True)
class SiteView:
    """A site as a row.

    Attributes:
        doing: `away`, `waiting` for its own hours, `idle`, `training`, `evaluating`, `uploading`, or the state that
            keeps it out.
        progress: steps done and in all.
        progress_age_s: seconds since it last got on.
        expected_end: of its work, or of its waiting; text of core.clock, or None.
        sent_bytes, received_bytes, cpu_s, gpu_s: over all runs that are shown.
        cause: what is wrong, in a sentence, or empty.
    """

    site: str
    state: str
    doing: str
    run: str
    round: int
    progress: tuple[int, int]
    progress_age_s: float | None
    expected_end: str | None
    sent_bytes: int
    received_bytes: int
    cpu_s: float
    gpu_s: float
    device: str
    cause: str


@dataclass(frozen=True)
class RunView:
    """A run as a row.

    Attributes:
        answers: each asked site's answer to the study, with its reason.
        complete: whether every site counted in every round so far.
        rounds: one entry a try.
        cost: what it has cost; None where its study was offered to nobody, as in a simulation, or cannot be read.
    """

    run: str
    study: str
    state: str
    cause: str
    version: str | None
    answers: dict[str, str]
    complete: bool
    rounds: tuple[dict[str, Any], ...]
    cost: RunCost | None


@dataclass(frozen=True)
class Status:
    """Everything at one moment."""

    processes: tuple[dict[str, Any], ...]
    sites: tuple[SiteView, ...]
    runs: tuple[RunView, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def status_of(records: Engine, home: Path) -> Status:
    """Read what the records say now."""
    with reading(records) as session:
        sites = list(session.scalars(select(Site).order_by(Site.name)))
        presences = {row.site: row for row in session.scalars(select(Presence))}
        efforts = list(session.scalars(select(Effort)))
        # One question for all runs: `--watch` asks every second, and runs only become more.
        rounds = _by(session.scalars(select(Round).order_by(Round.number_of_try)), lambda one: one.run)
        answers = _by(session.scalars(select(Offer)), lambda one: one.study)
        versions = list(session.scalars(select(Version)))
        studies = _readable(session.scalars(select(StudyBundle)))
    prices = load_prices(home / "server.toml")

    def cost(run: Run) -> RunCost | None:
        if run.study not in studies:
            return None
        own = [effort for effort in efforts if effort.run == run.id]
        rows = Rows(own, rounds[run.id], [one.created_at for one in versions if one.run == run.id])
        projected = own_projection(run, rows, studies[run.study], prices) if run.state in MAY_GO_ON else None
        return cost_from(rows, studies[run.study], prices, projected)

    return Status(
        tuple(asdict(state) for state in states_of(home)),
        tuple(_site_view(site, presences.get(site.name), efforts) for site in sites),
        tuple(run_view(run, rounds[run.id], answers[run.study], cost(run)) for run in runs_in(records)),
    )


def _site_view(site: Site, presence: Presence | None, efforts: list[Effort]) -> SiteView:
    own = [effort for effort in efforts if effort.site == site.name]
    away = site.state == "enrolled" and (site.seen_at is None or age_s(site.seen_at) > SILENT_S)
    cause = LOST if site.log_lost_at else presence.cause if presence else ""
    if away:
        cause = f"not heard of for {span(age_s(site.seen_at))}" if site.seen_at else "enrolled, but never started"
    doing = "away" if away else _doing(presence)
    return SiteView(
        site=site.name,
        state=site.state,
        doing=doing if site.state == "enrolled" else site.state,
        run=presence.run if presence else "",
        round=presence.round if presence else 0,
        progress=(presence.done, presence.total) if presence else (0, 0),
        progress_age_s=age_s(presence.progressed_at) if presence else None,
        expected_end=presence.expected_end if presence else None,
        sent_bytes=sum(effort.sent_bytes for effort in own),
        received_bytes=sum(effort.received_bytes for effort in own),
        cpu_s=sum(effort.cpu_s for effort in own),
        gpu_s=sum(effort.gpu_s for effort in own),
        device=presence.device if presence else "",
        cause=cause,
    )


def _doing(presence: Presence | None) -> str:
    if presence is None:
        return "idle"
    waits = presence.state == "idle" and presence.expected_end is not None and presence.expected_end > now()
    return "waiting" if waits else presence.state


def _readable(bundles: Iterable[StudyBundle]) -> dict[str, Study]:
    """Return the studies that this release can read: one of a later release must not hide everything else."""
    found = {}
    for row in bundles:
        with suppress(ConfigError):
            found[row.name] = study_of(row.toml)
    return found


RowT = TypeVar("RowT")


def _by(rows: Iterable[RowT], key: Callable[[RowT], str]) -> defaultdict[str, list[RowT]]:
    found: defaultdict[str, list[RowT]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def run_view(run: Run, rounds: Iterable[Round], answers: Iterable[Offer], cost: RunCost | None) -> RunView:
    """Return a run as a row, of its rounds, of the answers to its study and of what it has cost."""
    rounds = list(rounds)
    return RunView(
        run=run.id,
        study=run.study,
        state=run.state,
        cause=run.cause,
        version=run.version,
        answers={
            answer.site: f"{answer.state} ({answer.reason})" if answer.reason else answer.state
            for answer in answers
            if answer.site in run.sites
        },
        complete=bool(rounds) and all(set(one.sites) == set(run.sites) for one in rounds if one.counted),
        rounds=tuple(_round_view(one) for one in rounds),
        cost=cost,
    )


def _round_view(one: Round) -> dict[str, Any]:
    return {
        "round": one.round,
        "counted": one.counted,
        "sites": one.sites,
        "left_out": one.left_out,
        "loss": one.loss,
        "auc": one.auc,
        "by_site": one.by_site,
        "closed_at": one.closed_at,
        "seconds": round(one.seconds, 3),
    }
