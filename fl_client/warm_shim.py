"""Stands in for a program that Flower starts for every message: has the warm server run it, and waits in its place.

Run by path with `python -I -S`, so that it starts in a few milliseconds; it imports nothing of ours. Where the server
is not there, it becomes the program itself. See fl_client/warm_app.py for the other end.

    python -I -S warm_shim.py SOCKET PROGRAM ARGUMENTS...
"""

import os
import signal
import socket
import sys
from array import array

STARTED = b"S"
# The server forks within milliseconds; whoever gives up closes the connection, and what was started is ended.
PATIENCE_S = 30.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
_WAIT = "--wait"


def main() -> None:
    """Hand the program over, then wait for it in a process image whose command line does not show its arguments."""
    if sys.argv[1] == _WAIT:
        _wait(int(sys.argv[2]))
    path, program, *arguments = sys.argv[1:]
    # What comes until the waiting begins is kept, not lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    connection = _handed_over(path, [os.path.basename(program), *arguments])  # noqa: PTH119 (pathlib takes 10 ms)
    if connection is None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        os.execv(program, [program, *arguments])  # noqa: S606 (the program itself)
    connection.set_inheritable(True)
    here = os.path.abspath(__file__)  # noqa: PTH100 (as above)
    os.execv(sys.executable, [sys.executable, "-I", "-S", here, _WAIT, str(connection.detach())])  # noqa: S606


def _handed_over(path: str, arguments: list[str]) -> socket.socket | None:
    """Return the connection to a server that runs the program now, or None."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    variables = [f"{name}={value}" for name, value in os.environ.items()]
    parts = [str(len(arguments)), os.getcwd(), *arguments, *variables]  # noqa: PTH109 (as above)
    request = b"\0".join(os.fsencode(part) for part in parts)
    connection.settimeout(PATIENCE_S)
    try:
        connection.connect(path)
        descriptors = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [0, 1, 2]))]
        connection.sendmsg([len(request).to_bytes(4, "big")], descriptors)
        connection.sendall(request)
        started = connection.recv(1)
    except OSError:
        return None
    connection.settimeout(None)
    return connection if started == STARTED else None


def _wait(descriptor: int) -> None:
    """Pass signals on and end as the program does."""
    connection = socket.socket(fileno=descriptor)
    for number in _SIGNALS:
        signal.signal(number, lambda number, _frame: connection.send(bytes([number])))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    told = connection.recv(4)
    if len(told) < 4:
        os._exit(1)  # the server has ended, and its children with it
    code = int.from_bytes(told, "big", signed=True)
    if code < 0:
        if -code in _SIGNALS:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code % 256)


if __name__ == "__main__":
    main()
