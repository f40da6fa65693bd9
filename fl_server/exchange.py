"""One exchange with the sites of a run: ask, take answers as they come, ask again until the round closes.

A round closes when every site has answered, at the deadline where the quorum has, or as soon as it has in the grace
that follows; a site that is away, fails or sends what may not count is asked again until then, under a new message.

A site outside its own hours is asked when they begin. While fewer than the quorum have answered, time in which a site
waits for its hours counts neither toward the deadline nor the grace: hours that were agreed pause no run. Where the
others are a quorum, the round closes at its deadline without the site, by name and cause.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from flwr.app import Message
from flwr.serverapp import Grid

from core.clock import age_s, moment_of, now
from core.errors import FederationError
from core.hours import waits_sentence
from core.study import FederationSettings
from fl_server.meanings import meaning_of
from fl_server.strategies import FederatedAveraging
from fl_server.uploads import Upload

# How often to look for answers. Each question costs SuperLink and this process some 15 ms of a core; where the edge
# tells of uploads, that is looked up often and SuperLink asked in passing only, for errors that are Flower's own.
POLL_S = 0.2
LOOK_UP_S, IN_PASSING_S = 0.05, 5.0
# A site that tells its status, but of no work for so long, is asked again; too early costs a transfer, no more.
LOST_S = 60.0
# An upload that takes longer is none any more: Flower gives it up after 180 s, and then has an error in its place.
LONGEST_UPLOAD_S = 200.0
# How often to look which sites have come back, and how long to leave one alone that has just failed.
LOOK_S = 2.0
ASK_AGAIN_S = 2.0
LONGEST_REST_S = 60.0
# More answers are not decoded at once, however many have arrived: each is as large as the model.
AT_ONCE = 4
NOT_CONNECTED = "not connected"
NO_ANSWER = "no answer before the round closed"
UNDELIVERED = "the task could not be delivered"
IMPOSTOR = "another node answered in its place"


@dataclass(frozen=True)
class Answers:
    """What came back from the sites that were asked.

    Attributes:
        replies: the last answer with content of each site; whether it may count is the strategy's to say.
        failed: by site, why it gave none.
        seconds: how long the round was open.
    """

    replies: list[Message]
    failed: dict[str, str]
    seconds: float


@dataclass
class _Site:
    """What one site has been asked in this exchange, and what came of it."""

    pending: dict[str, int] = field(default_factory=dict)
    reply: Message | None = None
    counts: bool = False
    cause: str = NOT_CONNECTED
    tries: int = 0
    rests_until: float = 0.0
    asked_at: str = ""
    # What our own disk or database has kept from being written: that it is asked, or what it answered.
    unasked: FederationError | None = None
    unkept: FederationError | None = None
    # When its last upload was over that has been looked into, as the edge saw it.
    looked_into: str = ""
    # Whether it is outside its own hours.
    waits: bool = False


Told = Callable[[tuple[str, ...]], Mapping[str, Upload]]


class _Open:
    """How long a round has been open, and how much of that counts toward its deadline."""

    def __init__(self) -> None:
        self._opened = self._looked = time.monotonic()
        self._held = 0.0

    def look(self, *, is_held: bool) -> tuple[float, float]:
        """Return both in seconds; the time since the last look does not count where it `is_held`."""
        moment = time.monotonic()
        self._held += (moment - self._looked) * is_held
        self._looked = moment
        return moment - self._opened, moment - self._opened - self._held


def exchange(
    grid: Grid,
    strategy: FederatedAveraging,
    tasks: Iterable[Message],
    told: Told | None = None,
    look: Callable[[], None] | None = None,
) -> Answers:
    """Send tasks and collect answers until the round closes.

    Args:
        grid: reaches the sites.
        strategy: has configured the exchange; says whether an answer may count, and makes a site's task anew.
        tasks: the first task of each site that is connected, but for those whose answers the journal holds already.
        told: returns what the edge knows of sites' uploads; None where there is no edge.
        look: called every now and then; what it raises ends the exchange.
    Returns: at most one answer a site. An answer twice, or to an earlier round's task, is left aside.
    Raises: FederationError: the coordinator's disk or database did not take some site's answer until the very end.
    """
    federation = strategy.study.federation
    opened = _Open()
    known = told(strategy.sites) if told else {}
    sites = {
        site: _Site(counts=site in strategy.journal.answers, looked_into=known[site].done if site in known else "")
        for site in strategy.sites
    }
    waiting = _note_hours(sites, known)
    may_begin = [task for task in tasks if not sites[strategy.asked.sites[task.metadata.dst_node_id]].waits]
    _send(grid, strategy, sites, may_begin, 0.0)
    looks_at, asks_at, counted = LOOK_S, 0.0, sum(site.counts for site in sites.values())
    while True:
        elapsed, _ = opened.look(is_held=waiting and counted < federation.quorum)
        if told is None or elapsed >= asks_at:
            asks_at = elapsed + IN_PASSING_S
            ready = _not_uploading(sites, told)
        else:
            ready = _just_uploaded(sites, told)
        _collect(grid, strategy, ready, elapsed)
        elapsed, due = opened.look(is_held=waiting and counted < federation.quorum)
        counted = sum(site.counts for site in sites.values())
        enough = counted >= federation.quorum and due >= federation.deadline_s
        if counted == len(sites) or enough or due >= federation.deadline_s + federation.grace_s:
            break
        if elapsed >= looks_at:
            looks_at = elapsed + LOOK_S
            if look is not None:
                look()
            heard = told(tuple(sites)) if told else {}
            waiting = _note_hours(sites, heard)
            _ask_again(grid, strategy, sites, elapsed, due, heard)
        time.sleep(_rest_s(due, federation, POLL_S if told is None else LOOK_UP_S))
    for site in sites.values():
        hindrance = site.unkept or site.unasked
        if hindrance and strategy.journal.trouble:  # no site is left out of a round because our disk is full
            raise hindrance
    return Answers(
        [site.reply for site in sites.values() if site.reply is not None],
        {name: site.cause for name, site in sites.items() if site.reply is None and not site.counts},
        elapsed,
    )


def _note_hours(sites: dict[str, _Site], heard: Mapping[str, Upload]) -> bool:
    """Note which sites wait for their own hours, with that as their cause, and say whether any does."""
    for name, site in sites.items():
        if not site.counts and name in heard and heard[name].waits:
            site.waits, site.cause = True, waits_sentence(moment_of(heard[name].opens), "the site")
        elif site.waits:
            site.waits, site.cause = False, NO_ANSWER if site.pending else NOT_CONNECTED
    return any(site.waits for site in sites.values())


def _just_uploaded(sites: dict[str, _Site], told: Told) -> list[_Site]:
    """Return the sites whose upload has ended since they were looked into."""
    ready = []
    for name, upload in told(tuple(name for name, site in sites.items() if site.pending)).items():
        if upload.done > sites[name].looked_into:
            sites[name].looked_into = upload.done
            ready.append(sites[name])
    return ready


def _has_lost_its_task(site: _Site, heard: Upload) -> bool:
    """Say whether what a site's node had in its hands is lost: it has begun anew, or gets on with nothing."""
    if heard.is_under_way or heard.waits:
        return False
    if heard.anew > site.asked_at:
        return True
    last = max(site.asked_at, heard.progressed, heard.done)
    waited = moment_of(heard.seen) - moment_of(last) if heard.seen else timedelta()
    return waited.total_seconds() > LOST_S


