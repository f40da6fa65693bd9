"""Processes that die by SIGKILL at a line of their choice, so that each moment of a piece of work can be looked at."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Line = tuple[str, int]


@contextmanager
def lines_in(files: Collection[str | None], kill_at: int = -1) -> Iterator[list[Line]]:
    """Yield the lines of these files as they are executed, and kill this process before it executes one of them.

    Args:
        files: of the modules to watch.
        kill_at: how many lines are executed before that; -1: nothing is killed.
    """
    passed: list[Line] = []

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            if len(passed) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            passed.append((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        yield passed
    finally:
        sys.settrace(None)


def in_a_process(work: Callable[[], object]) -> int:
    """Do this in a process of its own and return how that ended."""
    process = os.fork()
    if not process:  # pragma: no cover
        try:
            work()
            os._exit(0)
        finally:  # whatever it was, this process must not go on as if it were the other
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
