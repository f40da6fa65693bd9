"""The web predictor under load: clients that never rest, while somebody else uses its pages.

    nice python -m bench.web_load [--clients 50] [--minutes 10] [--warm-up 2] [--database sqlite|mariadb] [--json FILE]

A real `fl-web run` with a tiny model. Each client, a user of its own, sends the next coarse case when the last is
answered (`Prefer: wait`); no two cases are the same. Beside them, in a process of their own, a clinician and an
auditor ask each of the page's other routes twice a second. Told at the end:

answers      of the clients by status (target: no 5xx); -1 is a connection that broke
lost         predictions that were accepted and have no row, or more or less than one event that says how it ended
memory       of the web's processes and of the worker's, every 5 s: the slope after the warm-up, by least squares
routes       milliseconds of the other routes, over HTTPS (target: p95 of 200)

The clients build and send their cases on the same machine.
"""

import argparse
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import numpy as np
from sqlalchemy import func, select

from core.records.db import open_database, reading
from core.records.web_tables import LogEntry, Prediction
from tests.factories_mariadb import mariadb
from tests.webapp.factories import a_home
from tests.webapp.factories_drill import DURABLE
from tests.webapp.factories_running import DistinctCases, Running, coarse_cases, running, trusting
from webapp import log
from webapp.checkpoints import head_signer
from webapp.guards import COOKIE

LOOK_S = 5.0
PAGE_EVERY_S = 0.5
ENDED = ("prediction.made", "prediction.failed")


@dataclass
class Load:
    """What clients have asked and been told.

    Attributes:
        answers: by status.
        accepted: every prediction that an answer named.
        done: those that were answered with their end.
        problems: what was refused or broke, and how often.
    """

    server: Running
    cases: DistinctCases
    until: float
    answers: "Counter[int]" = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    done: "Counter[str]" = field(default_factory=Counter)
    problems: "Counter[str]" = field(default_factory=Counter)
    _sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, name: str) -> None:
        """Send one case after the other until the time is over, and wait for the last."""
        http = self.server.client(name)
        while time.monotonic() < self.until:
            with self._lock:
                self._sent += 1
                number = self._sent
            headers = {"Content-Type": "application/zip", "Prefer": "wait=300"}
            answer = self._ask(http, "POST", "/predict", content=self.cases.zipped(number), headers=headers)
            while answer.get("state") in ("queued", "running"):
                answer = self._ask(http, "GET", f"/predict/{answer['id']}", headers={"Prefer": "wait=300"})
            if "id" in answer:
                with self._lock:
                    self.done[answer["state"]] += 1
        http.close()

    def _ask(self, http: httpx.Client, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = http.request(method, path, **more)
        except httpx.TransportError as error:
            with self._lock:
                self.answers[-1] += 1
                self.problems[type(error).__name__] += 1
            return {}
        told: dict[str, Any] = answer.json()
        with self._lock:
            self.answers[answer.status_code] += 1
            if "id" in told:
                self.accepted.add(told["id"])
            else:
                self.problems[told.get("problem", "")] += 1
        return told if "id" in told else {}


def use_pages(url: str, data: Path, cookies: dict[str, str], case: str, seconds: float) -> dict[str, list[float]]:
    """Ask the page's other routes, each twice a second, and return the seconds that each answer took."""
    spent: dict[str, list[float]] = {}
    clients = {
        name: httpx.Client(base_url=url, verify=trusting(data), timeout=60, headers={"Cookie": f"{COOKIE}={value}"})
        for name, value in cookies.items()
    }
    routes = [("clara", path) for path in ("/healthz", "/session", "/predict", f"/predict/{case}", "/versions")]
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        for name, path in (*routes, ("otto", "/log?limit=50")):
            start = time.monotonic()
            answer = clients[name].get(path)
            assert answer.status_code == 200, answer.text
            shown = path.partition("?")[0].replace(case, "<id>")
            spent.setdefault(shown, []).append(time.monotonic() - start)
        time.sleep(max(0.0, began + PAGE_EVERY_S - time.monotonic()))
    return spent


@contextmanager
def watched(server: Running) -> Iterator[list[dict[str, float]]]:
    """Yield what is noted of the memory meanwhile: seconds, and MB of web and worker, children included."""
    noted: list[dict[str, float]] = []
    over, began = threading.Event(), time.monotonic()

    def look() -> None:
        while not over.wait(LOOK_S):
            row = {"s": time.monotonic() - began}
            for name in ("web", "worker"):
                rss, pss = 0, 0
                for pid in server.processes(name):
                    with suppress(OSError):
                        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
                        told = {line.split()[0]: int(line.split()[1]) for line in lines}
                        rss, pss = rss + told["Rss:"], pss + told["Pss:"]
                row |= {f"{name} RSS": rss / 1e3, f"{name} PSS": pss / 1e3}
            noted.append(row)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield noted
    finally:
        over.set()
        thread.join()


def slopes(noted: list[dict[str, float]], warm_up_s: float) -> dict[str, dict[str, float]]:
    """Return megabytes at the end of the warm-up and at the last look, and megabytes an hour in between."""
    late = [row for row in noted if row["s"] >= warm_up_s]
    found = {}
    for name in late[0]:
        if name != "s" and len(late) > 1:
            hour, _ = np.polyfit([row["s"] / 3600 for row in late], [row[name] for row in late], 1)
            found[name] = {"warm": round(late[0][name]), "end": round(late[-1][name]), "MB/hour": round(float(hour), 1)}
    return found


def counted(server: Running, load: Load, before: int) -> dict[str, int]:
    """Count what should not be: of the database, when all is over."""
    engine = open_database(server.config.database_url)
    with reading(engine) as session:
        rows = set(session.scalars(select(Prediction.id)))
        counting = select(LogEntry.prediction, func.count()).where(LogEntry.action.in_(ENDED))
        events = dict(session.execute(counting.group_by(LogEntry.prediction)).all())
    signer = head_signer(server.config)
    verified = log.verify(engine, signer.checkpoints, signer.public)
    engine.dispose()
    return {
        "accepted": len(load.accepted),
        "without a row": len(load.accepted - rows),
        "rows beyond": len(rows - load.accepted) - before,
        "without one event": sum(events.get(one) != 1 for one in load.accepted),
        "events beyond": sum(events.values()) - before - len(load.accepted),
        "log verified": verified.events,
    }


def measure(folder: Path, url: str, options: argparse.Namespace) -> dict[str, Any]:
    names = [f"user{number:03d}" for number in range(options.clients)]
    users = dict.fromkeys([*names, "clara"], "clinician") | {"otto": "auditor"}
    with running(folder, a_home(folder / "home"), users, url) as server:
        cases = coarse_cases(folder / "case")
        signed_in = {name: server.client(name) for name in ("clara", "otto")}
        cookies = {name: client.cookies[COOKIE] for name, client in signed_in.items()}
        headers = {"Content-Type": "application/zip", "Prefer": "wait=300"}
        case = signed_in["clara"].post("/predict", content=cases.zipped(0), headers=headers).json()["id"]
        seconds = 60 * options.minutes
        load = Load(server, cases, time.monotonic() + seconds)
        threads = [threading.Thread(target=load.client, args=(name,)) for name in names]
        with watched(server) as noted, ProcessPoolExecutor(1, get_context("spawn")) as beside:
            for thread in threads:
                thread.start()
            pages = beside.submit(use_pages, server.url, server.config.data, cookies, case, seconds)
            spent = pages.result()
            for thread in threads:
                thread.join()
        server.stop()
        cuts = {route: quantiles(times, n=100) for route, times in spent.items()}
        return {
            "answers": dict(load.answers),
            "problems": dict(load.problems),
            "ended": dict(load.done),
            "predictions a minute": round(sum(load.done.values()) / options.minutes, 1),
            "counted": counted(server, load, 1),
            "routes": {route: [round(1e3 * cut[at]) for at in (49, 94, 98)] for route, cut in cuts.items()},
            "memory": slopes(noted, min(60 * options.warm_up, seconds / 2)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=2, help="minutes")
    parser.add_argument("--database", choices=("sqlite", "mariadb"), default="sqlite")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gliofed-bench-") as name, ExitStack() as stack:
        url = ""
        if options.database == "mariadb":
            url = stack.enter_context(mariadb(*DURABLE, "--innodb-buffer-pool-size=128M")).fresh()
        found = measure(Path(name), url, options)
    for what in ("answers", "problems", "ended", "predictions a minute", "counted"):
        print(f"{what:22}{found[what]}")
    print(f"{'route, ms':22}{'p50':>8}{'p95':>8}{'p99':>8}")
    for route, cut in found["routes"].items():
        print(f"{route:22}" + "".join(f"{value:8}" for value in cut))
    print(f"{'memory, MB':22}{'warm':>8}{'end':>8}{'MB/hour':>10}")
    for process, told in found["memory"].items():
        print(f"{process:22}{told['warm']:8}{told['end']:8}{told['MB/hour']:10}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
