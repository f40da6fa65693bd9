"""Processes as others may name them: a number alone is used again after a restart."""

import os
from pathlib import Path


def this_process() -> str:
    """Return a name for this process that no later one will have, for `is_running`."""
    return f"{os.getpid()}:{_started(os.getpid())}"


def is_running(process: str) -> bool:
    """Say whether a process named by `this_process`, on this machine, is still there and not a zombie."""
    number, _, started = process.partition(":")
    return number.isdigit() and bool(started) and _started(int(number)) == started


def _started(number: int) -> str:
    """Return a live process's start in clock ticks since boot, or "" (proc(5), field 22)."""
    try:
        state, *fields = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if state == "Z" else fields[18]
