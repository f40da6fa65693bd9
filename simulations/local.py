"""A whole federation as processes on this machine's loopback: what a coordinator and hospitals would start.

FOLDER/coordinator/   the coordinator's home
FOLDER/<site>/        each hospital's home, with prepared cases of noise
FOLDER/study.toml     what it trains

Every step is a command that a person would type, with nothing in its environment but what that person would have there.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from sqlalchemy import Engine

from core.errors import FederationError, FLError
from core.files import private_folder, write_atomically, write_private
from core.progress import Report, silent
from core.records.db import open_database
from core.records.rounds import rounds_of
from core.records.runs import run_of
from core.study import FederationSettings, ModelSettings, PreprocessingSettings, Study, TrainingSettings
from fl_client.start import free_ports
from simulations.noise import SMALLEST_GRID, write_noise

CASES = 6
WAIT_S = 300.0
POLL_S = 0.2
STEPS = ("init", "start", "join", "launch", "rounds", "approve", "verify", "stop")
# What a person's shell has, and nothing of another role's.
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class LocalFederation:
    """What a federation of processes came to.

    Attributes:
        rounds: number, sites that counted and seconds of each round.
        model_version: approved and signed.
        audit: `intact` where every side's log verifies.
    """

    rounds: list[dict[str, Any]]
    model_version: str
    audit: str

    def as_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Side:
    """One side of the federation.

    Attributes:
        program: `fl_server` or `fl_client`.
        home: its FL_HOME.
        settings: its further variables.
        proxy: URL of a site's only way out, or empty.
        python: what its commands run with.
    """

    program: str
    home: Path
    settings: dict[str, str] = field(default_factory=dict)
    proxy: str = ""
    python: str = sys.executable

    def environment(self) -> dict[str, str]:
        """Return what its commands run with: this process's own FL_ variables are not among them."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return kept | {"FL_HOME": str(self.home)} | self.settings

    def call(self, *arguments: str) -> str:
        """Run a command and return what it printed.

        Raises: FederationError: it failed; the problem holds its own words.
        """
        done = subprocess.run(  # noqa: S603 (our own commands)
            [self.python, "-m", self.program, *arguments],
            env=self.environment(),
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise FederationError(
                f"{self.program} {arguments[0]} failed in {self.home}: {done.stderr.strip()[-500:]}",
                fix="see the logs in that folder",
            )
        return done.stdout

    def start(self) -> "subprocess.Popen[bytes]":
        """Run `start`, which ends with this process if not before."""
        guard = shutil.which("setpriv")
        ends_with_us = [guard, "--pdeathsig", "TERM", "--"] if guard else []
        with (self.home / "start.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 (as above)
                [*ends_with_us, self.python, "-m", self.program, "start"],
                env=self.environment(),
                cwd=self.home.parent,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )


@contextmanager
def started(sides: Sequence[Side]) -> Iterator[None]:
    """Run `start` of sides while the block runs."""
    processes = [side.start() for side in sides]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def tiny_study(sites: int, rounds: int) -> Study:
    """Return a study that trains for moments."""
    return Study(
        name="trial",
        validation_fraction=0.3,
        model=ModelSettings(preset="tiny"),
        preprocessing=PreprocessingSettings(grid=SMALLEST_GRID),
        training=TrainingSettings(epochs_per_round=1),
        federation=FederationSettings(rounds=rounds, quorum=sites, deadline_s=120, grace_s=60),
    )


@dataclass(frozen=True)
class Running:
    """A federation of processes while it runs.

    Attributes:
        coordinator, hospitals: its sides, all started.
        run: the name of the run that was launched and approved everywhere.
        records: the coordinator's.
    """

    coordinator: Side
    hospitals: list[Side]
    run: str
    records: Engine


def hospitals_in(folder: Path, sites: int) -> list[Side]:
    """Return so many hospitals, each with a home of its own in a folder."""
    return [Side("fl_client", folder / f"site-{number}") for number in range(1, sites + 1)]


@contextmanager
def running_federation(
    folder: Path, hospitals: list[Side], study: Study, tell: Callable[[str], None] = lambda step: None
) -> Iterator[Running]:
    """Make a federation, start it, and let it train while the block runs.

    Args:
        folder: empty or missing.
        hospitals: see `hospitals_in`.
        study: what they train.
        tell: told each of `STEPS` that is done, up to `launch`.
    Raises: FLError: a step failed; the logs are in the folder.
    """
    with ThreadPoolExecutor(4) as pool, ExitStack() as open_:
        coordinator = make_coordinator(folder / "coordinator")
        made = pool.map(_make_hospital, hospitals)
        tell("init")
        open_.enter_context(started([coordinator]))
        list(made)
        wait_for(lambda: _answers(coordinator), "the coordinator to answer")
        tell("start")
        list(pool.map(lambda side: join(coordinator, side), hospitals))
        tell("join")
        run = _launch(coordinator, folder, study)
        list(pool.map(lambda side: side.call("approve", study.name, "--yes"), hospitals))
        # Not before: on few cores what starts and what is typed would wait for each other.
        open_.enter_context(started(hospitals))
        tell("launch")
        records = open_database(f"sqlite:///{coordinator.home / 'records.db'}")
        open_.callback(records.dispose)
        yield Running(coordinator, hospitals, run, records)


def run_local_federation(folder: Path, sites: int, study: Study, report: Report = silent) -> LocalFederation:
    """Make, run, approve, check and stop a federation.

    Args:
        folder: empty or missing.
        sites: how many hospitals.
        study: what they train.
        report: told after each step.
    Raises: FLError: a step failed; the logs are in the folder.
    """

    def tell(step: str) -> None:
        report("federation of processes", STEPS.index(step) + 1, len(STEPS))

    with (
        ThreadPoolExecutor(4) as pool,
        running_federation(folder, hospitals_in(folder, sites), study, tell) as federation,
    ):
        version = wait_for(lambda: finished(federation), "the run to finish")
        tell("rounds")
        federation.coordinator.call("approve", version)
        list(pool.map(lambda side: side.call("models", "pull"), federation.hospitals))
        tell("approve")
        list(pool.map(lambda side: side.call("verify"), [federation.coordinator, *federation.hospitals]))
        tell("verify")
        rounds = _rounds(federation.records, federation.run)
    tell("stop")
    return LocalFederation(rounds, version, "intact")


def make_coordinator(home: Path) -> Side:
    """Make a coordinator's home, on free ports."""
    private_folder(home.parent)
    passphrase = home.parent / "passphrase"
    write_private(passphrase, secrets.token_hex(16))
    edge_port, superlink_port = free_ports(2)
    settings = {"FL_PASSPHRASE_FILE": str(passphrase), "FL_COORDINATOR__SUPERLINK_PORT": str(superlink_port)}
    side = Side("fl_server", home, settings)
    side.call("init", f"127.0.0.1:{edge_port}")
    return side


def _make_hospital(side: Side) -> None:
    private_folder(side.home)
    write_noise(side.home / "prepared", side.home.name, CASES)


def _answers(coordinator: Side) -> bool:
    socket_of = coordinator.home / "run" / "site-api.sock"
    return socket_of.exists() and (coordinator.home / "run" / "nginx.pid").exists()


def join(coordinator: Side, side: Side) -> None:
    """Invite a site and let it join."""
    invitation = coordinator.call("invite", side.home.name).strip()
    folders = ("--data", str(side.home), "--prepared", str(side.home / "prepared"))
    side.call("join", invitation, *folders, *(("--proxy", side.proxy) if side.proxy else ()))


def _launch(coordinator: Side, folder: Path, study: Study) -> str:
    write_atomically(folder / "study.toml", tomli_w.dumps(study.model_dump(mode="json")))
    run: str = json.loads(coordinator.call("launch", str(folder / "study.toml"), "--json"))["run"]
    return run


def finished(federation: Running) -> str | None:
    """Return the model version of a federation's run once it has finished.

    Raises: FederationError: it has ended otherwise.
    """
    row = run_of(federation.records, federation.run)
    if row.state in ("paused", "failed", "stopped"):
        raise FederationError(f"The run is {row.state}: {row.cause}", fix="see the logs in the folder")
    return row.version


def _rounds(records: Engine, run: str) -> list[dict[str, Any]]:
    return [
        {"round": one.round, "sites": len(one.sites), "seconds": one.seconds}
        for one in rounds_of(records, run)
        if one.counted
    ]


FoundT = TypeVar("FoundT")


def wait_for(look: Callable[[], FoundT | None], what: str, seconds: float = WAIT_S) -> FoundT:
    """Look until there is something, and return it.

    Raises: FLError: nothing came.
    """
    gives_up = time.monotonic() + seconds
    while time.monotonic() < gives_up:
        if found := look():
            return found
        time.sleep(POLL_S)
    raise FLError(f"Waited {seconds:.0f} seconds in vain for {what}", fix="see the logs in the folder")
