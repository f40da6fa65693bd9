"""How fast auditors read a large log, and how fast it is verified: the web predictor's, on a real MariaDB.

    nice python -m bench.web_log [--events 1000000] [--pages 100] [--buffer-mb 128] [--json FILE]

The events are written in bulk through the same hashing, so that the chain is whole and its head signed: 40 users of
whom some do much and some little, 12 actions, 60,000 predictions, 5 model versions one after the other, two years.
Then for each kind of filter, --pages pages of 50 events each, with values drawn from the events: the newest page, and
one from a place drawn at random (by its cursor).

page      milliseconds of `webapp.log.page`: the query, its rows and their JSON-ready dictionaries (target: p95 of 20)
over HTTP GET /log through the whole application, which writes the event that the log was read, durably; no socket

Verifying: the chain's walk alone, with the comparison of the log's index, and the command `fl-web verify-audit` as a
whole, its start included (target: 50,000 events a second).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles

import pymysql
from sqlalchemy import Engine, make_url, text

from core.clock import text_of
from core.records import audit
from core.records.chain import end_of, hash_of
from core.records.db import open_database, reading
from core.signing import canonical
from tests.factories_mariadb import mariadb
from tests.webapp.factories import Server, a_config, a_server
from webapp import log
from webapp.checkpoints import head_signer

DURABLE = ("--innodb-flush-log-at-trx-commit=1", "--innodb-flush-method=fsync")
ACTIONS = {  # and how often
    "result.shown": 30,
    "file.shown": 25,
    "prediction.made": 10,
    "prediction.asked": 10,
    "scans.uploaded": 10,
    "session.opened": 6,
    "result.viewed": 4,
    "result.agreed": 2,
    "log.read": 1.5,
    "result.disagreed": 1,
    "access.denied": 0.4,
    "patient.erased": 0.1,
}
ABOUT_RESULTS = {"result.shown", "file.shown", "prediction.made", "result.viewed", "result.agreed", "result.disagreed"}
USERS = [f"user{number:02d}" for number in range(40)]
YEARS = timedelta(days=730)
AT_ONCE = 10_000
KINDS = (
    (),
    ("user",),
    ("action",),
    ("case",),
    ("model",),
    ("time",),
    ("user", "action"),
    ("user", "case"),
    ("user", "model"),
    ("user", "time"),
    ("action", "case"),
    ("action", "model"),
    ("action", "time"),
    ("case", "model"),
    ("case", "time"),
    ("model", "time"),
)


def entries(count: int, chance: random.Random) -> Iterator[tuple[str, str, str, dict[str, object]]]:
    """Yield moment, user, action and what is told, oldest first."""
    begin = datetime.now(UTC) - YEARS
    cases = [f"{chance.getrandbits(128):032x}" for _ in range(max(10, count * 6 // 100))]
    doing = list(ACTIONS)
    weights = [1 / (1 + place) for place in range(len(USERS))]
    for number in range(count):
        share = number / count
        (user,), (action,) = chance.choices(USERS, weights), chance.choices(doing, list(ACTIONS.values()))
        told: dict[str, object] = {}
        if not action.startswith(("session", "log", "access", "patient")):
            near = int(share * len(cases)) - int(chance.expovariate(0.01))  # what is looked at is mostly new
            told["prediction"] = cases[abs(near)]
        if action in ABOUT_RESULTS:
            told |= {"model": f"glioma-{int(share * 5)}-abcdef", "tumor_probability": round(chance.random(), 6)}
            told |= {"mgmt_probability": round(chance.random(), 6)} if chance.random() < 0.8 else {}
        yield text_of(begin + share * YEARS), user, action, told


def fill(url: str, count: int) -> list[tuple[str, str, str, dict[str, object]]]:
    """Write so many events behind those that are there, and return some of them."""
    engine, known = open_database(url), []
    with reading(engine) as session:
        first, last = end_of(session)
    engine.dispose()
    address = make_url(url)
    connection = pymysql.connect(
        user=address.username,
        password=address.password or "",
        database=address.database,
        unix_socket=str(address.query["unix_socket"]),
        charset="utf8mb4",
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SET unique_checks=0, foreign_key_checks=0")
        chained, indexed = [], []
        for seq, entry in enumerate(entries(count, random.Random(1)), first + 1):
            at, user, action, told = entry
            body = canonical(told)
            previous, last = last, hash_of(last, seq, at, f"user:{user}", action, body)
            chained.append((seq, at, f"user:{user}", action, body, previous, last))
            about = [told.get(name) for name in ("prediction", "model", "tumor_probability", "mgmt_probability")]
            indexed.append((seq, at, user, action, *about))
            if seq % 97 == 0:
                known.append(entry)
            if len(chained) == AT_ONCE or seq == first + count:
                cursor.executemany("INSERT INTO audit_events VALUES (%s, %s, %s, %s, %s, %s, %s)", chained)
                cursor.executemany("INSERT INTO log_entries VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", indexed)
                cursor.execute("UPDATE audit_head SET seq = %s, hash = %s", (seq, last))
                connection.commit()
                chained, indexed = [], []
    return known


def wanted(
    kind: tuple[str, ...], known: list[tuple[str, str, str, dict[str, object]]], chance: random.Random
) -> dict[str, str]:
    """Return filters of a kind that at least one event meets, for events about results where that is asked for."""
    while True:
        at, user, action, told = chance.choice(known)
        values = {"user": user, "action": action, "case": told.get("prediction"), "model": told.get("model")}
        if all(values.get(name, "any") for name in kind):
            break
    filters = {name: str(values[name]) for name in kind if name != "time"}
    if "time" in kind:
        moment = datetime.fromisoformat(at)
        around = timedelta(days=chance.choice((1, 7, 90)))
        filters |= {"since": text_of(moment - around)[:10], "until": text_of(moment + around)[:10]}
    return filters


def spread(spent: list[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile, in milliseconds."""
    cuts = quantiles(spent, n=20)
    return round(1e3 * cuts[9], 1), round(1e3 * cuts[18], 1)


