"""Which processes a site consists of while `fl-client start` runs."""

import os
import socket
import sys
from collections.abc import Mapping

from core.errors import ConfigError
from core.files import private_folder
from core.large_messages import KEEPS_MEMORY
from core.supervision import Process, Supervisor
from fl_client import supernode, warm_app
from fl_client.config import SiteConfig, load_site
from fl_client.door import make_gate_certificate
from fl_client.paths import SiteHome

# What our own processes get of this one's variables, beside FL_*.
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_PASSED_PREFIXES = ("FL_", "CUDA_", "NVIDIA_", "PYTORCH_")


def supervisor(home: SiteHome) -> Supervisor:
    """Return the supervisor of a site's processes, with all that they need on disk.

    Raises: ConfigError: there are no settings, or this site is not enrolled.
    """
    site = load_site(home)
    if not home.certificate.exists():
        raise ConfigError("This site is not enrolled", fix="run `fl-client join INVITE`")
    for folder in (home.run, home.logs, home.spool):
        private_folder(folder)
    if not (home.certificate.parent / "gate.crt").exists():
        make_gate_certificate(home.certificate.parent)
    supernode.prepare(home, {"trainer": str(home.trainer)})
    warm_app.make_shims(home)
    return Supervisor(home.root, processes(site, home, os.environ))


def processes(site: SiteConfig, home: SiteHome, environment: Mapping[str, str]) -> list[Process]:
    """Return a site's processes, in the order of their start.

    Args:
        site, home: the site's.
        environment: variables of this process, of which few are passed on.
    """
    gate_port, runtime_port = free_ports(2)
    ours = ours_of(environment, home)
    threads = {"OMP_NUM_THREADS": str(site.compute.threads)}
    return [
        Process("trainer", [sys.executable, "-m", "fl_client.trainer_process"], ours | threads),
        Process("service", [sys.executable, "-m", "fl_client.service", str(gate_port)], ours),
        Process("warm-app", *warm_app.command(home)),
        Process("supernode", *supernode.command(home, gate_port, runtime_port)),
        Process("superexec", *supernode.superexec_command(home, runtime_port)),
    ]


def ours_of(environment: Mapping[str, str], home: SiteHome) -> dict[str, str]:
    """Return the variables of our own processes: the site's settings, where programs and GPUs are, and no proxy."""
    passed = {
        name: value for name, value in environment.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    }
    return passed | {"FL_HOME": str(home.root), "PYTHONUNBUFFERED": "1"} | KEEPS_MEMORY


def free_ports(count: int) -> list[int]:
    """Return ports on loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports
