"""Every systemd unit and every script of deploy/, as far as systemd's and ShellCheck's own checks go."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.factories_nginx import DEPLOY

SERVICES = sorted((DEPLOY / "systemd").glob("*.service"))
COMMANDS = {
    "gliofed-web.service": "fl-web run --data /var/lib/gliofed/web --socket /run/gliofed-web.sock",
    "gliofed-verify-audit.service": "fl-web verify-audit --data /var/lib/gliofed/web",
    "gliofed-coordinator.service": "fl-server start",
    "gliofed-client.service": "fl-client start",
}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units, with programs that are there."""
    for path in (DEPLOY / "systemd").iterdir():
        if path.suffix in (".service", ".socket", ".timer"):
            text = path.read_text().replace("/opt/gliofed/current/deploy", str(DEPLOY))
            (tmp_path / path.name).write_text(re.sub(r"/opt/gliofed/current/bin/fl-\w+", "/bin/true", text))
    return tmp_path


def test_systemd_understands_every_unit(installed: Path) -> None:
    units = sorted(map(str, installed.iterdir()))
    assert len(units) >= 10
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", [path.name for path in SERVICES])
def test_no_service_may_do_more_than_it_needs(installed: Path, name: str) -> None:
    argv = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(installed / name)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_services_run_what_the_command_line_has(name: str) -> None:
    assert f"/opt/gliofed/current/bin/{COMMANDS[name]}\n" in (DEPLOY / "systemd" / name).read_text()


def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    scripts = sorted(map(str, DEPLOY.rglob("*.sh")))
    assert len(scripts) >= 12
    argv = ["shellcheck", "--external-sources", f"--source-path={DEPLOY.parent}", *scripts]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
