"""Kills a site's ledger at every line that it executes while it sets a round aside, and looks at what it then counts.

    python -m tests.fl_client.killed_ledger FOLDER

Imports once and forks, so that each try is a process of its own and dies by SIGKILL. A try that gets to the training
leaves a mark of its own. Prints as JSON how many tries there were, and for each the rounds that began and were counted.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import fl_client.privacy_ledger
from core.records import audit, chain, db, following
from fl_client.paths import SiteHome
from tests.fl_client.factories_ledger import a_home, a_ledger, a_request, people

FILES = {module.__file__ for module in (fl_client.privacy_ledger, following, audit, chain, db)}


def main(folder: Path) -> None:
    """Try once undisturbed, and once for each line that was executed, the last time that it is."""
    home = a_home(folder / "home")
    a_ledger(home).reserve(a_request(people(a_ledger(home), "a"), run="an earlier one"))
    listed = folder / "lines.json"
    in_a_process(lambda: listed.write_text(json.dumps(set_aside(a_copy(home, folder / "undisturbed")))))
    # By line, how many lines had been executed before it was for the last time.
    lines = {tuple(line): number for number, line in enumerate(json.loads(listed.read_text()))}
    tries = []
    for number in lines.values():
        copy = a_copy(home, folder / str(number))
        ended = in_a_process(lambda: set_aside(copy, kill_at=number))  # noqa: B023
        ledger = a_ledger(copy)
        ledger.read()
        counted = any(one.run == "r" for one in ledger.reservations)
        tries.append({"ended": ended, "began": (copy.root / "began").exists(), "counted": counted})
    sys.stdout.write(json.dumps({"tries": tries}))


def a_copy(home: SiteHome, folder: Path) -> SiteHome:
    """Return a home of its own with the same records and keys."""
    return SiteHome(Path(shutil.copytree(home.root, folder)))


def set_aside(home: SiteHome, kill_at: int = -1) -> list[tuple[str, int]]:
    """Reserve a round and begin to train it; return the lines that were executed."""
    passed: list[tuple[str, int]] = []

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            if len(passed) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            passed.append((frame.f_code.co_filename, frame.f_lineno))
        return trace

    ledger = a_ledger(home)
    request = a_request(people(ledger, "a", "b"))
    sys.settrace(trace)
    ledger.reserve(request)
    (home.root / "began").touch()
    sys.settrace(None)
    return passed


def in_a_process(work: Callable[[], object]) -> int:
    """Do this in a process of its own and return how that ended."""
    process = os.fork()
    if not process:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
