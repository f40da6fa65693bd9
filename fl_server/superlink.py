"""Flower's processes on the coordinator's side: SuperLink, on loopback only, and SuperExec, which starts ServerApps.

FLWR_HOME is HOME/flower: config.toml (where the `flwr` command finds SuperLink), state.db, superexec.secret.
"""

import os
import secrets
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import tomli_w

from core.files import atomic, private_folder, write_atomically, write_private
from core.large_messages import KEEPS_MEMORY
from core.supervision import Process

CONNECTION = "coordinator"
# Between a ServerApp's being asked for and its start lies one such poll, and each costs SuperLink 7 ms of a core.
TASK_POLL_S = 1.0
# What a ServerApp needs to find its records; never where the passphrase lies.
_NOT_HANDED_ON = {"FL_PASSPHRASE_FILE"}
_HANDED_ON = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "OMP_NUM_THREADS")


def write_flower(home: Path, port: int) -> None:
    """Write what Flower's processes and its command read from HOME/flower; the secret is kept where there is one.

    Args:
        home: the coordinator's home.
        port: SuperLink's, on loopback.
    """
    folder = private_folder(home / "flower")
    secret = folder / "superexec.secret"
    if not secret.exists():
        write_private(secret, secrets.token_hex(32))
    _make_state(folder / "state.db")
    connection = {"address": f"127.0.0.1:{port}", "root-certificates": str(home / "pki" / "ca.crt")}
    write_atomically(
        folder / "config.toml", tomli_w.dumps({"superlink": {"default": CONNECTION, CONNECTION: connection}})
    )


def _make_state(path: Path) -> None:
    """Make SuperLink's database before it does, with SQLite's largest pages, which a file keeps for good.

    Flower keeps a model there in pieces of 5 MB: with pages of 4 kB each is a chain of 1,280 of them, written twice.
    """
    if path.exists():
        return
    with atomic(path) as temporary, closing(sqlite3.connect(temporary)) as database:
        temporary.chmod(0o600)
        database.execute("PRAGMA page_size = 65536")
        database.execute("VACUUM")


def superlink_process(home: Path, port: int) -> Process:
    """Return SuperLink: TLS on loopback, known nodes only, its state on disk, nothing installed while it runs."""
    pki, flower = home / "pki", home / "flower"
    argv = [
        sys.executable,
        "-m",
        "fl_server.flower_process",
        "flower-superlink",
        "--host=127.0.0.1",
        f"--port={port}",
        f"--ssl-certfile={pki / 'superlink.crt'}",
        f"--ssl-keyfile={pki / 'superlink.key'}",
        f"--ssl-ca-certfile={pki / 'ca.crt'}",
        "--enable-supernode-auth",
        f"--database={flower / 'state.db'}",
        "--isolation=process",
        f"--superexec-auth-secret-file={flower / 'superexec.secret'}",
        "--disable-runtime-dependency-installation",
    ]
    return Process("superlink", argv, flower_environment(home))


def superexec_process(home: Path, port: int) -> Process:
    """Return SuperExec: what it starts inherits its environment, and so finds this home."""
    argv = [
        str(script("flower-superexec")),
        f"--runtime-api-address=127.0.0.1:{port}",
        f"--root-certificates={home / 'pki' / 'ca.crt'}",
        f"--superexec-auth-secret-file={home / 'flower' / 'superexec.secret'}",
    ]
    return Process("superexec", argv, flower_environment(home))


def flower_environment(home: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return all the variables that Flower's processes and command get: no proxy, no telemetry, no update check.

    Args:
        home: the coordinator's home.
        environment: variables to take ours and a few of the system's from; this process's own by default.
    """
    ours = os.environ if environment is None else environment
    kept = {name: ours[name] for name in _HANDED_ON if name in ours}
    kept |= {name: value for name, value in ours.items() if name.startswith("FL_") and name not in _NOT_HANDED_ON}
    return (
        kept
        | {
            "FL_HOME": str(home),
            # Flower starts its other programs by their bare names.
            "PATH": f"{script('flwr').parent}:{os.defpath}",
            "FLWR_HOME": str(home / "flower"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": str(TASK_POLL_S),
        }
        | KEEPS_MEMORY
    )


def script(name: str) -> Path:
    """Return a program that was installed beside this Python."""
    return Path(sys.executable).parent / name
