"""What Prometheus collects of a federation, from the records that the coordinator's service writes.

Of runs it tells while they go on and for a day after, so that what is collected does not grow with the years.
"""

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from core.clock import after, moment_of
from core.records.rounds import last_opened_at
from core.records.runs import ENDED, MAY_BECOME
from core.records.tables import Certificate, Effort, Round, Run, Site, StudyBundle
from core.study import Study, study_of

_TOLD_S = 86_400


def federation_measures(session: Session) -> Iterator[Metric]:
    """Yield when each enrolled site was heard, when its certificate ends, and how the runs do."""
    yield from _sites(session)
    yield _runs_by_state(session)
    told = or_(Run.state.not_in(ENDED), Run.changed_at > after(-_TOLD_S))
    runs = session.scalars(select(Run).where(told).order_by(Run.id)).all()
    bundles = select(StudyBundle.name, StudyBundle.toml).where(StudyBundle.name.in_({run.study for run in runs}))
    studies = {name: study_of(toml) for name, toml in session.execute(bundles)}
    yield from _rounds(session, runs, studies)
    yield from _efforts(session, runs)


def _sites(session: Session) -> Iterator[Metric]:
    heard = GaugeMetricFamily(
        "gliofed_site_heard_time_seconds", "When an enrolled site was heard last", labels=["site"]
    )
    enrolled = select(Site).where(Site.state == "enrolled").order_by(Site.name)
    for site in session.scalars(enrolled):
        moment = site.seen_at or site.enrolled_at  # one that never began is silent since then
        if moment:
            heard.add_metric([site.name], moment_of(moment).timestamp())
    yield heard
    ends = GaugeMetricFamily(
        "gliofed_site_certificate_end_time_seconds", "When an enrolled site's certificate ends", labels=["site"]
    )
    newest = (
        select(Certificate.site, func.max(Certificate.not_after))
        .join(Site, Site.name == Certificate.site)
        .where(Site.state == "enrolled", Certificate.revoked_at.is_(None))
        .group_by(Certificate.site)
    )
    for name, moment in session.execute(newest):
        ends.add_metric([name], moment_of(moment).timestamp())
    yield ends


def _runs_by_state(session: Session) -> Metric:
    family = GaugeMetricFamily("gliofed_runs", "Runs by state", labels=["state"])
    rows = session.execute(select(Run.state, func.count()).group_by(Run.state))
    counts = {row[0]: row[1] for row in rows}
    for state in MAY_BECOME:
        family.add_metric([state], counts.get(state, 0))
    return family


def _rounds(session: Session, runs: Sequence[Run], studies: dict[str, Study]) -> Iterator[Metric]:
    done = GaugeMetricFamily("gliofed_run_rounds_done", "Rounds of a run that counted", labels=["run"])
    wanted = GaugeMetricFamily("gliofed_run_rounds", "Rounds that a run's study asks for", labels=["run"])
    began = GaugeMetricFamily(
        "gliofed_round_start_time_seconds", "When a running run's current round began", labels=["run"]
    )
    closes = GaugeMetricFamily(
        "gliofed_round_deadline_time_seconds", "When that round waits for no more than its quorum", labels=["run"]
    )
    counted = func.count(func.distinct(case((Round.counted, Round.round))))
    by_run = select(Round.run, counted, func.max(Round.closed_at)).where(Round.run.in_([run.id for run in runs]))
    closed = {name: (count, moment) for name, count, moment in session.execute(by_run.group_by(Round.run))}
    for run in runs:
        if run.study not in studies:  # a simulation's
            continue
        federation = studies[run.study].federation
        count, last_closed = closed.get(run.id, (0, ""))
        # The last aggregate's evaluation comes as one round more.
        done.add_metric([run.id], min(count, federation.rounds))
        wanted.add_metric([run.id], federation.rounds)
        if run.state == "running":
            opened = last_opened_at(session, run.id, since=run.changed_at)
            start = moment_of(max(run.changed_at, last_closed, opened)).timestamp()
            began.add_metric([run.id], start)
            closes.add_metric([run.id], start + federation.deadline_s)
    yield from (done, wanted, began, closes)


def _efforts(session: Session, runs: Sequence[Run]) -> Iterator[Metric]:
    gpu = CounterMetricFamily("gliofed_run_gpu_seconds", "GPU seconds of all sites", labels=["run"])
    moved = CounterMetricFamily("gliofed_run_bytes", "Bytes of all sites over the wire", labels=["run", "direction"])
    sums = (func.sum(Effort.gpu_s), func.sum(Effort.sent_bytes), func.sum(Effort.received_bytes))
    by_run = select(Effort.run, *sums).where(Effort.run.in_([run.id for run in runs])).group_by(Effort.run)
    for name, gpu_s, sent, received in session.execute(by_run.order_by(Effort.run)):
        gpu.add_metric([name], gpu_s)
        moved.add_metric([name, "sent"], float(sent))  # a sum of whole numbers is a Decimal on MariaDB
        moved.add_metric([name, "received"], float(received))
    yield from (gpu, moved)
