"""Runs one of Flower's long-lived programs so that it ends when it works no more and rests less while it is needed.

    python -m fl_client.flower_process flower-supernode SILENCE FLAGS...
    python -m fl_client.flower_process flower-superexec BELL FLAGS...

Nothing private of Flower's is touched: the console script's entry point runs as it is. Three things differ from stock.

Stock SuperNode stays as a process when its loop has ended, so that a supervisor sees nothing to mend. Here the process
ends with the loop; and it ends when the gate, which sees whether SuperNode still works, lays down a file.

Both programs ask at fixed intervals for what could be waiting, and rest in between with the standard library's
`time.sleep`. Here those rests, known by their lengths, are shorter, or end when the gate rings. If a later Flower rests
otherwise, it merely rests as it likes.

Bodies of requests are read in larger pieces, see core/large_messages.py.
"""

import os
import socket
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from threading import Thread
from typing import SupportsIndex

from core.large_messages import receive_large_bodies

# Exit codes: the loop ended by itself; the gate said so.
ENDED, SILENT = 70, 71
WATCH_S = 2.0
# SuperNode's rests after an empty answer (the gate has waited in its place) and while a ClientApp works.
SUPERNODE_RESTS_S = {3: 0.2, 0.5: 0.05}
# SuperExec asks SuperNode for a task so often where nobody rings; at Flower's fastest that would cost 5 % of a core.
UNCALLED_POLL_S = 2.0

Sleep = Callable[[float | SupportsIndex], None]


def main() -> None:
    """Run one of the two programs to its end."""
    name, told, *flags = sys.argv[1:]
    if name == "flower-supernode":
        Path(told).unlink(missing_ok=True)
        Thread(target=_end_when_told, args=(Path(told), time.sleep), daemon=True).start()
        time.sleep = shortened(SUPERNODE_RESTS_S, time.sleep)
    else:
        time.sleep = until_rung(hang_bell(Path(told)), UNCALLED_POLL_S, time.sleep)
    (entry,) = entry_points(group="console_scripts", name=name)
    receive_large_bodies()
    sys.argv = [name, *flags]
    code: int | str | None = ENDED
    try:
        entry.load()()
    except SystemExit as end:
        code = end.code
    finally:
        if sys.exception() is not None:
            sys.excepthook(*sys.exc_info())
        # Flower leaves a thread behind that would keep the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else ENDED)


def shortened(rests: dict[float, float], sleep: Sleep) -> Sleep:
    """Return a sleep that is shorter for the lengths named, and as it was for all others."""
    return lambda seconds: sleep(rests.get(float(seconds), seconds))


def hang_bell(path: Path) -> socket.socket:
    """Return a socket that `ring` reaches, in the place of one that an ended process has left."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    path.chmod(0o600)
    return listener


def until_rung(listener: socket.socket, rest: float, sleep: Sleep) -> Sleep:
    """Return a sleep that ends when the bell rings, for the length named, and is as it was for all others."""
    listener.settimeout(rest)

    def sleep_until_rung(seconds: float | SupportsIndex) -> None:
        if seconds != rest:
            sleep(seconds)
            return
        try:
            listener.recv(1)
        except TimeoutError:
            return

    return sleep_until_rung


def ring(path: Path) -> None:
    """Ring a bell; where nobody listens, or it rings already, that is no failure: whoever is meant looks by itself."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        caller.setblocking(False)
        try:
            caller.sendto(b"1", str(path))
        except OSError:
            return


def _end_when_told(told: Path, sleep: Sleep) -> None:
    while not told.exists():
        sleep(WATCH_S)
    os._exit(SILENT)


if __name__ == "__main__":
    main()