def paging(server: Server, known: list[tuple[str, str, str, dict[str, object]]], pages: int) -> list[dict[str, object]]:
    chance, rows = random.Random(2), []
    auditor = server.browser("otto")
    reads = server.engine
    for kind in KINDS:
        for deep in (False, True):
            alone, over_http = [], []
            for _ in range(pages):
                filters = wanted(kind, known, chance)
                if deep:
                    filters["cursor"] = f"{chance.choice(known)[0]}_{10**9}"
                start = time.perf_counter()
                with reading(reads) as session:
                    log.page(session, server.vault, filters, 50)
                alone.append(time.perf_counter() - start)
                start = time.perf_counter()
                answer = auditor.get("/log", query_string={**filters, "limit": 50})
                over_http.append(time.perf_counter() - start)
                assert answer.status_code == 200, answer.text
            row = {"filter": " + ".join(kind) or "none", "place": "anywhere" if deep else "newest"}
            rows.append({**row, "page": spread(alone), "http": spread(over_http)})
            told = "".join(f"{f'{half} / {most}':>18}" for half, most in (spread(alone), spread(over_http)))
            print(f"{row['filter']:18}{row['place']:10}{told}", flush=True)
    return rows


def verifying(server: Server, home: Path) -> dict[str, float]:
    """Return the events a second of the chain's walk, of that with the index's comparison, and of the command."""
    signer, engine = head_signer(server.config), server.engine
    assert signer.private
    audit.sign_head(engine, signer.private, signer.checkpoints)
    began = time.perf_counter()
    count = audit.verify(engine, signer.checkpoints, signer.public).events
    walked = time.perf_counter()
    log.verify(engine, signer.checkpoints, signer.public)
    compared = time.perf_counter()
    (server.config.data / "web.toml").write_text(
        f"data = {json.dumps(str(server.config.data))}\n[site]\ndatabase = {json.dumps(server.config.database_url)}\n"
    )
    argv = [sys.executable, "-m", "webapp", "verify-audit", "--data", str(server.config.data)]
    started = time.perf_counter()
    said = subprocess.run(argv, env={**os.environ, "FL_HOME": str(home)}, capture_output=True, text=True, check=True)
    ended = time.perf_counter()
    assert said.stdout.startswith(f"Intact: {count} events"), said.stdout
    spent = {"chain alone": walked - began, "chain and index": compared - walked, "command": ended - started}
    return {name: round(count / seconds) for name, seconds in spent.items()}


def size_of(engine: Engine) -> str:
    with engine.connect() as connection:
        query = "SELECT SUM(data_length + index_length) / 1e6 FROM information_schema.tables"
        return f"{connection.scalar(text(query)):.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--buffer-mb", type=int, default=128, help="MariaDB's own default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="gliofed-bench-") as name,
        mariadb(*DURABLE, f"--innodb-buffer-pool-size={options.buffer_mb}M") as database,
    ):
        folder, url = Path(name), database.fresh()
        server = a_server(a_config(folder, url), {"otto": "auditor"})
        began = time.perf_counter()
        known = fill(url, options.events)
        print(f"{options.events:,} events written in {time.perf_counter() - began:.0f} s, {size_of(database.root)}")
        with database.root.begin() as connection:
            connection.execute(text(f"ANALYZE TABLE {make_url(url).database}.log_entries")).all()
        rates = verifying(server, folder / "home")
        print("verified, events a second: " + ", ".join(f"{name} {rate:,}" for name, rate in rates.items()))
        print(f"{'ms, p50 / p95':28}{'page':>18}{'over HTTP':>18}")
        rows = paging(server, known, options.pages)
        server.engine.dispose()
    if options.json:
        options.json.write_text(json.dumps({"verify": rates, "pages": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
