"""What `fl-client start` keeps running, and that the service of a site starts, speaks and stops as a process."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest

from core.errors import ConfigError
from core.large_messages import KEEPS_MEMORY
from fl_client.config import load_site
from fl_client.paths import SiteHome
from fl_client.start import free_ports, ours_of, processes, supervisor
from tests.fl_client.factories_coordinator import ScriptedCoordinator
from tests.fl_client.factories_site import make_home


def test_a_site_is_five_processes_that_depend_on_those_before_them(home: SiteHome) -> None:
    started = processes(load_site(home), home, {})
    assert [process.name for process in started] == ["trainer", "service", "warm-app", "supernode", "superexec"]
    gate_port = started[1].argv[-1]
    assert f"127.0.0.1:{gate_port}" in started[3].argv
    runtime_port = started[3].argv[started[3].argv.index("--port") + 1]
    assert f"127.0.0.1:{runtime_port}" in started[4].argv
    assert started[0].environment["OMP_NUM_THREADS"] == str(load_site(home).compute.threads)


def test_no_secret_is_on_a_command_line_or_in_an_environment(home: SiteHome) -> None:
    home.settings.write_text(home.settings.read_text().replace('url = ""', 'url = "http://me:hunter2@proxy:3128"'))
    assert load_site(home).proxy.url
    supervising = supervisor(home)
    secrets = [path.read_text() for path in (home.key, home.node_key, home.run / "superexec.secret")]
    for process in supervising.processes:
        told = " ".join([*process.argv, *process.environment.values()])
        assert "hunter2" not in told
        assert not [secret for secret in secrets if secret in told]


def test_of_this_processs_variables_only_those_that_a_site_needs_are_passed_on(home: SiteHome) -> None:
    passed = ours_of(
        {
            "PATH": "/bin",
            "FL_COMPUTE__DEVICE": "cpu",
            "FL_HOME": "elsewhere",
            "CUDA_VISIBLE_DEVICES": "1",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "AWS_SECRET_ACCESS_KEY": "hunter2",
            "PYTHONPATH": "/somewhere",
        },
        home,
    )
    assert passed == {
        "PATH": "/bin",
        "FL_COMPUTE__DEVICE": "cpu",
        "FL_HOME": str(home.root),
        "CUDA_VISIBLE_DEVICES": "1",
        "PYTHONUNBUFFERED": "1",
        **KEEPS_MEMORY,
    }


def test_a_site_that_is_not_enrolled_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not enrolled"):
        supervisor(make_home(tmp_path))


def test_free_ports_differ() -> None:
    assert len(set(free_ports(5))) == 5


def test_the_service_speaks_with_the_coordinator_and_stops_when_told(
    coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    supervisor(home)
    (port,) = free_ports(1)
    home.logs.mkdir(exist_ok=True)
    with (home.logs / "service.log").open("ab") as log:
        service = subprocess.Popen(
            [sys.executable, "-m", "fl_client.service", str(port)],
            env={"FL_HOME": str(home.root), "PATH": os.environ["PATH"]},
            stdout=log,
            stderr=log,
        )
    try:
        gives_up = monotonic() + 60
        while not coordinator.statuses:
            assert monotonic() < gives_up, (home.logs / "service.log").read_text()
            sleep(0.02)
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0
    finally:
        service.kill()
        service.wait()
    assert coordinator.statuses[0]["state"] == "idle"
    assert "Traceback" not in (home.logs / "service.log").read_text()
