"""The drill: what goes wrong in a federation is made to go wrong, one fault at a time, and each must cost no round.

FOLDER/reference/    the same study undisturbed, in one process: the bits that every round must end with
FOLDER/updates/      answers that may not count, in one process, past the real checker
FOLDER/federation/   a federation of processes on loopback
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from core.errors import FederationError
from core.progress import Report, silent
from core.study import FederationSettings, ModelSettings, PreprocessingSettings, Study, TrainingSettings
from simulations.noise import SMALLEST_GRID

SITES = 2
# What leaves for an upload is then more than what leaves for anything else; see simulations/weather.py.
PRESET = "tiny"


@dataclass(frozen=True)
class Fault:
    """One fault of the drill.

    Attributes:
        fault: what was done.
        expected: what should come of it.
        happened: what came of it.
        rounds_lost: tries of a round that did not count.
        passed: whether it came as expected.
    """

    fault: str
    expected: str
    happened: str
    rounds_lost: int
    passed: bool


def drill_study(rounds: int) -> Study:
    """Return the study of a drill, which trains for moments and waits for minutes."""
    return Study(
        name="trial",
        validation_fraction=0.3,
        model=ModelSettings(preset=PRESET),
        preprocessing=PreprocessingSettings(grid=SMALLEST_GRID),
        training=TrainingSettings(epochs_per_round=4),
        federation=FederationSettings(rounds=rounds, quorum=SITES, deadline_s=600, grace_s=60),
    )


def run_drill(folder: Path, *, quick: bool, report: Report = silent) -> list[Fault]:
    """Inject every fault and tell what came of each.

    Args:
        folder: empty or missing.
        quick: only what is over within a minute, and needs no administrator of the machine.
        report: told of each fault.
    Raises: FLError: the drill itself could not be held.
    """
    from simulations.drill_conditions import conditions, props
    from simulations.drill_processes import EVERY_KILL, INTRUDER, QUICK, UNAPPROVED, play
    from simulations.drill_stage import a_stage
    from simulations.drill_updates import FAULTS

    possible, missing = ([], []) if quick else conditions()
    wanted = QUICK if quick else [*EVERY_KILL, *possible, UNAPPROVED, INTRUDER]
    rounds = max(len(FAULTS), len(wanted))
    with (
        in_one_process(folder, rounds, "spoiled"),
        a_stage(folder, drill_study(rounds), None if quick else props) as stage,
    ):
        faults = list(play(stage, wanted, report))
    return [*_read(folder / "updates.json"), *compared(faults, undisturbed(folder)), *missing]


@contextmanager
def in_one_process(folder: Path, rounds: int, what: str) -> Iterator[None]:
    """Make beside the block what needs no federation of processes, and wait for it after the block.

    Args:
        folder: empty or missing.
        rounds: of the undisturbed run.
        what: "undisturbed" for that alone, "spoiled" for the answers that may not count also.
    Raises: FederationError: it failed, or the folder holds something.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FederationError(f"The folder {folder} is not empty", fix="name a new one with --out")
    (folder / "home").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FL_")}
    beside = subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-m", "simulations.drill_updates", str(folder), str(rounds), what],
        env=environment | {"FL_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    is_wanted = False
    try:
        yield
        is_wanted = True
    finally:
        if not is_wanted:
            beside.terminate()
        _, told = beside.communicate()
    if beside.returncode:
        raise FederationError(f"The drill in one process failed: {told.strip()[-500:]}", fix="see its words")


def undisturbed(folder: Path) -> dict[int, str]:
    """Return the SHA-256 of each round's average of the undisturbed run."""
    told = json.loads((folder / "reference.json").read_text("utf-8"))
    return {int(number): aggregate for number, aggregate in told.items()}


@dataclass(frozen=True)
class Held:
    """A fault of the processes, and what its round came to.

    Attributes:
        fault: what came of it but for the bits.
        round: the round that was under way, 0 where none was touched.
        aggregate: SHA-256 of that round's average.
    """

    fault: Fault
    round: int
    aggregate: str


def compared(held: Iterable[Held], reference: dict[int, str]) -> list[Fault]:
    """Compare each round's average with the undisturbed run's."""
    return [one.fault if not one.round else _compared(one, reference.get(one.round, "")) for one in held]


def _compared(held: Held, reference: str) -> Fault:
    same = held.aggregate == reference
    told = f"{held.fault.happened}; weights {held.aggregate[:8]} " + ("as" if same else "NOT as") + " undisturbed"
    return Fault(held.fault.fault, held.fault.expected, told, held.fault.rounds_lost, held.fault.passed and same)


def table_of(faults: Iterable[Fault]) -> Table:
    """Return the drill's one table."""
    table = Table("fault", "expected", "happened", "rounds lost", "")
    for one in faults:
        style = "" if one.passed else "bold red"
        table.add_row(
            one.fault, one.expected, one.happened, str(one.rounds_lost), "ok" if one.passed else "FAILED", style=style
        )
    return table


def as_json(faults: Iterable[Fault]) -> dict[str, Any]:
    """Return what `--json` writes."""
    return {"faults": [asdict(one) for one in faults]}


def _read(path: Path) -> list[Fault]:
    return [Fault(**one) for one in json.loads(path.read_text("utf-8"))["faults"]]
