"""A side's processes under one parent: started together, restarted when they end, stopped in reverse order.

run/processes.json   what runs, since when, how often it was restarted and how it ended last
logs/<name>.log      what each process prints; moved to <name>.log.1 when it has grown large
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from core.clock import now
from core.errors import FederationError
from core.files import only_process, private_folder, write_atomically

POLL_S = 0.1
# Rests between restarts; a process that has run this long has started well and begins anew.
RESTS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
SETTLED_S = 60.0
STOP_S = 15.0
# How often to look for logs that are too long, and how long one may be.
TRIM_S = 60.0
LOG_BYTES = 20_000_000


@dataclass(frozen=True)
class Process:
    """One process of a side.

    Attributes:
        name: unique on this side; its log is named after it.
        argv: the command line, which holds no secret.
        environment: all of it.
        secret: written to its standard input, which then ends: neither `ps` nor /proc shows it.
        inherits: open files that it gets, such as the socket that it listens on.
        reloads_by: the signal that makes it read its settings anew, sent when the supervisor gets SIGHUP.
    """

    name: str
    argv: list[str]
    environment: Mapping[str, str]
    secret: str = ""
    inherits: tuple[int, ...] = ()
    reloads_by: signal.Signals | None = None


@dataclass
class _Child:
    """A process as it goes: running, or resting until its next start."""

    process: Process
    running: "subprocess.Popen[bytes] | None" = None
    since: str = ""
    started: float = 0.0
    rests_until: float = 0.0
    quick_ends: int = 0
    restarts: int = 0
    last_exit: int | None = None


@dataclass(frozen=True)
class ProcessState:
    """What `status` tells of a process."""

    name: str
    pid: int | None
    since: str
    restarts: int
    last_exit: int | None


@dataclass
class Supervisor:
    """Keeps processes running until it is told to stop by SIGTERM or SIGINT; SIGHUP is handed on to those that reload.

    Attributes:
        home: the side's home; one supervisor at a time.
        processes: in the order of their start.
    """

    home: Path
    processes: list[Process]
    _stopping: bool = field(default=False, init=False)
    _reloading: bool = field(default=False, init=False)

    def run(self) -> None:
        """Start everything and stay until told to stop.

        Raises: FederationError: another supervisor is at this home.
        """
        run = private_folder(self.home / "run")
        private_folder(self.home / "logs")
        taken = FederationError(f"{self.home} is started already", fix="stop it first, or name another folder")
        with only_process(run / "supervisor.lock", taken):
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._stop)
            signal.signal(signal.SIGHUP, self._reload)
            self._supervise()

    def _supervise(self) -> None:
        children = [_Child(process) for process in self.processes]
        trims_at = 0.0
        try:
            while not self._stopping:
                if self._reloading:
                    self._reloading = False
                    _reload(children)
                if self._tend(children):
                    self._note(children)
                if time.monotonic() >= trims_at:
                    trim_logs(self.home / "logs")
                    trims_at = time.monotonic() + TRIM_S
                time.sleep(POLL_S)
        finally:
            for child in reversed(children):
                _end(child)
            self._note(children)

    def _tend(self, children: list[_Child]) -> bool:
        """Note what has ended, start what has rested, and say whether anything changed."""
        changed = False
        for child in children:
            if child.running is not None and child.running.poll() is not None:
                _note_end(child, child.running)
                changed = True
            if child.running is None and time.monotonic() >= child.rests_until and not self._stopping:
                self._start(child)
                changed = True
        return changed

    def _start(self, child: _Child) -> None:
        process = child.process
        # The child ends with its parent, also when that is killed: nobody would restart or stop it.
        guard = shutil.which("setpriv")
        argv = [guard, "--pdeathsig", "TERM", "--", *process.argv] if guard else process.argv
        with (self.home / "logs" / f"{process.name}.log").open("ab") as log:
            child.running = subprocess.Popen(  # noqa: S603 (our own command lines)
                argv,
                env=dict(process.environment),
                stdin=subprocess.PIPE if process.secret else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=process.inherits,
                cwd=self.home,
                start_new_session=True,
            )
        if process.secret and child.running.stdin:
            child.running.stdin.write(process.secret.encode())
            child.running.stdin.close()
        child.started, child.since = time.monotonic(), now()

    def _note(self, children: list[_Child]) -> None:
        states = [
            ProcessState(
                child.process.name,
                child.running.pid if child.running else None,
                child.since,
                child.restarts,
                child.last_exit,
            )
            for child in children
        ]
        with suppress(OSError):  # the disk is full: what runs goes on, and what was noted is older
            write_atomically(self.home / "run" / "processes.json", json.dumps([asdict(state) for state in states]))

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reloading = True


def states_of(home: Path) -> list[ProcessState]:
    """Return the processes of a home as its supervisor noted them, or none where it is not running."""
    noted = home / "run" / "processes.json"
    if not noted.exists() or not _is_locked(home / "run" / "supervisor.lock"):
        return []  # nobody is there, so what was noted is of the past
    return [ProcessState(**state) for state in json.loads(noted.read_bytes())]


def _is_locked(path: Path) -> bool:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _reload(children: list[_Child]) -> None:
    for child in children:
        if child.running is not None and child.process.reloads_by is not None:
            child.running.send_signal(child.process.reloads_by)


def _note_end(child: _Child, ended: "subprocess.Popen[bytes]") -> None:
    _end_group(ended)
    lasted = time.monotonic() - child.started
    child.last_exit, child.running = ended.returncode, None
    child.restarts += 1
    child.quick_ends = 1 if lasted >= SETTLED_S else child.quick_ends + 1
    child.rests_until = time.monotonic() + RESTS_S[min(child.quick_ends, len(RESTS_S)) - 1]


def _end(child: _Child) -> None:
    if child.running is None:
        return
    child.running.terminate()
    try:
        child.running.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.running.kill()
        child.running.wait()
    _end_group(child.running)
    child.last_exit, child.running = child.running.returncode, None


def _end_group(ended: "subprocess.Popen[bytes]") -> None:
    """End what a process has left behind: a killed Nginx's workers would hold its port and serve on."""
    with suppress(ProcessLookupError):
        os.killpg(ended.pid, signal.SIGKILL)


def end_process(home: Path, name: str) -> None:
    """End one of a home's processes, which its supervisor then starts anew; where none runs, nothing happens."""
    for state in states_of(home):
        if state.name == name and state.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(state.pid, signal.SIGTERM)


def trim_logs(folder: Path) -> None:
    """Move what a long log holds to NAME.log.1, in the place of what was there before.

    Whoever writes it has it open for appending, and so goes on at the start of the emptied file. Where there is no room
    for a copy, it stays as it is.
    """
    for path in folder.glob("*.log"):
        with suppress(OSError):
            if path.stat().st_size > LOG_BYTES:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)
