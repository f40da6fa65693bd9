"""A real Ray cluster of two nodes on loopback, in a process of its own so that it goes when that goes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
STORE_BYTES = 80_000_000  # the least that Ray accepts is 75 MiB
# A dead node is known as one after seconds, not the minute that suits a network.
HEALTH = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}


class TwoNodes:
    """A running cluster."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.address = self._told()
        self.nodes = 2

    def lose_a_node(self) -> None:
        """Kill the second node's processes as a power cut would."""
        self._say("kill")
        self.nodes = 1

    def mend(self) -> None:
        """Put another in the place of one that was lost."""
        if self.nodes == 1:
            self._say("add")
            self.nodes = 2

    def _say(self, word: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self._told() == word

    def _told(self) -> str:
        assert self.process.stdout
        while line := self.process.stdout.readline():
            if line.startswith("cluster: "):
                return line.removeprefix("cluster: ").strip()
        raise AssertionError(f"the cluster ended: {self.process.wait()}")


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Run a cluster while the block runs."""
    # A short path: it begins the names of sockets, which have room for 107 bytes.
    with TemporaryDirectory(prefix="ray", dir="/tmp") as scratch:
        environment = os.environ | LOOPBACK | {"RAY_TMPDIR": scratch, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-m", "tests.simulations.factories_ray"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            yield TwoNodes(process)
            process.communicate()  # closes its input, at which it ends


def kill(node: Any) -> None:
    """Kill a node's raylet and then its workers, which would go on for a moment without it."""
    (raylet,) = [one.process.pid for one in node.all_processes["raylet"]]
    workers = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
    for process in (raylet, *map(int, workers)):
        os.kill(process, signal.SIGKILL)


def tell(word: str) -> None:
    sys.stdout.write(f"cluster: {word}\n")
    sys.stdout.flush()


def main() -> None:
    """Start the nodes, tell their address and do what standard input says until it ends."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_log_monitor": False}
    head = {**node, "include_dashboard": False, "no_monitor": True, "_system_config": HEALTH}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    second = cluster.add_node(**node)
    tell(cluster.address)
    for line in sys.stdin:
        if line.strip() == "kill":
            kill(second)
            cluster.remove_node(second, allow_graceful=False)
        else:
            second = cluster.add_node(**node)
        tell(line.strip())
    cluster.shutdown()


if __name__ == "__main__":
    main()
