"""A night of weather: faults drawn at random from a seed, and what the processes have grown to meanwhile."""

import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from core.progress import Report, silent
from simulations.drill import SITES, Fault, compared, drill_study, in_one_process, undisturbed
from simulations.drill_conditions import CUT
from simulations.drill_processes import EVERY_KILL, Scene, play
from simulations.drill_stage import Stage, a_stage, processes_of
from simulations.local import Side

# How often a long soak looks.
LOOKS = 10


@dataclass(frozen=True)
class Size:
    """How large a side is at one moment.

    Attributes:
        round: which round was under way.
        side: whose.
        memory_mb: of its processes, what they share counted in parts (PSS).
        open_files: of its processes.
        disk_mb: of its home.
    """

    round: int
    side: str
    memory_mb: float
    open_files: int
    disk_mb: float


@dataclass(frozen=True)
class Soak:
    """What a night of weather came to.

    Attributes:
        faults: one a round.
        growth: looked at from the first round to the last.
    """

    faults: list[Fault]
    growth: list[Size]

    def as_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def run_weather(folder: Path, faults: int, seed: int, report: Report = silent) -> Soak:
    """Let faults befall a federation of processes at random, one a round, each over before the next.

    Args:
        folder: empty or missing.
        faults: how many, and so how many rounds.
        seed: the same draws the same faults.
        report: told of each.
    Raises: FLError: the drill itself could not be held.
    """
    held, growth = [], []
    every = max(1, (faults - 1) // LOOKS)
    with (
        in_one_process(folder, faults, "undisturbed"),
        a_stage(folder, drill_study(faults)) as stage,
    ):
        for number, one in enumerate(play(stage, drawn(faults, seed), report), start=1):
            held.append(one)
            if number % every == 1 % every or number == faults:
                growth += sizes(stage, number)
    return Soak(compared(held, undisturbed(folder)), growth)


def drawn(faults: int, seed: int) -> list[Scene]:
    """Return so many scenes and whom each befalls, drawn with repetition; the same seed draws the same."""
    draw = random.Random(seed)
    return [replace(draw.choice([*EVERY_KILL, CUT]), befalls=draw.randrange(SITES)) for _ in range(faults)]


def sizes(stage: Stage, number: int) -> list[Size]:
    """Measure every side."""
    return [_size(side, number) for side in (stage.federation.coordinator, *stage.federation.hospitals)]


def summary(faults: Iterable[Fault]) -> Table:
    """Return what came of each kind of fault, and of all."""
    kinds: dict[str, list[Fault]] = {}
    for one in sorted(faults, key=lambda one: one.fault):
        kinds.setdefault(one.fault, []).append(one)
    kinds["in all"] = [one for ones in kinds.values() for one in ones]
    table = Table("fault", "times", "as expected", "rounds lost")
    for name, ones in kinds.items():
        table.add_row(name, str(len(ones)), str(sum(one.passed for one in ones)), str(sum(o.rounds_lost for o in ones)))
    return table


def growth(measured: Iterable[Size]) -> Table:
    """Return sizes as a table."""
    table = Table("round", "side", "memory, MB", "open files", "disk, MB")
    for one in measured:
        table.add_row(str(one.round), one.side, f"{one.memory_mb:.0f}", str(one.open_files), f"{one.disk_mb:.1f}")
    return table


def _size(side: Side, number: int) -> Size:
    pids = processes_of(side)
    disk = sum(map(_bytes, side.home.rglob("*")))
    return Size(number, side.home.name, sum(map(_memory_mb, pids)), sum(map(_open_files, pids)), disk / 1e6)


def _memory_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3


def _open_files(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except OSError:  # a database's journal comes and goes
        return 0
