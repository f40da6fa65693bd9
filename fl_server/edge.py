"""The only port that faces outwards: Nginx, in front of Flower's SuperLink and of the site API.

It runs as the account that owns HOME, with all its files there; fl_server.edge_configuration says what it lets pass.
"""

import grp
import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path

from core.errors import ConfigError, FederationError
from core.files import private_folder, write_atomically
from core.invitation import split_address
from core.supervision import Process
from fl_server.edge_configuration import edge_configuration


def write_edge(home: Path, listen: str, superlink_port: int) -> Path:
    """Write Nginx's configuration.

    Args:
        home: the coordinator's home.
        listen: where the edge listens, host or host:port.
        superlink_port: SuperLink's, on loopback.
    Returns: the configuration's path.
    Raises: ConfigError: the home's path cannot stand in it, or `listen` is no address.
    """
    if re.search(r"[\"'${};\\\s]", str(home)):
        raise ConfigError(f"Nginx cannot use the path {home}", fix="name a home without spaces, quotes, $ or braces")
    for folder in ("nginx", "nginx/web", "run", "logs"):
        private_folder(home / folder)
    text = edge_configuration(home, split_address(listen), superlink_port, _user(home))
    path = home / "nginx" / "nginx.conf"
    write_atomically(path, text)
    return path


def edge_process(home: Path) -> Process:
    """Return the process that serves what `write_edge` wrote.

    Raises: FederationError: Nginx is not installed.
    """
    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    return Process("nginx", _command(home), environment, reloads_by=signal.SIGHUP)


def check_edge(home: Path) -> None:
    """Let Nginx read its configuration and the files that it names.

    Raises:
        ConfigError: it cannot use them; the problem says what it said.
        FederationError: Nginx is not installed.
    """
    done = subprocess.run(  # noqa: S603 (our own command line)
        [*_command(home), "-t"], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "[emerg]" in line] or ["nginx -t failed"]
        raise ConfigError(
            f"Nginx cannot serve the edge: {lines[0].partition('[emerg] ')[2] or lines[0]}",
            fix="mend coordinator.listen in server.toml; a port below 1024 needs root or CAP_NET_BIND_SERVICE",
        )


def reload_edge(home: Path) -> None:
    """Let a running Nginx read its certificates anew; no connection is cut.

    Raises: FederationError: it does not run.
    """
    try:
        os.kill(int((home / "run" / "nginx.pid").read_text()), signal.SIGHUP)
    except (OSError, ValueError):
        raise FederationError("Nginx does not run", fix="fl-server start") from None


def _command(home: Path) -> list[str]:
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if nginx is None:
        raise FederationError("Nginx is not installed", fix="apt install nginx-light")
    return [nginx, "-e", "stderr", "-p", str(home / "nginx"), "-c", str(home / "nginx" / "nginx.conf")]


def _user(home: Path) -> str | None:
    """Return account and group for the workers of a root's Nginx: HOME's owner, whose sockets they must reach."""
    if os.geteuid():
        return None  # nobody but root may choose
    account = pwd.getpwuid(home.stat().st_uid)
    return f"{account.pw_name} {grp.getgrgid(account.pw_gid).gr_name}"
