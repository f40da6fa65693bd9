"""tests/services.sh on machines that lack something: a folder of stand-ins takes the place of the system's programs."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent / "services.sh"
PROGRAMS = (
    *("mariadbd", "mariadb-install-db", "my_print_defaults", "mariadb", "mariadb-dump", "mariadb-binlog", "nginx"),
    *("ip", "setpriv", "chromium", "age", "age-keygen", "systemd-analyze", "prometheus", "promtool"),
    *("certbot", "pebble", "named", "tsig-keygen", "nsupdate", "mmdebstrap", "systemd-nspawn"),
)
TOOLS = ("bash", "grep", "sed", "paste", "rm", "chmod", "touch", "cat")
WITH_AUTH_REQUEST = "echo --with-http_auth_request_module >&2"


class Machine:
    """A folder of programs, the script's only ones."""

    def __init__(self, folder: Path, account: int = 0) -> None:
        self.folder = folder
        self.log = folder / "apt.log"
        for tool in TOOLS:
            (folder / tool).symlink_to(shutil.which(tool) or tool)
        self.add("id", f"echo {account}")
        self.add("update-rc.d", f'echo "$*" >> {folder / "disabled"}')
        self.script = folder / "services.sh"
        self.script.write_text(SCRIPT.read_text().replace("/usr/sbin", str(folder)).replace(":/sbin", ""))

    def add(self, name: str, code: str = "true") -> None:
        (self.folder / name).write_text(f"#!{self.folder / 'bash'}\n{code}\n")
        (self.folder / name).chmod(0o755)

    def add_apt(self, *, fails: int = 0, provides: tuple[str, ...] = PROGRAMS) -> None:
        """An apt-get that tells what it was asked, fails so many times, and then installs."""
        programs = "\n".join(
            f"echo '{WITH_AUTH_REQUEST if name == 'nginx' else 'true'}' > {self.folder / name}; "
            f"chmod +x {self.folder / name}"
            for name in provides
        )
        self.add(
            "apt-get",
            f'echo "$1 $DEBIAN_FRONTEND $(cat {self.folder}/policy-rc.d)" | paste -sd " " >> {self.log}\n'
            f'[ "$1" = update ] && exit 0\n'
            f'[ "$(grep -c ^install {self.log})" -gt {fails} ] || exit 100\n{programs}',
        )

    def run(self) -> subprocess.CompletedProcess[str]:
        command = [str(self.folder / "bash"), str(self.script)]
        return subprocess.run(command, env={"PATH": str(self.folder)}, capture_output=True, text=True, check=False)

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def disabled(self) -> list[str]:
        told = self.folder / "disabled"
        return told.read_text().splitlines() if told.exists() else []


NO_START = "#!/bin/sh exit 101"


def test_where_all_is_there_nothing_is_done_or_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path, account=1000)
    machine.add_apt()
    for program in PROGRAMS:
        machine.add(program, WITH_AUTH_REQUEST if program == "nginx" else "true")
    done = machine.run()
    assert (done.returncode, done.stdout, done.stderr, machine.asked()) == (0, "", "", [])


def test_root_installs_what_is_missing_and_starts_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_apt()
    assert machine.run().returncode == 0
    assert machine.asked() == [f"install noninteractive {NO_START}"]
    assert not (tmp_path / "policy-rc.d").exists()
    assert machine.run().returncode == 0
    assert len(machine.asked()) == 1
    assert machine.disabled() == ["prometheus disable", "named disable"]


def test_a_prometheus_that_was_there_goes_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_apt()
    for program in ("prometheus", "promtool"):
        machine.add(program)
    assert machine.run().returncode == 0
    assert (len(machine.asked()), machine.disabled()) == (1, ["named disable"])


def test_the_list_of_packages_is_fetched_only_when_it_is_needed(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_apt(fails=1)
    assert machine.run().returncode == 0
    assert [line.split()[0] for line in machine.asked()] == ["install", "update", "install"]


def test_a_machines_own_rule_for_starting_services_is_kept(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_apt()
    (tmp_path / "policy-rc.d").write_text("exit 104")
    assert machine.run().returncode == 0
    assert (tmp_path / "policy-rc.d").read_text() == "exit 104"


@pytest.mark.parametrize("account", [1000, 0])
def test_without_root_or_apt_it_stops_with_the_one_line_to_type(tmp_path: Path, account: int) -> None:
    machine = Machine(tmp_path, account)
    if account:
        machine.add_apt()
    machine.add("mariadbd")
    done = machine.run()
    assert done.returncode == 1
    problem, fix = done.stderr.splitlines()
    assert problem == (
        "Tests need what is not installed: mariadb-install-db, my_print_defaults, mariadb, mariadb-dump, "
        "mariadb-binlog, nginx, ip, setpriv, chromium, age, age-keygen, systemd-analyze, prometheus, "
        "promtool, certbot, pebble, named, tsig-keygen, nsupdate, mmdebstrap, systemd-nspawn"
    )
    assert fix.startswith("Type: sudo apt-get install --no-install-recommends mariadb-server-core ")
    assert machine.asked() == []


def test_an_nginx_without_auth_request_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.add_apt(provides=PROGRAMS[:6])
    for program in PROGRAMS[6:]:
        machine.add(program)
    done = machine.run()
    assert done.returncode == 1
    assert "not installed: nginx's auth_request\n" in done.stderr
