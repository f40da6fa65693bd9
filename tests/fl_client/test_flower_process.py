import inspect
import subprocess
import time
from pathlib import Path
from threading import Event

import pytest
from flwr.supernode import start_client_internal

from core.files import private_folder
from fl_client import flower_process
from fl_client.flower_process import ENDED, SILENT, hang_bell, ring, shortened, until_rung
from fl_client.paths import SiteHome
from fl_client.relay import Answer
from fl_client.supernode import command, make_node_key, prepare, silence
from tests.factories_ports import free_port
from tests.fl_client.factories_fleet import Call, as_superlink, coordinator, make_pki
from tests.fl_client.factories_processes import started


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    home = SiteHome(tmp_path)
    make_pki(private_folder(tmp_path / "pki"))
    make_node_key(home.node_key, home.node_public)
    prepare(home, {})
    return home


def supernode_of(home: SiteHome, port: int) -> tuple[list[str], dict[str, str]]:
    """A SuperNode that speaks to the coordinator itself, past the gate."""
    argv, environment = command(home, port, free_port())
    argv[argv.index("--root-certificates") + 1] = str(home.ca)
    return argv, environment


def test_a_supernode_whose_loop_has_ended_ends(home: SiteHome) -> None:
    """Stock SuperNode stays as a process for ever after this answer."""

    def answering(call: Call) -> Answer:
        return Answer(500, "", b"") if call.name == "pull-messages" else as_superlink(call)

    with coordinator(home.root / "pki", answering, knows_sites=False) as there:
        argv, environment = supernode_of(home, there.port)
        with started(argv, environment, home.root) as process:
            assert process.wait(60) == ENDED
        assert there.names()[-1] == "deactivate-node"


def test_a_supernode_that_is_told_to_end_ends(home: SiteHome, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Event()

    def answering(call: Call) -> Answer:
        if call.name == "pull-messages":
            asked.set()
        return as_superlink(call)

    with coordinator(home.root / "pki", answering, knows_sites=False) as there:
        argv, environment = supernode_of(home, there.port)
        silence(home).touch()  # of an earlier one: it does not concern this
        with started(argv, environment, home.root) as process:
            assert asked.wait(60)
            silence(home).touch()
            assert process.wait(60) == SILENT


def test_a_program_that_does_not_start_says_why(home: SiteHome) -> None:
    argv, environment = supernode_of(home, 1)
    done = subprocess.run([*argv, "--no-such-flag"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--no-such-flag" in done.stderr


def test_only_the_rests_that_are_known_are_shorter() -> None:
    slept: list[float] = []
    sleep = shortened({3: 0.2, 0.5: 0.05}, slept.append)
    for seconds in (3, 0.5, 0.1, 1, 20.0):
        sleep(seconds)
    assert slept == [0.2, 0.05, 0.1, 1, 20.0]


def test_flowers_own_rests_are_those_that_are_known() -> None:
    """A later Flower that rests otherwise is merely slower; this test then says so."""
    text = inspect.getsource(start_client_internal)
    for seconds in flower_process.SUPERNODE_RESTS_S:
        assert f"time.sleep({seconds:g})" in text


def test_the_bell_ends_the_rest_it_was_hung_for_and_no_other(tmp_path: Path) -> None:
    slept: list[float] = []
    with hang_bell(tmp_path / "bell") as bell:
        sleep = until_rung(bell, 3600.0, slept.append)
        ring(tmp_path / "bell")
        sleep(3600.0)
        assert slept == []
        sleep(0.2)
        assert slept == [0.2]


def test_a_rest_ends_where_nobody_rings(tmp_path: Path) -> None:
    with hang_bell(tmp_path / "bell") as bell:
        until_rung(bell, 0.001, time.sleep)(0.001)


def test_ringing_where_nobody_listens_is_no_failure(tmp_path: Path) -> None:
    ring(tmp_path / "bell")
    hang_bell(tmp_path / "bell").close()
    ring(tmp_path / "bell")


def test_a_bell_that_rings_already_is_no_failure(tmp_path: Path) -> None:
    with hang_bell(tmp_path / "bell"):
        for _ in range(10_000):
            ring(tmp_path / "bell")


def test_a_bell_takes_the_place_of_one_that_was_left(tmp_path: Path) -> None:
    hang_bell(tmp_path / "bell").close()
    with hang_bell(tmp_path / "bell") as bell:
        ring(tmp_path / "bell")
        assert bell.recv(1)
        assert (tmp_path / "bell").stat().st_mode & 0o777 == 0o600
