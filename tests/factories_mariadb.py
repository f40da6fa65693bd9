"""A real MariaDB server for the tests: its own data, no network but loopback, stopped by its process."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sqlalchemy import Engine, create_engine, text

from tests.factories_ports import free_port

# Durability is not what most tests are about, and a crash of the machine ends the test anyway.
FAST = ("--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M")
ACCOUNT = pwd.getpwuid(os.getuid()).pw_name


@dataclass
class MariaDB:
    """A running server.

    Attributes:
        folder: of its socket and log.
        port: on 127.0.0.1.
        root: connects as the account that may do everything, over the socket.
        argv: its command line.
        process: the server's own.
    """

    folder: Path
    port: int
    root: Engine
    argv: list[str]
    process: subprocess.Popen[bytes]
    numbers: Iterator[int]

    def fresh(self) -> str:
        """Make an empty database, and an account of the same name that may use it alone, and return its address."""
        name = f"gliofed_{next(self.numbers)}"
        with self.root.begin() as connection:
            connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET latin1"))
            connection.execute(text(f"CREATE USER {name}@localhost IDENTIFIED BY 'a-secret'"))
            connection.execute(text(f"GRANT ALL ON {name}.* TO {name}@localhost"))
        return f"mysql+pymysql://{name}:a-secret@localhost/{name}?unix_socket={self.folder / 'socket'}"

    def crash(self) -> None:
        """Kill the server, start it again over the same data, and return when it answers."""
        self.process.kill()
        self.process.wait()
        (self.folder / "socket").unlink(missing_ok=True)
        self.process = _started(self.argv)
        self.root.dispose()
        _wait_until_it_answers(self.folder, self.process)


@contextmanager
def mariadb(*options: str, settings: Path | None = None) -> Iterator[MariaDB]:
    """Run a server while the block runs.

    Args:
        options: more of mariadbd's, as `--name=value`.
        settings: the one file of settings that it reads; else none.
    """
    with tempfile.TemporaryDirectory(prefix="mariadb-") as name:  # not pytest's: a socket's path is at most 107 bytes
        folder, port = Path(name), free_port()
        first = f"--defaults-file={settings}" if settings else "--no-defaults"
        shared = [first, f"--datadir={folder / 'data'}", f"--user={ACCOUNT}", "--innodb-log-file-size=8M"]
        shared.append(
            f"--tmpdir={folder}"
        )  # a server that starts deletes the temporary tables of others in a shared one
        _run("mariadb-install-db", *shared, "--auth-root-authentication-method=normal", "--skip-test-db")
        argv = [
            _program("mariadbd"),
            *shared,
            f"--socket={folder / 'socket'}",
            f"--log-error={folder / 'log'}",
            f"--pid-file={folder / 'pid'}",
            f"--port={port}",
            "--innodb-flush-method=nosync",
            *(["--debug-no-sync"] if settings else FAST),
            *options,
        ]
        root = create_engine(f"mysql+pymysql://root@localhost/mysql?unix_socket={folder / 'socket'}")
        server = MariaDB(folder, port, root, argv, _started(argv), count())
        try:
            _wait_until_it_answers(folder, server.process)
            yield server
        finally:
            root.dispose()
            server.process.terminate()
            server.process.wait(60)


def _started(argv: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_until_it_answers(folder: Path, process: subprocess.Popen[bytes]) -> None:
    while True:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:  # PyMySQL leaves a refused socket open
            probe.connect(str(folder / "socket"))
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            raise AssertionError((folder / "log").read_text("utf-8", "replace"))


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run([_program(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    assert found, f"{name} is missing: run tests/services.sh"
    return found
