"""Everything that a site needs to take part, looked at before a run does: each a line, each problem with its fix."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from core.certificates import not_after
from core.clock import age_s, moment_of, now
from core.errors import AccessError, ConfigError, ConnectionProblem, DataError, FLError, PreparationError
from core.imaging.version import PREPROCESSING_VERSION
from core.site_protocol import ProtocolInfo
from core.study import digest
from fl_client.config import SiteConfig, load_site
from fl_client.coordinator import Coordinator, check_protocol
from fl_client.paths import SiteHome
from fl_client.site_records import SiteRecords

# What Flower's authentication tolerates of a site's clock against the coordinator's, in seconds.
FAST_S, SLOW_S = 5.0, 305.0
LEAST_DISK_BYTES = 2e9
LEAST_MEMORY_BYTES = 2e9
TRANSFER_BYTES = 8 * 2**20
MODEL_BYTES = 33e6
LONGEST_SOCKET = 107


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: of the check.
        ok: whether the site can take part as far as this goes.
        told: what was found, or what is wrong.
        fix: what to do where it is wrong.
        exit_code: of the error's kind, 0 where there is none.
    """

    name: str
    ok: bool
    told: str
    fix: str = ""
    exit_code: int = 0


def check_site(home: SiteHome) -> Iterator[Finding]:
    """Yield one finding after another; what depends on something that is missing is left out."""
    try:
        site = load_site(home)
    except FLError as error:
        yield _problem("settings", error)
        return
    yield tried("settings", partial(_settings, site, home))
    yield tried("records", lambda: f"audit log at {SiteRecords(site.site.name, home.records).head()[:8]}")
    yield tried("certificate", partial(certificate_told, home))
    yield from _network(site, home)
    yield tried("disk", partial(_disk, site, home))
    yield tried("memory", _memory)
    yield tried("data", partial(_data, site))
    yield tried("prepared", partial(prepared_told, site))
    yield tried("device", partial(_device, site))
    yield tried("training", partial(_training, site))


def tried(name: str, check: Callable[[], str]) -> Finding:
    """Run one check: what it returns is told, what it raises is the problem."""
    try:
        return Finding(name, True, check())
    except FLError as error:
        return _problem(name, error)


def certificate_told(home: SiteHome) -> str:
    """Return until when this site's certificate is valid.

    Raises:
        ConfigError: there is none.
        AccessError: it has expired.
    """
    if not home.certificate.exists():
        raise ConfigError("This site is not enrolled", fix="run `fl-client join INVITE`")
    until = not_after(home.certificate.read_text("ascii"))
    days = -age_s(until) / timedelta(days=1).total_seconds()
    if days <= 0:
        raise AccessError(
            f"This site's certificate expired at {until}",
            fix="ask the coordinator for an invitation; then `fl-client leave` and `fl-client join INVITE`",
        )
    renewed = f", renewed by itself from {home.renew_at.read_text('ascii')[:10]}" if home.renew_at.exists() else ""
    return f"valid until {until[:10]}, {days:.0f} days left{renewed}"


def clock_told(coordinators: str, before: str, after: str) -> str:
    """Compare this machine's clock with the coordinator's.

    Args:
        coordinators: what the coordinator's clock said.
        before, after: what this machine's said when it asked and when it was answered; all text of core.clock.
    Raises: ConnectionProblem: Flower would refuse this site's calls.
    """
    asked, answered = moment_of(before), moment_of(after)
    ahead = (asked + (answered - asked) / 2 - moment_of(coordinators)).total_seconds()
    told = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the coordinator's"
    if not -SLOW_S <= ahead <= FAST_S:
        raise ConnectionProblem(
            f"This machine's clock is {told}; Flower bears {FAST_S:g} s ahead and {SLOW_S:g} s behind",
            fix="let it keep time by itself: `timedatectl set-ntp true`, or ask for the hospital's time server",
        )
    return told


def prepared_told(site: SiteConfig) -> str:
    """Count this site's prepared cases.

    Raises: PreparationError: there are none, or they were prepared otherwise than site.toml says.
    """
    index = site.site.prepared / "cohort.json"
    try:
        listing: dict[str, Any] = json.loads(index.read_text("utf-8"))
        settings, release, cases = listing["preprocessing"], listing["version"], listing["cases"]
        usable = [case for case in cases if case["verdict"] == "usable" and case["file"]]
        lost = sum(not (site.site.prepared / case["file"]).exists() for case in usable)
        labels = [case["mgmt"] for case in usable]
    except FileNotFoundError:
        raise PreparationError("This site has no prepared cohort", fix=PREPARE) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PreparationError(f"{index.name} is damaged ({type(error).__name__})", fix=PREPARE) from None
    if settings != digest(site.preprocessing) or release != PREPROCESSING_VERSION:
        raise PreparationError("The cohort was prepared with other settings, or by another release", fix=PREPARE)
    if lost or len(usable) < 2:
        raise PreparationError(
            f"Of {len(cases)} cases {len(usable)} are usable and {lost} of these are gone; two are the least",
            fix=PREPARE,
        )
    return (
        f"{len(usable)} of {len(cases)} cases usable: {labels.count(1)} methylated, {labels.count(0)} unmethylated, "
        f"{labels.count(None)} without a label"
    )


