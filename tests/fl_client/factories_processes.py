"""Processes as a supervisor would start them, which a test never leaves behind."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started(argv: list[str], environment: Mapping[str, str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process in a folder while the block runs; what it prints is in output.log there."""
    with (folder / "output.log").open("ab") as log:
        process = subprocess.Popen(argv, env=dict(environment), stdout=log, stderr=log, cwd=folder)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
