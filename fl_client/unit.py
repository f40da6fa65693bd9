"""`fl-client start` as a systemd service: started with the machine, restarted when it ends, and hardened."""

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from core.errors import ConfigError
from core.files import write_atomically
from fl_client.config import SiteConfig
from fl_client.paths import SiteHome

NAME = "gliofed-client.service"
SYSTEMS = Path("/etc/systemd/system")
# As deploy/install.sh puts it there: that unit stays with the program through upgrades.
_INSTALLED = "ExecStart=/opt/gliofed/current/bin/fl-client start"
# What any user's service manager can keep; the rest takes the system's.
_HARDENED = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
UMask=0077
"""
# Devices stay: a GPU is one. The scans can be read, and nothing but the home and the prepared cases be written.
_SYSTEM = """\
User={user}
CapabilityBoundingSet=
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={writable}
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
"""
_UNIT = """\
[Unit]
Description=GlioFed: the site {site}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
Environment={home}
Restart=always
RestartSec=10
KillMode=mixed
TimeoutStopSec=60
{hardened}
[Install]
WantedBy={target}
"""


@dataclass(frozen=True)
class Installed:
    """What was written, and what is left to do.

    Attributes:
        path: the unit's file.
        commands: what to type by hand, or nothing where the service runs already.
    """

    path: Path
    commands: tuple[str, ...]


def install_service(site: SiteConfig, home: SiteHome) -> Installed:
    """Write the unit and enable it: the system's for root, else this user's own.

    Raises: ConfigError: systemd refuses it, or deploy/install.sh has brought one.
    """
    there = SYSTEMS / NAME
    if there.exists() and _INSTALLED in there.read_text("utf-8"):
        raise ConfigError("This machine has that service already: install.sh brought it", fix=f"systemctl start {NAME}")
    is_root = os.geteuid() == 0
    folder = SYSTEMS if is_root else Path("~/.config/systemd/user").expanduser()
    owner = pwd.getpwuid(home.root.stat().st_uid).pw_name
    text = unit_text(site, home, owner if is_root else "")
    # Linger: else a user's services end when the user logs out.
    systemctl = ["systemctl"] if is_root else ["systemctl", "--user"]
    commands = [[*systemctl, "daemon-reload"], [*systemctl, "enable", "--now", NAME]]
    if not is_root:
        commands.insert(0, ["loginctl", "enable-linger", owner])
    typed = [" ".join(command) for command in commands]
    if not systemd_runs():
        path = home.root / NAME
        write_atomically(path, text)
        return Installed(path, (f"cp {path} {folder}/", *typed))
    path = folder / NAME
    write_atomically(path, text)
    path.chmod(0o644)
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
        if done.returncode:
            raise ConfigError(
                f"`{' '.join(command)}` failed: {done.stderr.strip()[:300]}", fix=f"type it by hand; the unit is {path}"
            )
    return Installed(path, ())


def unit_text(site: SiteConfig, home: SiteHome, user: str = "") -> str:
    """Return the unit.

    Args:
        site, home: the site's.
        user: the account that the system's service manager runs it as; empty for a user's own.
    """
    writable = " ".join(_quoted(str(folder)) for folder in (home.root, site.site.prepared))
    system = _SYSTEM.format(user=user, writable=writable) if user else ""
    return _UNIT.format(
        site=site.site.name,
        command=" ".join(_quoted(word) for word in (sys.executable, "-m", "fl_client", "start")),
        home=_quoted(f"FL_HOME={home.root}"),
        hardened=_HARDENED + system,
        target="multi-user.target" if user else "default.target",
    )


def systemd_runs() -> bool:
    """Say whether systemd is this machine's service manager (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def _quoted(word: str) -> str:
    """Return a word as a unit's line holds it: systemd expands `%` and reads quotes and backslashes."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if set(escaped) & set(" \t'") or escaped != word else escaped