def _is_half_there(site: _Site, heard: Upload) -> bool:
    """Say whether SuperLink has a part of an answer, for whose other pieces who fetches it would wait."""
    broken_off = heard.was_broken_off and site.asked_at < heard.anew
    return (heard.is_under_way or broken_off) and age_s(heard.began) < LONGEST_UPLOAD_S


def _not_uploading(sites: dict[str, _Site], told: Told | None) -> list[_Site]:
    """Return the sites that have something to answer and are not in the middle of it."""
    uploads = told(tuple(sites)) if told else {}
    return [
        site
        for name, site in sites.items()
        if site.pending and not (name in uploads and _is_half_there(site, uploads[name]))
    ]


def _rest_s(elapsed: float, federation: FederationSettings, rest: float) -> float:
    """Return how long to wait before looking again, but not beyond the moment at which the round may close."""
    closes = federation.deadline_s if elapsed < federation.deadline_s else federation.deadline_s + federation.grace_s
    return min(rest, max(closes - elapsed, POLL_S / 10))


def _send(
    grid: Grid, strategy: FederatedAveraging, sites: dict[str, _Site], tasks: list[Message], elapsed: float
) -> None:
    names = [strategy.asked.sites[task.metadata.dst_node_id] for task in tasks]
    if not tasks:
        return
    try:
        strategy.journal.ask(names)
    except FederationError as error:
        for name in names:
            sites[name].unasked = error
            _rest(sites[name], error.problem, elapsed)
        return
    # Flower leaves out what it could not send: one entry, or all of them.
    ids: list[str | None] = list(grid.push_messages(tasks)) or [None] * len(tasks)
    for sent, task, name in zip(ids, tasks, names, strict=True):
        site = sites[name]
        site.tries += 1
        site.unasked = None
        if sent:
            site.pending[sent], site.asked_at = task.metadata.dst_node_id, now()
            site.cause = NO_ANSWER if site.cause == NOT_CONNECTED else site.cause
        else:
            _rest(site, UNDELIVERED, elapsed)


