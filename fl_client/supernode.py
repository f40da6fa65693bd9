"""Flower's SuperNode and SuperExec at a site: their command lines, their environment and what these name.

SuperExec, which starts a ClientApp for every message, is a process beside SuperNode, not its child: only then does a
secret keep other accounts of this machine from taking a task. How the two run is in fl_client/flower_process.py.
"""

import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from core.files import private_folder, write_atomically, write_private
from core.large_messages import KEEPS_MEMORY
from fl_client.flower_process import UNCALLED_POLL_S
from fl_client.paths import SiteHome


def silence(home: SiteHome) -> Path:
    """Return the file with which the gate tells SuperNode's process to end."""
    return home.run / "supernode.silent"


def bell(home: SiteHome) -> Path:
    """Return the socket with which the gate tells SuperExec that a task is here."""
    return home.run / "task.bell"


def shims(home: SiteHome) -> Path:
    """Return the folder of programs that stand in for Flower's own, see fl_client/warm_app.py."""
    return home.run / "shims"


def command(home: SiteHome, gate_port: int, runtime_port: int) -> tuple[list[str], dict[str, str]]:
    """Return SuperNode's command line, which holds no secret, and all of its environment.

    Args:
        home: the site's.
        gate_port: where the gate listens.
        runtime_port: a free port on loopback, where SuperNode will listen.
    """
    argv = [
        *(sys.executable, "-m", "fl_client.flower_process", "flower-supernode", str(silence(home))),
        *("--superlink", f"127.0.0.1:{gate_port}", "--root-certificates", str(home.root / "pki" / "gate.crt")),
        *("--auth-supernode-private-key", str(home.node_key), "--node-config", str(_node_config(home))),
        *("--host", "127.0.0.1", "--port", str(runtime_port)),
        *("--isolation", "process", "--superexec-auth-secret-file", str(_secret(home))),
    ]
    return argv, environment(home)


def superexec_command(home: SiteHome, runtime_port: int) -> tuple[list[str], dict[str, str]]:
    """Return SuperExec's command line and all of its environment; it waits until SuperNode listens."""
    argv = [
        *(sys.executable, "-m", "fl_client.flower_process", "flower-superexec", str(bell(home))),
        *("--insecure", "--runtime-api-address", f"127.0.0.1:{runtime_port}"),
        *("--superexec-auth-secret-file", str(_secret(home))),
    ]
    return argv, environment(home)


def environment(home: SiteHome) -> dict[str, str]:
    """Return all variables of Flower's processes at this site: no proxy, no phone-home, our shims first."""
    return {
        "PATH": f"{shims(home)}:{program('').parent}:/usr/bin:/bin",
        "HOME": str(home.root),
        "FLWR_HOME": str(home.root / "flower"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": str(UNCALLED_POLL_S),
        "NO_PROXY": "127.0.0.1,localhost",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        **KEEPS_MEMORY,
    }


def program(name: str) -> Path:
    """Return where a console script of this installation lies."""
    return Path(sys.executable).parent / name


def prepare(home: SiteHome, node_config: Mapping[str, str]) -> None:
    """Write what the command lines name.

    Args:
        home: the site's.
        node_config: what ClientApps get as `context.node_config`; it never leaves the site.
    """
    private_folder(home.root / "flower")
    private_folder(home.run)
    # A JSON string is a TOML string, but for escapes beyond the basic plane, which are left out.
    lines = [f"{json.dumps(key)} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in node_config.items()]
    write_private(_node_config(home), "".join(lines))
    write_private(_secret(home), secrets.token_hex(32))


def make_node_key(private: Path, public: Path) -> str:
    """Make SuperNode's pair of keys, write both, and return the public one in OpenSSH's format."""
    key = generate_private_key(SECP384R1())  # what `flwr supernode register` knows
    text = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    write_private(private, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    write_atomically(public, text)
    return text


def _node_config(home: SiteHome) -> Path:
    return home.run / "node.toml"


def _secret(home: SiteHome) -> Path:
    return home.run / "superexec.secret"
