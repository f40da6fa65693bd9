"""Whether the web predictor loses or doubles anything while its processes and its database are killed.

    nice python -m bench.web_kill [--predictions 200] [--clients 4] [--every 8] [--seed 1] [--json FILE]

A real `fl-web run` on a real MariaDB that flushes every commit to disk. Clients send distinct coarse cases, each with
an Idempotency-Key, and come again after a broken connection, a 503 or a 429. Meanwhile, after rests whose mean is
--every seconds, one of these is killed with SIGKILL: the web process, one of its children, the worker, the database
(which is started again over its data). At the end every accepted request must have one row that is done and one event
`prediction.made`, nothing may be left over, and the log's chain and signed heads must verify. A tiny model.

A prediction may be begun any number of times here; the product gives one up that has ended three workers.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.factories_mariadb import mariadb
from tests.webapp.factories import a_home
from tests.webapp.factories_drill import DURABLE, Clients, shortcomings, strike
from tests.webapp.factories_running import coarse_cases, running

KINDS = ("web", "web child", "worker", "database")


def drill(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    names = [f"user{number}" for number in range(options.clients)]
    chance, kills, began = random.Random(options.seed), Counter[str](), time.monotonic()
    with (
        mariadb(*DURABLE) as database,
        running(
            folder,
            a_home(folder / "home"),
            dict.fromkeys(names, "clinician"),
            database.fresh(),
            worker={"attempts": 1000},
        ) as server,
    ):
        clients = Clients(server, coarse_cases(folder / "case"), options.predictions)
        with clients.at_work(names):
            while not clients.until(options.predictions, chance.expovariate(1 / options.every)):
                kind = chance.choice(KINDS)
                if strike(server, database, kind):
                    kills[kind] += 1
                done = f"{time.monotonic() - began:6.0f} s, {clients.answered} answered, killed {dict(kills)}"
                print(done, file=sys.stderr, flush=True)
        took = time.monotonic() - began
        wrong = shortcomings(server, clients)
    again = sum(number for status, number in clients.answers.items() if status not in (200, 202))
    return {
        "predictions": clients.answered,
        "seconds": round(took),
        "kills": {kind: kills[kind] for kind in KINDS},
        "asked_again": again,
        "answers": {str(status): number for status, number in sorted(clients.answers.items())},
        "wrong": wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", type=int, default=200)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--every", type=float, default=8.0, help="seconds between kills, on average")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gliofed-bench-") as name:
        found = drill(Path(name), options)
    for what, value in found.items():
        print(f"{what:14}{value}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(1 if found["wrong"] else 0)


if __name__ == "__main__":
    main()
