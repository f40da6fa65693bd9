"""Events a second that the audit log takes and verifies, on SQLite and on MariaDB, and how fast a database opens.

    python -m bench.audit [--events 20000]

Each database is a fresh one in a temporary folder; both commit to disk. MariaDB is a server of its own over a Unix
socket. An event is what a round writes: 170 bytes of body. The best of five is told for what is repeated.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from core.records import audit
from core.records.db import open_database, transaction
from tests.factories_mariadb import mariadb

BODY = {"run": "demo-20261124-1", "sites": ["north", "south"], "bytes": 33_554_432, "receipt": "a" * 64, "loss": 0.4321}


def append(engine: Engine, first: int, last: int) -> None:
    with transaction(engine) as session:
        for number in range(first, last):
            audit.append(session, "site:north", "update.received", round=number, **BODY)


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return min(spent)


def measure(url: str, events: int, folder: Path) -> None:
    first = seconds(lambda: open_database(url).dispose())
    again = seconds(lambda: open_database(url).dispose(), 5)
    engine = open_database(url)
    kind = {"sqlite": "SQLite", "mysql": "MariaDB"}[engine.dialect.name]
    print(f"{kind}: open and make the tables {first * 1e3:.0f} ms, open what is up to date {again * 1e3:.1f} ms")
    single = seconds(lambda: [append(engine, n, n + 1) for n in range(500)])
    many = seconds(lambda: [append(engine, n, n + 100) for n in range(500, events, 100)])
    print(
        f"{kind}: append {500 / single:,.0f} events/s one a transaction, {(events - 500) / many:,.0f} a hundred at once"
    )
    key, file = Ed25519PrivateKey.generate(), folder / f"{kind}.jsonl"
    signing = seconds(lambda: audit.sign_head(engine, key, file))
    spent = seconds(lambda: audit.verify(engine, file, key.public_key()), 5)
    print(f"{kind}: verify {events / spent:,.0f} events/s; sign the first head of {events:,} in {signing * 1e3:.0f} ms")
    engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure(f"sqlite:///{folder / 'records.db'}", options.events, folder)
        with mariadb("--innodb-flush-log-at-trx-commit=1", "--innodb-flush-method=fsync") as server:
            measure(server.fresh(), options.events, folder)


if __name__ == "__main__":
    main()
