"""Real processes: the server, shims that Flower would start, and the children that the server forks."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.files import private_folder
from fl_client import warm_app
from fl_client.paths import SiteHome
from fl_client.supernode import environment, program
from fl_client.warm_server import Request, received
from tests.fl_client.factories_processes import started

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "f" * 256
SERVER = (
    "import sys; from importlib.metadata import EntryPoint; from pathlib import Path; "
    "from fl_client.warm_server import serve; "
    "serve(Path(sys.argv[1]), EntryPoint('probe', 'tests.fl_client.probe_program:main', 'console_scripts'))"
)


@dataclass
class Warm:
    """A server of the probe program and the shim that stands in for it."""

    folder: Path
    socket: Path
    shim: Path
    server: "subprocess.Popen[bytes]"

    def run(self, *arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([self.shim, *arguments], capture_output=True, text=True, timeout=60, **options)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen([self.shim, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Warm]:
    folder = private_folder(tmp_path / "run with a space")
    instead = folder / "probe"
    instead.write_text('#!/bin/sh\necho instead "$@"\nexit 5\n')
    instead.chmod(0o700)
    path, shim = folder / "warm.sock", folder / "shim"
    warm_app.write_shim(shim, path, instead)
    with started([sys.executable, "-c", SERVER, str(path)], {"PYTHONPATH": str(ROOT)}, folder) as server:
        await_socket(path, server)
        yield Warm(folder, path, shim, server)


def await_socket(path: Path, server: "subprocess.Popen[bytes]") -> None:
    while server.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
    raise AssertionError("the server did not start")


def await_end(pid: int) -> None:
    """Wait for the end of a process that is nobody's child here."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 60)[0], "the process lives on"
    finally:
        os.close(descriptor)


def test_a_child_is_started_as_the_program_itself_would_be(warm: Warm) -> None:
    done = warm.run("show", "a b", "", "ü", input="from stdin", cwd="/", env={"PROBE": "one\ntwo=3"})
    assert done.stdout == "probe ['a b', '', 'ü'] / one\ntwo=3 from stdin"
    assert done.stderr == "aside"
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["exit", "3"], 3, ""),
        (["exit", "-1"], 255, ""),
        (["return", "4"], 4, ""),
        (["words"], 1, "it cannot go on\n"),
        (["die"], -signal.SIGKILL, ""),
    ],
)
def test_a_shim_ends_as_its_child_does(warm: Warm, arguments: list[str], code: int, told: str) -> None:
    done = warm.run(*arguments)
    assert (done.returncode, done.stderr) == (code, told)


def test_a_bug_in_a_child_is_shown_and_the_server_goes_on(warm: Warm) -> None:
    done = warm.run("raise")
    assert done.returncode == 1
    assert "ValueError: a bug" in done.stderr
    assert warm.run("exit", "0").returncode == 0


def test_a_signal_to_the_shim_reaches_the_child(warm: Warm) -> None:
    with warm.start("wait") as shim:
        assert shim.stdout
        shim.stdout.readline()
        shim.send_signal(signal.SIGTERM)
        assert shim.wait(60) == 7


def test_a_child_ends_with_its_shim(warm: Warm) -> None:
    with warm.start("wait") as shim:
        assert shim.stdout
        child = int(shim.stdout.readline())
        shim.kill()
        shim.wait()
        await_end(child)
    assert warm.run("exit", "6").returncode == 6


def test_children_run_side_by_side(warm: Warm) -> None:
    with warm.start("wait") as first, warm.start("wait") as second:
        assert first.stdout
        assert second.stdout
        assert first.stdout.readline() != second.stdout.readline()
        assert warm.run("exit", "2").returncode == 2
        for shim in (first, second):
            shim.terminate()
            assert shim.wait(60) == 7


def test_without_the_server_the_program_itself_runs(warm: Warm) -> None:
    warm.server.kill()
    warm.server.wait()
    done = warm.run("show", "a b")
    assert (done.stdout, done.returncode) == ("instead show a b\n", 5)
    warm.socket.unlink()
    assert warm.run("exit", "0").returncode == 5


def test_a_server_that_is_killed_takes_its_children_along(warm: Warm) -> None:
    with warm.start("wait") as shim:
        assert shim.stdout
        child = int(shim.stdout.readline())
        warm.server.kill()
        await_end(child)
        assert shim.wait(60) == 1


def test_a_waiting_shim_does_not_show_the_token(warm: Warm) -> None:
    with warm.start("wait", "--token", TOKEN) as shim:
        assert shim.stdout
        child = int(shim.stdout.readline())
        line = Path(f"/proc/{shim.pid}/cmdline")
        while b"--wait" not in line.read_bytes():
            assert shim.poll() is None
        shown = line.read_bytes() + Path(f"/proc/{child}/cmdline").read_bytes()
        assert TOKEN.encode() not in shown
        shim.terminate()


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\5abc", b"\0\0\0\3a\0b", b"\xff\xff\xff\xff"])
def test_what_is_no_request_leaves_the_server_as_it_was(warm: Warm, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(warm.socket))
        stranger.sendall(sent)
    assert warm.run("exit", "0").returncode == 0


def test_no_other_program_is_run(warm: Warm) -> None:
    other = warm.folder / "other"
    other.write_text("#!/bin/sh\nexit 9\n")
    other.chmod(0o700)
    warm_app.write_shim(warm.shim, warm.socket, other)
    assert warm.run().returncode == 9  # by itself: the server would not


def test_another_account_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> Request | None:
        here, there = socket.socketpair()
        with here, there:
            request = b"\0".join([b"2", b"/", b"probe", b"a", b"PROBE=1"])
            socket.send_fds(there, [len(request).to_bytes(4, "big")], [0, 1, 2])
            there.sendall(request)
            return received(here, "probe")

    request = asked()
    assert request is not None
    assert (request.arguments, request.folder, request.variables) == (["probe", "a"], "/", {"PROBE": "1"})
    for stream in request.streams:
        os.close(stream)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert asked() is None


@pytest.fixture
def home(tmp_path: Path) -> Iterator[SiteHome]:
    """A site's home at which the server of Flower's own program runs."""
    home = SiteHome(tmp_path)
    private_folder(home.run)
    warm_app.make_shims(home)
    with started(*warm_app.command(home), tmp_path) as server:
        await_socket(warm_app.socket_of(home), server)
        (home.run / "server.pid").write_text(str(server.pid))
        yield home


@pytest.mark.parametrize("arguments", [["--help"], [], ["--no-such-flag"], ["--token", " "]])
def test_flowers_program_answers_the_same_by_way_of_the_server(home: SiteHome, arguments: list[str]) -> None:
    def run(first: Path) -> tuple[int, str, str]:
        variables = environment(home)
        done = subprocess.run([first, *arguments], capture_output=True, text=True, env=variables, cwd=home.root)
        return done.returncode, done.stdout, done.stderr

    assert run(home.run / "shims" / "flwr-clientapp") == run(program("flwr-clientapp"))


def test_the_server_can_fork_safely_and_is_light(home: SiteHome) -> None:
    """A fork copies one thread: any other would leave its locks taken."""
    server = Path("/proc") / (home.run / "server.pid").read_text()
    assert len(list((server / "task").iterdir())) == 1
    assert "torch" not in (server / "maps").read_text()