def _collect(grid: Grid, strategy: FederatedAveraging, sites: list[_Site], elapsed: float) -> None:
    """Take what has arrived from these sites, a few answers at a time."""
    waiting = {sent: site for site in sites for sent in site.pending}
    ids = list(waiting)
    for start in range(0, len(ids), AT_ONCE):
        for reply in grid.pull_messages(ids[start : start + AT_ONCE]):
            site = waiting.get(reply.metadata.reply_to_message_id)
            node = site.pending.pop(reply.metadata.reply_to_message_id, None) if site else None
            if site is None or node is None:
                continue
            if reply.has_error():
                _rest(site, meaning_of(reply.error.code), elapsed)
            elif reply.metadata.src_node_id != node:
                _rest(site, IMPOSTOR, elapsed)
            else:
                _take(strategy, site, reply, elapsed)


def _take(strategy: FederatedAveraging, site: _Site, reply: Message, elapsed: float) -> None:
    try:
        site.counts = strategy.may_count(reply)
    except FederationError as error:
        site.unkept = error
        _rest(site, error.problem, elapsed)
        return
    site.reply, site.unkept = reply, None
    if site.counts:
        site.pending.clear()
    else:
        _rest(site, site.cause, elapsed)


def _rest(site: _Site, cause: str, elapsed: float) -> None:
    site.cause = cause
    site.rests_until = elapsed + min(LONGEST_REST_S, ASK_AGAIN_S * 2 ** max(site.tries - 1, 0))


def _ask_again(
    grid: Grid,
    strategy: FederatedAveraging,
    sites: dict[str, _Site],
    elapsed: float,
    due: float,
    heard: Mapping[str, Upload],
) -> None:
    """Ask every site that has nothing to do, is connected, within its hours and has rested since it last failed."""
    online = {name: node for node, name in strategy.online(grid).items()}
    to_ask = [
        (online[name], name)
        for name, site in sites.items()
        if not site.counts
        and name in online
        and not site.waits
        and elapsed >= site.rests_until
        and (not site.pending or (name in heard and _has_lost_its_task(site, heard[name])))
    ]
    for _, name in to_ask:
        if name in heard and _is_half_there(sites[name], heard[name]):
            sites[name].pending.clear()  # the other half will never come
    _send(grid, strategy, sites, [strategy.task_for(*one, due) for one in to_ask], elapsed)
