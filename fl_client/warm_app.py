"""A process that has already imported what Flower's ClientApp process imports, and forks one for every message.

Stock Flower starts a Python interpreter for every message: 1.1 seconds of CPU before the first line of an app runs.
Here the program `flwr-clientapp` that SuperExec finds first on its PATH is a shim (fl_client/warm_shim.py): it passes
its arguments, variables and standard streams over a Unix socket of this account; the server forks, and the child runs
the same console script. Only names of console scripts are used, nothing private of Flower's. Without the server the
shim runs the script itself.

The server loads neither PyTorch nor CUDA, which no fork survives; the trainer has them.
"""

import shlex
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from core.files import private_folder, write_atomically
from fl_client import warm_shim
from fl_client.paths import SiteHome
from fl_client.supernode import environment, program, shims
from fl_client.warm_server import serve

CLIENT_APP = "flwr-clientapp"
# What a study's app imports, and what Flower itself imports only once a task is there.
PRELOADED = ("numpy", "fl_client.client_app")


def socket_of(home: SiteHome) -> Path:
    """Return where the server of a site listens."""
    return home.run / "warm.sock"


def command(home: SiteHome) -> tuple[list[str], dict[str, str]]:
    """Return the server's command line and all of its environment, which is that of the processes it stands in for."""
    return [sys.executable, "-m", "fl_client.warm_app", str(socket_of(home))], environment(home)


def make_shims(home: SiteHome) -> None:
    """Write the program that SuperExec finds first on its PATH."""
    write_shim(private_folder(shims(home)) / CLIENT_APP, socket_of(home), program(CLIENT_APP))


def write_shim(path: Path, server: Path, instead: Path) -> None:
    """Write a program that has a server run what it stands for.

    Args:
        path: of the program.
        server: the server's socket.
        instead: the program that it stands for, which runs where the server does not.
    """
    words = [sys.executable, "-I", "-S", warm_shim.__file__, str(server), str(instead)]
    # By way of a shell: a path in a first line may neither be long nor hold a space.
    write_atomically(path, f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    path.chmod(0o700)


def main() -> None:
    """Serve until killed: `python -m fl_client.warm_app SOCKET`."""
    (entry,) = entry_points(group="console_scripts", name=CLIENT_APP)
    for name in PRELOADED:
        import_module(name)
    serve(Path(sys.argv[1]), entry)


if __name__ == "__main__":
    main()