PREPARE = "run `fl-client prepare`"


def _network(site: SiteConfig, home: SiteHome) -> Iterator[Finding]:
    try:
        coordinator = Coordinator(site, home)
    except FLError as error:
        yield _problem("coordinator", error)
        return
    with coordinator:
        before = now()
        try:
            told = coordinator.protocol()
        except FLError as error:
            yield _problem("coordinator", error)
            return
        after = now()
        yield tried("coordinator", partial(_known_as, site, told))
        yield tried("protocol", partial(_protocol, told))
        yield tried("clock", partial(clock_told, told.time, before, after))
        yield tried("transfer", partial(_transfer, coordinator))


def _settings(site: SiteConfig, home: SiteHome) -> str:
    if len(str(home.trainer)) > LONGEST_SOCKET:
        raise ConfigError(f"{home.root} is too long for a socket in it", fix="set FL_HOME to a shorter path")
    return f"{site.site.name}, in {home.root}"


def _known_as(site: SiteConfig, told: ProtocolInfo) -> str:
    if told.site != site.site.name:
        raise ConfigError(
            f"The coordinator knows this certificate as {told.site}, site.toml says {site.site.name}",
            fix=f'write name = "{told.site}" under [site] in site.toml',
        )
    through = " through the proxy" if site.proxy.url else ""
    return f"{site.coordinator.address} answers{through} and knows this site as {told.site}"


def _protocol(told: ProtocolInfo) -> str:
    check_protocol(told)
    return f"version {told.protocol}, the coordinator's release is {told.release}"


def _transfer(coordinator: Coordinator) -> str:
    up = TRANSFER_BYTES / coordinator.send(os.urandom(TRANSFER_BYTES)) / 1e6
    down = TRANSFER_BYTES / coordinator.receive(TRANSFER_BYTES) / 1e6
    seconds = MODEL_BYTES / 1e6 * (1 / up + 1 / down)
    return f"{up:.1f} MB/s up, {down:.1f} MB/s down: a model of 33 MB comes and goes in {seconds:.0f} s"


def _disk(site: SiteConfig, home: SiteHome) -> str:
    free = {folder: shutil.disk_usage(_there(folder)).free for folder in (home.root, site.site.prepared)}
    tightest = min(free, key=lambda folder: free[folder])
    if free[tightest] < LEAST_DISK_BYTES:
        raise DataError(
            f"{tightest} has {free[tightest] / 1e9:.1f} GB left; {LEAST_DISK_BYTES / 1e9:g} GB are the least",
            fix="make room, or name other folders in site.toml and FL_HOME",
        )
    return f"{free[tightest] / 1e9:.0f} GB free"


def _memory() -> str:
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    if available < LEAST_MEMORY_BYTES:
        raise ConfigError(
            f"{available / 1e9:.1f} GB of memory are free; {LEAST_MEMORY_BYTES / 1e9:g} GB are the least",
            fix="end other programs, or use a larger machine",
        )
    return f"{available / 1e9:.0f} GB free"


def _data(site: SiteConfig) -> str:
    data = site.site.data
    if not (data / "train").is_dir():
        raise DataError(f"{data} has no folder train/", fix="put the scans there, or correct site.data in site.toml")
    patients = sum(entry.is_dir() for entry in (data / "train").iterdir())
    labels = "with" if (data / "train_labels.csv").is_file() else "without"
    return f"{patients} patient folders {labels} train_labels.csv"


def _device(site: SiteConfig) -> str:
    from fl_client.trainer import device_name, device_of  # loads PyTorch: late, and not for what failed before

    device = device_of(site.compute)
    threads = site.compute.threads
    return device_name(device) if device.type == "cuda" else f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def _training(site: SiteConfig) -> str:
    from fl_client.trial import trial_step  # as above

    return f"one step of four cases in {trial_step(site):.1f} s"


def _there(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    return folder if folder.exists() else _there(folder.parent)


def _problem(name: str, error: FLError) -> Finding:
    return Finding(name, False, error.problem, error.fix, error.exit_code)
