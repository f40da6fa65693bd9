"""How long a round of stock Flower takes, tuned as far as its documentation allows: the twin of our own federation.

    python -m bench.stock_flower.run [--sites 4] [--rounds 5] [--megabytes 33]

A SuperLink and its SuperNodes on loopback with TLS, SuperNode authentication and SQLite, as Flower's documentation sets
them up: the nodes talk to the SuperLink directly, every message starts a ClientApp of its own. One flat array, one
exchange a round, no training. Tuned: SuperExec asks every 0.05 s, the round loop every 0.2 s.
"""

import argparse
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from statistics import median

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

APP = Path(__file__).resolve().parent / "app"
BIN = Path(sys.executable).parent
PATIENCE_S = 600


@dataclass(frozen=True)
class StockRun:
    """What a run of stock Flower took.

    Attributes:
        seconds: wall time of each round, from sending the weights to having the average.
        cpu_s: CPU seconds of all its processes, from their start until the run is over.
    """

    seconds: tuple[float, ...]
    cpu_s: float


def main() -> None:
    """Run and print the seconds of each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=33)
    arguments = parser.parse_args()
    run = run_stock(arguments.sites, arguments.rounds, int(arguments.megabytes * 250_000))
    print("rounds:", " ".join(f"{seconds:.2f}" for seconds in run.seconds), "s")
    print(f"median of all but the first: {median(run.seconds[1:] or run.seconds):.2f} s; in all {run.cpu_s:.1f} CPU s")


def run_stock(sites: int, rounds: int, values: int) -> StockRun:
    """Run stock Flower on loopback.

    Args:
        sites: number of SuperNodes.
        rounds: number of rounds.
        values: float32 values of the model.
    """
    with tempfile.TemporaryDirectory(prefix="stock-flower-") as name, ExitStack() as processes:
        folder = Path(name)
        make_certificates(folder)
        port = free_port()
        environment = environment_of(folder, port)
        running = [processes.enter_context(started("superlink", superlink(folder, port), environment, folder))]
        await_health(folder, port)
        for site in range(sites):
            make_node_key(folder / f"site-{site}")
            flwr("supernode", "register", f"{folder}/site-{site}.pub", "lab", environment=environment)
            node = supernode(folder, port, site)
            running.append(processes.enter_context(started(f"site-{site}", node, environment, folder)))
        result = folder / "result.json"
        config = f'sites={sites} rounds={rounds} values={values} result="{result}"'
        flwr("run", str(APP), "lab", "--run-config", config, environment=environment)
        seconds = tuple(await_result(result, folder))
        return StockRun(seconds, cpu_s(running))


def superlink(folder: Path, port: int) -> list[str]:
    """Return SuperLink's command line."""
    return [
        *(f"{BIN}/flower-superlink", "--host", "127.0.0.1", "--port", str(port), "--enable-supernode-auth"),
        *("--ssl-certfile", f"{folder}/server.crt", "--ssl-keyfile", f"{folder}/server.key"),
        *("--ssl-ca-certfile", f"{folder}/server.crt", "--database", f"{folder}/state.db"),
        "--disable-runtime-dependency-installation",
    ]


def supernode(folder: Path, port: int, site: int) -> list[str]:
    """Return a SuperNode's command line."""
    return [
        *(f"{BIN}/flower-supernode", "--superlink", f"127.0.0.1:{port}"),
        *("--root-certificates", f"{folder}/server.crt", "--auth-supernode-private-key", f"{folder}/site-{site}"),
        *("--host", "127.0.0.1", "--port", str(free_port()), "--node-config", f"site={site}"),
    ]


def environment_of(folder: Path, port: int) -> dict[str, str]:
    """Return the variables of every process, and write the connection that `flwr` uses."""
    home = folder / "flower"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "lab"\n\n[superlink.lab]\naddress = "127.0.0.1:{port}"\n'
        f'root-certificates = "{folder}/server.crt"\n'
    )
    return {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "HOME": str(folder),
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.05",
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def started(name: str, command: list[str], environment: dict[str, str], folder: Path) -> Iterator[int]:
    """Run a process while the block runs, and give its number; its output goes to a log beside the others."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            yield process.pid
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            # What it has started may live on: a SuperExec that asks for tasks does not always hear that it should end.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def flwr(*arguments: str, environment: dict[str, str]) -> None:
    """Run one `flwr` command to its end."""
    done = subprocess.run([f"{BIN}/flwr", *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"flwr {arguments[0]} failed: {done.stdout}{done.stderr}")


def await_health(folder: Path, port: int) -> None:
    """Return when SuperLink answers."""
    context = ssl.create_default_context(cafile=f"{folder}/server.crt")
    gives_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < gives_up:
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/health", context=context, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"SuperLink did not start: {(folder / 'superlink.log').read_text()[-2000:]}")


def await_result(result: Path, folder: Path) -> list[float]:
    """Return the seconds of each round when the run is over."""
    gives_up = time.monotonic() + PATIENCE_S
    while not result.exists():
        if time.monotonic() > gives_up:
            raise SystemExit(f"the run did not end: {(folder / 'superlink.log').read_text()[-2000:]}")
        time.sleep(0.2)
    seconds: list[float] = json.loads(result.read_text())["seconds"]
    return seconds


def cpu_s(processes: list[int]) -> float:
    """Return the CPU seconds so far of processes and all that they have started, dead or alive (proc(5), stat)."""
    ticks, children = {}, defaultdict(list)
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(") ")[2].split() if entry.name.isdigit() else []
        except OSError:
            continue  # it has ended meanwhile
        if fields:
            children[int(fields[1])].append(int(entry.name))
            ticks[int(entry.name)] = sum(int(field) for field in fields[11:15])
    total, waiting = 0, list(processes)
    while waiting:
        process = waiting.pop()
        total += ticks.get(process, 0)
        waiting += children[process]
    return total / os.sysconf("SC_CLK_TCK")


def make_certificates(folder: Path) -> None:
    """Write a self-signed server certificate for loopback and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    addresses = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    (folder / "server.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def make_node_key(path: Path) -> None:
    """Write a SuperNode's pair of keys."""
    key = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.with_suffix(".pub").write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
