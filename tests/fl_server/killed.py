"""Kills a run at every moment at which its journal, its state or its records are written, and takes each one up again.

    python -m tests.fl_server.killed FOLDER

Imports once and forks, so that each run is a process of its own and dies by SIGKILL. A site whose answer is in the log
by then refuses to be asked again. Prints as JSON what the undisturbed run came to, and each of the others.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from pathlib import Path
from typing import Any

from flwr.app import Message
from sqlalchemy import Engine

from core.records import audit
from core.records.db import open_database, reading
from core.records.registry import list_versions
from core.records.rounds import rounds_of
from core.records.runs import create_run, move_run, run_of
from fl_server import checkpoints, journal, rounds, server_app, strategies
from fl_server.journal import Journal
from tests.fl_server.factories_answers import a_grid
from tests.fl_server.factories_runs import answer
from tests.killed import in_a_process
from tests.simulations.factories_federation import a_study

SITES = ["site-a", "site-b"]
STUDY = a_study(rounds=1)
ASKED_AGAIN = 3
fsync = os.fsync
# A process is killed before and after each call of these, and before `fsync`, which is the middle of a file.
MOMENTS: tuple[tuple[Any, str], ...] = (
    (journal, "open_round"),
    (journal, "ask_sites"),
    (journal, "write_atomically"),
    (journal, "note_arrival"),
    (strategies, "federated_average"),
    (rounds, "save_state"),
    (checkpoints, "write_atomically"),
    (os, "fsync"),
    (server_app, "close_round"),
    (Journal, "clear"),
    (server_app, "add_version"),
    (server_app, "register_version"),
)


def main(folder: Path) -> None:
    """Run once undisturbed, and once for each moment that it passed."""
    listed = folder / "moments.json"
    in_a_process(lambda: listed.write_text(json.dumps(moments_of(folder / "undisturbed"))))
    killed = []
    for number, moment in enumerate(json.loads(listed.read_text())):
        home = folder / str(number)
        ends = [in_a_process(lambda: moments_of(home, number)), in_a_process(lambda: moments_of(home))]  # noqa: B023
        killed.append({"moment": moment, "ends": ends, **outcome(home)})
    sys.stdout.write(json.dumps({"undisturbed": outcome(folder / "undisturbed"), "killed": killed}))


def moments_of(home: Path, kill_at: int = -1) -> list[str]:
    """Serve the run in this home to its end, or until this process is killed; return the moments that it passed."""
    passed: list[str] = []

    def moment(name: str) -> None:
        if len(passed) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        passed.append(name)

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def watching(*args: Any, **kwargs: Any) -> Any:
            moment(f"before {call.__name__}")
            result = call(*args, **kwargs)
            if call is not fsync:
                moment(f"after {call.__name__}")
            return result

        return watching

    records = records_in(home)
    if run_of(records, "r").state != "finished":
        move_run(records, "r", "starting", actor="service")
    arrived = {(body["site"], body["round"]) for _, body in told(records, "answer.arrived")}

    def asked(site: str, task: Message) -> list[Message]:
        if (site, int(task.metadata.group_id)) in arrived:
            os._exit(ASKED_AGAIN)
        return answer(site, task)

    for place, name in MOMENTS:
        setattr(place, name, watched(getattr(place, name)))
    server_app.run_study(a_grid(asked, tuple(SITES)), STUDY, "r", records, waits=False, has_edge=False)
    return passed


def records_in(home: Path) -> Engine:
    """Return the records of the coordinator in this home, with its run entered."""
    os.environ["FL_HOME"] = str(home)
    records = open_database(f"sqlite:///{home / 'records.db'}")
    create_run(records, run="r", study=STUDY.name, folder=str(home / "run"), sites=SITES, actor="coordinator")
    return records


def outcome(home: Path) -> dict[str, Any]:
    """Return what a run came to, but for names and times of its processes."""
    records = records_in(home)
    audit.verify(records, None, None)
    return {
        "state": run_of(records, "r").state,
        # A number that was given to what was not registered after all is not given again.
        "versions": [name.partition("-")[2] for name in list_versions(home / "registry")],
        "weights": {
            path.name: sha256(path.read_bytes()).hexdigest() for path in (home / "run").glob("round-*.safetensors")
        },
        "rounds": [(one.round, one.counted, one.sites, one.loss) for one in rounds_of(records, "r")],
        "closed": [body for _, body in told(records, "round.closed")],
        "left": sorted(path.name for path in (home / "run" / "objects").iterdir()),
    }


def told(records: Engine, action: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the log's events of this kind."""
    with reading(records) as session:
        return [(event.hash, json.loads(event.body)) for event in audit.events(session, action=action)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
