"""The machines of the tests of whole federations are machines: systemd, confined services, one network, no power.

One process boots three of them, in namespaces of its own, and writes down what it finds; a and b are isolated.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

from tests.deploy.factories_machines import ALONE, OURS, ROOT, Machine, debian, lan, machines

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 80), timeout=1).close()
    print("reached")
except OSError as error:
    print(error)
"""
SYNCED = "import os, sys; f = open('/srv/synced', 'w'); f.write('kept'); f.flush(); os.fsync(f.fileno())"
UNSYNCED = "open('/srv/unsynced', 'w').write('lost')"
OUTSIDE = "203.0.113.1"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    assert os.geteuid() == 0, "needs namespaces: run the tests as root, `sudo make test`"
    debian()
    folder = tmp_path_factory.mktemp("machines")
    command = [*ALONE, sys.executable, "-m", "tests.deploy.test_machines", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    for image in folder.glob("*/image"):
        image.unlink()
    return json.loads((folder / "found.json").read_text())


def main() -> None:
    folder = Path(sys.argv[1])
    lan()
    before = traces()
    with machines(
        debian(), folder, "abc", isolated="ab", hosts={"page.test": OURS}, binds={ROOT / "docs": "/srv/docs"}
    ) as all_:
        found: dict[str, Any] = {}
        with create_server((OURS, 80)):
            found["network"] = {
                f"{name}-{to}": connect(one, to)
                for name, one in all_.items()
                for to in ("a", "b", "c", "page.test", OUTSIDE)
            }
            found["routed"] = {
                via: by_another_way(all_["a"], via, all_["b"].address) for via in (OURS, all_["c"].address)
            }
        all_["c"].run("ip", "route", "add", "default", "via", OURS)
        found["outside"] = connect(all_["c"], OUTSIDE)
        found["interfaces"] = sorted(one["ifname"] for one in json.loads(output("ip", "-json", "link")))
        found["first process"] = all_["a"].read("/proc/1/comm").strip()
        found["state"] = {
            name: one.run("systemctl", "is-system-running", check=False).stdout for name, one in all_.items()
        }
        found["failed"] = {name: one.run("systemctl", "--failed", "--plain").stdout for name, one in all_.items()}
        found["identities"] = [one.read("/etc/machine-id") for one in all_.values()]
        found["database"] = database(all_["a"])
        found["docs"] = all_["b"].run("ls", "/srv/docs").stdout.split()
        found["read-only"] = all_["b"].run("touch", "/srv/docs/x", check=False).stderr
        found["account"] = (
            all_["b"].run("sh", "-c", "id -un; id -gn; env", account="mysql", FL_HOME="/srv").stdout.split()
        )
        found["power"] = without_power(all_["a"])
    found["left"] = sorted(traces() ^ before)
    (folder / "found.json").write_text(json.dumps(found))


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def traces() -> set[str]:
    """What a machine could leave behind."""
    links = {one["ifname"] for one in json.loads(output("ip", "-json", "link"))}
    network = Path("/proc/self/ns/net").stat().st_ino
    groups = {str(one) for one in Path("/sys/fs/cgroup").rglob(f"gliofed-{network}-*/")}
    processes = set(Path("/proc/thread-self/children").read_text().split())
    return links | groups | processes | set(output("mount").splitlines())


def connect(machine: Machine, host: str) -> str:
    return machine.run("python3", "-c", CONNECT, host).stdout.strip()


def by_another_way(machine: Machine, via: str, address: str) -> str:
    """What comes of it when a machine asks another to pass its packets on."""
    machine.run("ip", "route", "add", address, "via", via)
    answer = connect(machine, address)
    machine.run("ip", "route", "del", address)
    return answer


def database(machine: Machine) -> dict[str, str]:
    """How Debian's server runs: as whom, with which right to write, and what it answers."""
    number = machine.run("systemctl", "show", "--value", "--property=MainPID", "mariadb.service").stdout.strip()
    status = dict(line.split(":\t", 1) for line in machine.read(f"/proc/{number}/status").splitlines() if ":\t" in line)
    mounts = [line.split() for line in machine.read(f"/proc/{number}/mounts").splitlines()]
    return {
        "answer": machine.run("mariadb", "--skip-column-names", "--execute", "select 1").stdout,
        "account": machine.run("id", "--name", "--user", status["Uid"].split()[0]).stdout.strip(),
        "rights": status["CapEff"],
        "usr": next(options for _, where, _, options, *_ in reversed(mounts) if where == "/usr").split(",")[0],
        "home": machine.run("nsenter", f"--target={number}", "--mount", "stat", "--format=%a", "/home").stdout.strip(),
    }


def without_power(machine: Machine) -> dict[str, Any]:
    """Cut it while it works, and look at what it remembers."""
    machine.run("mariadb", "--execute", "create table mysql.kept (n int) engine=innodb; insert mysql.kept values (7)")
    machine.run("python3", "-c", SYNCED)
    machine.run("python3", "-c", UNSYNCED)
    machine.run("systemd-run", "--unit=busy", "sleep", "1d")
    identity, boot = machine.read("/etc/machine-id"), machine.read("/proc/sys/kernel/random/boot_id")
    space = output("lsns", "--noheadings", "--output=NS", "--type=pid", f"--task={machine.leader}").strip()
    machine.cut_power()
    alive = space in output("lsns", "--noheadings", "--output=NS", "--type=pid").split()
    machine.boot()
    return {
        "alive": alive,
        "synced": machine.read("/srv/synced"),
        "not synced": machine.run("cat", "/srv/unsynced", check=False).stdout,
        "row": machine.run("mariadb", "--skip-column-names", "--execute", "select n from mysql.kept").stdout.strip(),
        "recovery": "Starting crash recovery" in machine.journal("mariadb.service"),
        "same machine": machine.read("/etc/machine-id") == identity,
        "same boot": machine.read("/proc/sys/kernel/random/boot_id") == boot,
        "busy": machine.run("systemctl", "is-active", "busy.service", check=False).stdout.strip(),
        "network": connect(machine, "c"),
        "isolated": connect(machine, "b"),
    }


def test_systemd_is_the_first_process_and_none_of_its_units_failed(found) -> None:
    assert found["first process"] == "systemd"
    assert found["state"] == dict.fromkeys("abc", "running\n"), found["failed"]


def test_machines_are_not_each_other(found) -> None:
    assert len(set(found["identities"])) == 3


def test_the_database_runs_confined_by_debians_unit(found) -> None:
    assert found["database"] == {"answer": "1\n", "account": "mysql", "rights": "0" * 16, "usr": "ro", "home": "0"}


def test_isolated_machines_reach_all_but_each_other(found) -> None:
    reached = {pair for pair, answer in found["network"].items() if answer == "reached"}
    assert reached == {"a-a", "a-c", "a-page.test", "b-b", "b-c", "b-page.test", "c-a", "c-b", "c-c", "c-page.test"}
    assert "reached" not in found["routed"].values(), "neither this process nor a third machine passes packets on"


def test_nobody_reaches_the_outside_for_there_is_no_interface_to_it(found) -> None:
    assert found["interfaces"] == ["lan", "lo", "vb-a", "vb-b", "vb-c"]
    assert found["outside"] != "reached"


def test_a_machine_without_power_keeps_its_disk_and_nothing_else(found) -> None:
    assert found["power"] == {
        "alive": False,
        "synced": "kept",
        "not synced": "",
        "row": "7",
        "recovery": True,
        "same machine": True,
        "same boot": False,
        "busy": "inactive",
        "network": "reached",
        "isolated": "timed out",
    }


def test_folders_of_this_machine_are_seen_and_not_changed(found) -> None:
    assert "database.md" in found["docs"]
    assert "Read-only file system" in found["read-only"]


def test_programs_run_as_an_account_with_a_clean_environment(found) -> None:
    user, group, *environment = found["account"]
    assert (user, group) == ("mysql", "mysql")
    assert {one.partition("=")[0] for one in environment} == {"PATH", "LANG", "FL_HOME", "PWD"}


def test_machines_leave_nothing_behind(found) -> None:
    assert found["left"] == []


if __name__ == "__main__":
    main()
