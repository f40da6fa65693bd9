"""Kills a site's ledger at every line that it executes while it sets a round aside, and looks at what it then counts.

    python -m tests.fl_client.killed_ledger FOLDER

Imports once and forks, so that each try is a process of its own and dies by SIGKILL. A try that gets to the training
leaves a mark of its own. Prints as JSON how many tries there were, and for each the rounds that began and were counted.
"""

import json
import shutil
import sys
from pathlib import Path

import fl_client.privacy_ledger
from core.records import audit, chain, db, following
from fl_client.paths import SiteHome
from tests.fl_client.factories_ledger import a_home, a_ledger, a_request, people
from tests.killed import Line, in_a_process, lines_in

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


def set_aside(home: SiteHome, kill_at: int = -1) -> list[Line]:
    """Reserve a round and begin to train it; return the lines that were executed."""
    ledger = a_ledger(home)
    request = a_request(people(ledger, "a", "b"))
    with lines_in(FILES, kill_at) as passed:
        ledger.reserve(request)
        (home.root / "began").touch()
    return passed


if __name__ == "__main__":
    main(Path(sys.argv[1]))
