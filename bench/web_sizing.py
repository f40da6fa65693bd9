"""How many threads and servers the web needs: clients that use its pages, beside some who wait for a prediction.

    nice python -m bench.web_sizing [--clients 50] [--waiting 20] [--turns 2] [--seconds 6] [--json FILE]

One or two real `fl-web run` on one folder and a real MariaDB that flushes every commit, behind Nginx over HTTPS, with
8, 20 and 80 threads each. No model is approved, so whoever waits for a prediction (`Prefer: wait=5`, again and again)
holds a thread all the time, and no prediction takes the cores. The other clients ask one route after the other, without
rest. Each choice is measured once a turn, first with some waiting, then with all asking; ratios are to one server with
80 threads in the same turn. Told, as medians of the turns and their range:

a second     answers to those who do not wait
p95          milliseconds until such an answer
MB           memory (PSS) of a server's web and of its worker

The clients are a process on the same machine.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.client import HTTPSConnection
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from tests.deploy.factories_back_ends import leader
from tests.deploy.factories_nginx import nginx_in_front
from tests.deploy.factories_site import HOSTS
from tests.factories_mariadb import mariadb
from tests.webapp.factories import a_home, retire
from tests.webapp.factories_drill import DURABLE
from tests.webapp.factories_running import Running, coarse_cases, running, sign_in, trusting
from webapp.guards import COOKIE
from webapp.models import current
from webapp.serving import development_certificate

# Servers, and threads of each.
CHOICES = [(1, 8), (1, 20), (2, 20), (1, 80), (2, 80)]
PLAIN = (1, 80)
USERS = [f"user{number}" for number in range(5)]
WARM_UP_S = 2.0
# Cookie and prediction of a user.
Client = tuple[str, str]


class Waiting(Running):
    """A server that has no model."""

    def until_ready(self) -> None:
        """Return when it answers."""
        while True:
            with suppress(httpx.TransportError, OSError), self._looking() as client:
                if client.get("/healthz").status_code == 200:
                    return
            time.sleep(0.1)


def ask(port: int, data: Path, clients: list[Client], waiting: int, seconds: float) -> list[float]:
    """Let all clients ask, the first so many wait, and return the seconds that each other answer took."""
    spent: list[float] = []
    begin, end = time.monotonic() + WARM_UP_S, time.monotonic() + WARM_UP_S + seconds

    def work(client: Client, *, waits: bool) -> None:
        cookie, case = client
        headers = {"Cookie": f"{COOKIE}={cookie}", **({"Prefer": "wait=5"} if waits else {})}
        routes = cycle([f"/predict/{case}"] if waits else ["/predict", f"/predict/{case}", "/tokens", "/versions"])
        with closing(HTTPSConnection("127.0.0.1", port, timeout=300, context=trusting(data))) as line:
            while (start := time.monotonic()) < end:
                line.request("GET", next(routes), headers=headers)
                answer = line.getresponse()
                assert answer.status == 200, answer.read()
                answer.read()
                if not waits and begin <= (answered := time.monotonic()) < end:
                    spent.append(answered - start)

    threads = [
        threading.Thread(target=work, args=(client,), kwargs={"waits": place < waiting})
        for place, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return spent


def clients_of(server: Running, folder: Path) -> list[Client]:
    """Sign every user in, and queue a prediction of each, for which there is no model any more."""
    cases, made = coarse_cases(folder / "case"), []
    retire(server.home, current(server.config))
    for number, name in enumerate(USERS):
        transport = httpx.HTTPTransport(uds=str(server.socket))
        with httpx.Client(base_url="http://localhost", transport=transport, timeout=60) as client:
            client.headers["X-Forwarded-Proto"] = "https"
            sign_in(client, name, server.secrets[name])
            cookie = client.cookies[COOKIE]
            headers = {"Cookie": f"{COOKIE}={cookie}", "Content-Type": "application/zip", "Prefer": "wait=0"}
            made.append((cookie, client.post("/predict", content=cases.zipped(number), headers=headers).json()["id"]))
    return made


@contextmanager
def serving(first: Running, folder: Path, servers: int, threads: int) -> Iterator[tuple[int, list[Waiting]]]:
    """Run so many servers with so many threads, and Nginx, whose port is yielded, while the block runs."""
    os.environ["FL_SERVER__THREADS"] = str(threads)
    sockets = [folder / f"{number}.sock" for number in range(servers)]
    back_ends = [Waiting(first.config, first.home, 0, first.secrets, path, name=f"web-{path.stem}") for path in sockets]
    certificate, key = development_certificate(first.config)
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        for one in back_ends:
            one.start()
        with nginx_in_front(place, sockets, certificate, key) as front:
            yield front.port, back_ends
    finally:
        for one in back_ends:
            one.stop()


def megabytes(server: Running, name: str) -> float:
    """PSS of a process and of what it has started."""
    total, group = 0, leader(server, name)
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(place.name)) == group:
                lines = (place / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1e3


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, dict[str, list[float]]] = {}
    users = dict.fromkeys(USERS, "clinician")
    sections = {"socket_at": folder / "first.sock", "server": HOSTS, "limits": {"queue": 1000}}
    with (
        mariadb(*DURABLE) as database,
        ProcessPoolExecutor(1, get_context("spawn")) as beside,
        running(folder, a_home(folder / "home"), users, database.fresh(), **sections) as first,
    ):
        known = clients_of(first, folder)
        first.stop()
        clients = [known[place % len(known)] for place in range(options.clients)]
        for turn in range(options.turns):
            for servers, threads in CHOICES[:: 1 if turn % 2 else -1]:
                with serving(first, folder, servers, threads) as (port, back_ends):
                    kept = found.setdefault(f"{servers} x {threads}", {})
                    for waiting in (options.waiting, 0):
                        given = (port, first.config.data, clients, waiting, options.seconds)
                        spent = beside.submit(ask, *given).result()
                        kept.setdefault(f"{waiting}: a second", []).append(len(spent) / options.seconds)
                        kept.setdefault(f"{waiting}: p95", []).append(p95(spent))
                    for name in ("web", "worker"):
                        kept.setdefault(f"{name} MB", []).append(megabytes(back_ends[-1], name))
                    print(turn, servers, threads, {name: round(values[-1], 1) for name, values in kept.items()})
    return found


def p95(spent: list[float]) -> float:
    return 1e3 * quantiles(spent, n=20)[18] if len(spent) > 1 else float("inf")


def shown(values: list[float], of: list[float] | None = None) -> str:
    """Median and range, or those of the ratios turn by turn."""
    told = [one / other for one, other in zip(values, of, strict=True)] if of else values
    digits = 2 if of else 0
    return f"{median(told):.{digits}f} ({min(told):.{digits}f} to {max(told):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--waiting", type=int, default=20)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gliofed-bench-") as name:
        found = measure(Path(name), options)
    plain = found[f"{PLAIN[0]} x {PLAIN[1]}"]
    for choice, kept in found.items():
        print(f"\n{choice}")
        for what, values in kept.items():
            ratio = "" if what.endswith("MB") else f", ratio {shown(values, plain[what])}"
            print(f"  {what:16}{shown(values)}{ratio}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
