"""Looking through what somebody sent in a process of its own, which may run out of memory, hang or crash without harm.

The process is forked from a server that has this module loaded already, so that it starts in milliseconds, and from a
program with threads too. It has bounds on memory, processor and wall-clock time, writes no file and answers in JSON.
"""

import json
import os
import resource
import signal
import traceback
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import SimpleITK as sitk
from pydantic import Base64Bytes, TypeAdapter, ValidationError

from core.errors import ConnectionProblem, DataError, DicomError, NotACaseError
from core.imaging.found import Found, FoundSeries, look_through
from core.imaging.thumbnails import thumbnail

# Beyond so many series, those that come later have no picture.
MAX_THUMBNAILS = 200
# Of the answer; a header's text is short and a thumbnail at most some 20 kB.
MAX_BYTES = 64 * 2**20
# For a process that has answered to end.
_LINGER_S = 5.0
_ERRORS = {kind.__name__: kind for kind in (DataError, DicomError, NotACaseError)}
_FIX = "send only the four sequences of one patient, as the scanner or archive exports them"

_forkserver = get_context("forkserver")
# The program's own module first: what it imports is then imported once, and not by each process.
_forkserver.set_forkserver_preload(["__main__", "core.imaging.sandbox"])


@dataclass(frozen=True)
class Limits:
    """What looking through an upload may take.

    Attributes:
        memory_mib: address space beyond what the process begins with.
        cpu_s: processor seconds.
        wall_s: seconds by the clock.
    """

    memory_mib: int = 1536
    cpu_s: int = 60
    wall_s: float = 90


@dataclass(frozen=True)
class Looked:
    """What an upload holds, with pictures.

    Attributes:
        found: where a series' middle slice could not be decoded, its `wrong` and `fix` say so.
        thumbnails: PNG by series key; only of series with nothing wrong.
    """

    found: Found
    thumbnails: dict[str, Base64Bytes]


_looked = TypeAdapter(Looked)
LIMITS = Limits()


def start() -> None:
    """Start the server from which processes are forked, so that the first upload need not wait for it.

    To be called by each process of a program after it was forked, not before.
    """
    ensure_running()


def look_apart(folder: Path, limits: Limits = LIMITS) -> Looked:
    """Look through a folder and draw each series, as `look_through` and `thumbnail` do, in a process of its own.

    Args:
        folder: holds what somebody sent, unpacked.
        limits: of that process.
    Raises:
        NotACaseError, DicomError, DataError: as `look_through`; or the process went beyond a limit, or died.
        ConnectionProblem: no process could be started.
    """
    receiver, sender = _forkserver.Pipe(duplex=False)
    process = _forkserver.Process(target=_look, args=(str(folder), limits, sender), daemon=True)
    with receiver:
        try:
            with sender:
                process.start()
        except (OSError, EOFError) as error:
            raise ConnectionProblem(
                f"No process could be started to read the upload ({type(error).__name__})",
                fix="try again; if it stays so, start the service again and check this machine's memory",
            ) from None
        try:
            answer = receiver.recv_bytes(MAX_BYTES) if receiver.poll(limits.wall_s) else b""
        except (OSError, EOFError):
            answer = b""
    with closing(process):
        process.join(_LINGER_S if answer else 0)
        if process.exitcode is None:
            process.kill()
            process.join()
        return _understood(answer, process, limits)


def _understood(answer: bytes, process: ForkServerProcess, limits: Limits) -> Looked:
    """Return what a process answered, or raise what it raised or died of."""
    try:
        said = json.loads(answer) if answer else {}
        if "looked" in said:
            return _looked.validate_python(said["looked"])
        if "problem" in said:
            raise _ERRORS[said["error"]](said["problem"], fix=said["fix"])
    except (ValueError, ValidationError, LookupError, TypeError):
        pass
    if process.exitcode in (-signal.SIGALRM, -signal.SIGKILL, -signal.SIGXCPU):
        raise DataError(f"Reading the files took longer than {limits.wall_s:g} s, or was stopped", fix=_FIX)
    raise DataError("The files end the program that reads them: they are damaged, or made to do harm", fix=_FIX)


def _look(folder: str, limits: Limits, sender: Connection) -> None:
    """Answer a call of `look_apart`, within its limits."""
    with sender:
        _confine(limits)
        try:
            answer = b'{"looked": ' + _looked.dump_json(_look_through(Path(folder))) + b"}"
        except DataError as error:
            answer = _refusal(type(error).__name__, error.problem, error.fix)
        except MemoryError:
            answer = _refusal("DataError", f"Reading the files takes more than {limits.memory_mib} MiB of memory", _FIX)
        except Exception as error:  # noqa: BLE001 (the edge of this process)
            # Where, but not what: a message may hold a value of the header.
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__}, {Path(last.filename).name} line {last.lineno}"
            answer = _refusal("DataError", f"The files cannot be read: they are damaged ({place})", _FIX)
        sender.send_bytes(answer)


def _refusal(kind: str, problem: str, fix: str) -> bytes:
    return json.dumps({"error": kind, "problem": problem, "fix": fix}).encode()


def _look_through(folder: Path) -> Looked:
    found = look_through(folder)
    series: list[FoundSeries] = []
    thumbnails: dict[str, bytes] = {}
    for one in found.series:
        if not one.wrong and len(thumbnails) < MAX_THUMBNAILS:
            try:
                # This process may be lost: no decoder needs another one.
                thumbnails[one.key] = thumbnail(one, apart=False)
            except DataError as error:
                series.append(replace(one, wrong=error.problem, fix=error.fix, voxels=None))
                continue
        series.append(one)
    return Looked(replace(found, series=tuple(series)), thumbnails)


def _confine(limits: Limits) -> None:
    """Bind this process to its limits, and close what it could write to."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s)
    begun_with = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = begun_with + limits.memory_mib * 2**20
    for what, soft, hard in (
        (resource.RLIMIT_AS, most, most),
        (resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 1),
        (resource.RLIMIT_FSIZE, 0, 0),
        # A dead process would leave the patient's scans in its core file.
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))
    # What libraries print names files and values.
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    # Each thread takes address space of its own.
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
