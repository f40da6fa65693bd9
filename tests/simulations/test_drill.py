"""The quick drill itself, with real processes, and that it would see what went wrong."""

import json
import socket
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from core.errors import FederationError
from simulations.cli import app
from simulations.drill import Fault, Held, compared
from simulations.weather import UPLOAD_BYTES, Weather, weather


def test_the_quick_drill_loses_no_round_and_ends_with_the_undisturbed_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FL_HOME", raising=False)
    outcome = CliRunner().invoke(app, ["drill", "--quick", "--json", str(tmp_path / "drill.json")])
    assert outcome.exit_code == 0, outcome.output
    faults = json.loads((tmp_path / "drill.json").read_text())["faults"]
    assert len(faults) == 11
    assert all(set(one) == {"fault", "expected", "happened", "rounds_lost", "passed"} for one in faults)
    assert all(one["passed"] and one["rounds_lost"] == 0 for one in faults)
    named = " | ".join(one["fault"] for one in faults)
    for what in ("NaN", "shape", "dtype", "norm", "replayed", "string", "trainer killed", "gate killed", "app", "port"):
        assert what in named


def test_a_folder_that_holds_something_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    for options in (["--quick"], ["--weather", "1"]):
        outcome = CliRunner().invoke(app, ["drill", *options, "--out", str(tmp_path)])
        assert isinstance(outcome.exception, FederationError)
        assert "is not empty" in outcome.exception.problem
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def a_fault(passed: bool = True, lost: int = 0) -> Fault:
    return Fault("a kill", "the same weights", "killed", lost, passed)


def test_other_weights_than_the_undisturbed_runs_are_a_failure() -> None:
    same, other, none = compared(
        [Held(a_fault(), 1, "ab" * 32), Held(a_fault(), 2, "cd" * 32), Held(a_fault(), 3, "ef" * 32)],
        {1: "ab" * 32, 2: "ce" * 32},
    )
    assert same.passed
    assert not other.passed
    assert "NOT as undisturbed" in other.happened
    assert not none.passed


def test_a_fault_that_did_not_come_out_stays_one_with_the_right_weights() -> None:
    (fault,) = compared([Held(a_fault(passed=False), 1, "ab" * 32)], {1: "ab" * 32})
    assert not fault.passed


@pytest.fixture
def far_end() -> socket.socket:
    """A server that takes one connection."""
    return socket.create_server(("127.0.0.1", 0))


def through(proxy: Weather, far_end: socket.socket) -> tuple[socket.socket, socket.socket]:
    """A line through the proxy: both of its ends."""
    host, port = proxy.url.removeprefix("http://").split(":")
    near = socket.create_connection((host, int(port)))
    near.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % far_end.getsockname()[1])
    assert near.recv(100).startswith(b"HTTP/1.1 200 ")
    return near, far_end.accept()[0]


def test_an_upload_is_held_in_its_middle_and_let_go(far_end: socket.socket) -> None:
    with weather(1) as (proxy,), far_end:
        near, far = through(proxy, far_end)
        proxy.hold_upload()
        near.sendall(b"x" * 100)
        assert far.recv(1000) == b"x" * 100, "what is no upload passes"
        sent = b"y" * (2 * UPLOAD_BYTES)
        Thread(target=near.sendall, args=(sent,), daemon=True).start()
        assert proxy.held.wait(30)
        proxy.let_go()
        got = b""
        while len(got) < len(sent):
            got += far.recv(2**16)
        assert got == sent
        near.close()
        far.close()


def test_a_line_that_is_cut_ends_at_both_ends_and_another_comes_once_it_is_mended(far_end: socket.socket) -> None:
    with weather(1) as (proxy,), far_end:
        near, far = through(proxy, far_end)
        proxy.cut()
        assert near.recv(10) == b""
        assert far.recv(10) == b""
        proxy.mend()
        again, far_again = through(proxy, far_end)
        again.sendall(b"x")
        assert far_again.recv(10) == b"x"
        for line in (near, far, again, far_again):
            line.close()
