import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import supervision
from core.processes import is_running, this_process
from core.supervision import end_process, states_of

ROOT = Path(__file__).resolve().parents[2]
# Supervises processes that are described as JSON on its command line.
SUPERVISE = """
import json, sys
from pathlib import Path
from core import supervision
from core.supervision import Process, Supervisor
supervision.LOG_BYTES, supervision.TRIM_S = 10_000, 0.1
home, processes = Path(sys.argv[1]), json.loads(sys.argv[2])
Supervisor(home, [Process(**process) for process in processes]).run()
"""


def a_process(name: str, script: str, secret: str = "") -> dict[str, object]:
    environment = {"PATH": os.environ["PATH"], "HOME_OF": name}
    return {"name": name, "argv": [sys.executable, "-c", script], "environment": environment, "secret": secret}


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[object]:
    started = []

    def start(*processes: dict[str, object]) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SUPERVISE, str(tmp_path), json.dumps(processes)]
        started.append(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for supervisor in started:
        supervisor.terminate()
        supervisor.communicate(timeout=60)


class Pipe:
    """What processes say, line by line; it stays open, so that none is lost between two of them."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.lines = os.fdopen(os.open(path, os.O_RDWR), "r")


def line_of(fifo: Pipe) -> str:
    """Wait for a process to say something."""
    return fifo.lines.readline().strip()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Pipe]:
    pipe = Pipe(tmp_path / "fifo")
    yield pipe
    pipe.lines.close()


def says(fifo: Pipe, what: str, then: str = "import time; time.sleep(600)") -> str:
    return f"import os, sys\nwith open({str(fifo.path)!r}, 'w') as pipe: print({what}, file=pipe)\n{then}"


def test_a_process_that_was_killed_is_started_again_and_its_end_is_told(supervise, fifo: Pipe, tmp_path: Path) -> None:
    supervise(a_process("worker", says(fifo, "os.getpid()")))
    first = int(line_of(fifo))
    os.kill(first, signal.SIGKILL)
    second = int(line_of(fifo))
    assert second != first
    (state,) = states_of(tmp_path)
    assert (state.name, state.restarts, state.last_exit) == ("worker", 1, -signal.SIGKILL)


def test_what_a_killed_process_leaves_behind_ends_before_it_is_started_again(supervise, fifo: Pipe) -> None:
    """As the workers of a killed Nginx, which hold its port."""
    script = (
        f"import os, sys, subprocess\nleft = subprocess.Popen(['sleep', '600'])\n{says(fifo, 'os.getpid(), left.pid')}"
    )
    supervise(a_process("nginx", script))
    first, left = map(int, line_of(fifo).split())
    watch = os.pidfd_open(left)
    os.kill(first, signal.SIGKILL)
    second, _ = map(int, line_of(fifo).split())
    assert second != first
    assert select.select([watch], [], [], 0)[0], "it lives on"
    os.close(watch)


def test_a_process_can_be_started_anew_by_its_name(supervise, fifo: Pipe, tmp_path: Path) -> None:
    supervise(a_process("server", says(fifo, "'server', os.getpid()")), a_process("other", says(fifo, "'other', 0")))
    first = dict(line_of(fifo).split() for _ in range(2))["server"]
    end_process(tmp_path, "nobody")
    # What runs is noted a moment after it was started.
    while [state.pid for state in states_of(tmp_path)][:1] != [int(first)]:
        time.sleep(0.01)
    end_process(tmp_path, "server")
    again, second = line_of(fifo).split()
    assert again == "server"
    assert second != first


def test_a_long_log_is_moved_aside_while_its_process_writes_on(supervise, fifo: Pipe, tmp_path: Path) -> None:
    moved = tmp_path / "logs" / "talker.log.1"
    script = (
        "import os, sys, time\n"
        "os.write(1, b'a long story\\n' * 1000)\n"
        f"while not os.path.exists({str(moved)!r}): time.sleep(0.01)\n"
        f"while os.path.getsize(os.environ['LOG']): time.sleep(0.01)\n"
        "os.write(1, b'and after it\\n')\n"
    )
    talker = a_process("talker", script + says(fifo, "'told'"))
    talker["environment"] |= {"LOG": str(tmp_path / "logs" / "talker.log")}
    supervise(talker)
    assert line_of(fifo) == "told"
    assert moved.read_bytes() == b"a long story\n" * 1000
    assert moved.with_name("talker.log").read_bytes() == b"and after it\n"


def test_a_log_that_cannot_be_moved_stays_and_the_others_are_moved(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(supervision, "LOG_BYTES", 5)
    for name in ("a", "b"):
        (tmp_path / f"{name}.log").write_text("a long story")
    (tmp_path / "a.log.1").mkdir()  # in the way, as a full disk would be
    supervision.trim_logs(tmp_path)
    assert (tmp_path / "a.log").read_text() == "a long story"
    assert ((tmp_path / "b.log").read_text(), (tmp_path / "b.log.1").read_text()) == ("", "a long story")


def test_a_secret_is_read_from_standard_input_and_stands_neither_in_the_command_nor_the_environment(
    supervise, fifo: Pipe
) -> None:
    supervise(a_process("keeper", says(fifo, "sys.stdin.read(), os.getpid()"), "open sesame"))
    answer = line_of(fifo)
    assert answer.startswith("open sesame ")
    process = Path("/proc") / answer.rpartition(" ")[2]
    assert b"sesame" not in (process / "cmdline").read_bytes() + (process / "environ").read_bytes()


def test_all_end_when_the_supervisor_is_told_to_stop_the_last_started_first(supervise, fifo: Pipe) -> None:
    leave = (
        "import signal\n"
        "def end(*_):\n"
        f"    with open({str(fifo.path)!r}, 'w') as pipe: print('end', os.environ['HOME_OF'], file=pipe)\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
    )
    script = f"import os, sys\n{leave}" + says(fifo, "os.environ['HOME_OF']")
    supervisor = supervise(a_process("one", script), a_process("two", script))
    assert {line_of(fifo), line_of(fifo)} == {"one", "two"}
    supervisor.terminate()
    assert [line_of(fifo), line_of(fifo)] == ["end two", "end one"]
    assert supervisor.wait(60) == 0


def test_a_killed_supervisor_takes_its_processes_with_it(supervise, fifo: Pipe) -> None:
    supervisor = supervise(a_process("orphan", says(fifo, "os.getpid()")))
    number = int(line_of(fifo))
    watch = os.pidfd_open(number)
    supervisor.kill()
    supervisor.wait()
    assert select.select([watch], [], [], 60)[0], "it lives on"
    os.close(watch)


def test_a_home_has_one_supervisor(supervise, fifo: Pipe) -> None:
    supervise(a_process("first", says(fifo, "1")))
    line_of(fifo)
    second = supervise(a_process("second", "pass"))
    assert second.wait(60) != 0
    assert "is started already" in second.communicate()[1]


def test_without_a_supervisor_nothing_is_said_to_run(supervise, fifo: Pipe, tmp_path: Path) -> None:
    assert states_of(tmp_path) == []
    supervisor = supervise(a_process("first", says(fifo, "1")))
    line_of(fifo)
    assert [state.name for state in states_of(tmp_path)] == ["first"]
    supervisor.terminate()
    supervisor.wait(60)
    assert states_of(tmp_path) == []


def test_a_process_is_known_by_more_than_its_number() -> None:
    me = this_process()
    assert is_running(me)
    number, _, started = me.partition(":")
    assert not is_running(f"{number}:{int(started) + 1}")
    assert not is_running("")
    assert not is_running(number)
    ended = subprocess.run(
        [sys.executable, "-c", "from core.processes import this_process; print(this_process())"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not is_running(ended.stdout.strip())
