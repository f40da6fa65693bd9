"""Say by the exit code whether anything of a host can be reached, a refusal included: reaches.py HOST."""

import contextlib
import socket
import sys

UNUSED_PORT = 9

if __name__ == "__main__":
    try:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((sys.argv[1], UNUSED_PORT), timeout=3).close()
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
