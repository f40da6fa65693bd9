"""How long a clinician waits for one full-size case, and what the service adds to what the predictor alone takes.

    nice python -m bench.web_latency CACHE [--turns 3] [--threads 2] [--preset small] [--grid 96] [--json FILE]

CACHE keeps the case: four axial series of 240x240 pixels and about 150 slices of 1 mm, simulated once. A real `fl-web
run` over HTTPS with SQLite, and an approved model of fresh weights. In turns: the case is sent as a zip to the server,
and a fresh process asks `core.predictor.predict_case` about the same files in a folder; each turn has other pixels, so
that no answer is remembered. Both have answered a coarse case before, for what is loaded once. Seconds, from the last
byte sent:

look through   receive, encrypt, unpack, check, find the series, draw thumbnails, write the draft down
queue          until the worker has it
decrypt to predict, explain and keep   the worker's steps; explain and keep make the viewer's files
answer         what is left: until the client has the answer
service        all of it but explain and keep
alone          what `predict_case` does, without imports and loading the model
overhead       service over alone, less one (target: at most 10 %)
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from statistics import median

import httpx
import torch

from core.clock import moment_of
from core.imaging.preprocessing import prepare_case
from core.imaging.reading import read_case
from core.predictor import load_predictor, predict_case, predict_prepared
from core.records.db import open_database, reading
from core.records.web_tables import Prediction
from core.signing import load_public
from core.study import ModelSettings, PreprocessingSettings, Study
from simulations.hospitals import plan_hospital, write_patient
from simulations.scanners import Protocol, scanner_of
from tests.webapp.factories import a_home
from tests.webapp.factories_running import IDENTITY, DistinctCases, Running, coarse_cases, running

STEPS = ("decrypt", "read", "prepare", "predict", "explain", "keep")
VIEWER = ("explain", "keep")
PIECE = 2**18


def full_size(cache: Path) -> Path:
    """Return the folder of the case, made where it is missing."""
    case = cache / "train" / IDENTITY
    if not case.exists():
        scanner = scanner_of(0)
        fine = tuple(Protocol(one.description, "axial", 240, 1.0, 1.0, 1.0) for one in scanner.protocols)
        plan = replace(plan_hospital(7, 0, 1, 0, 0.99)[0], identity=IDENTITY)
        cache.mkdir(parents=True, exist_ok=True)
        write_patient(cache, replace(scanner, protocols=fine), plan, coarse=False)
    return case


def asked(server: Running, client: httpx.Client, body: bytes) -> dict[str, float]:
    """Send a case, wait for its answer, and return the seconds of each step from the last byte on."""
    last = [0.0]

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), PIECE):
            yield body[start : start + PIECE]
        last[0] = time.time()

    headers = {"Content-Type": "application/zip", "Content-Length": str(len(body)), "Prefer": "wait=300"}
    answer = client.post("/predict", content=pieces(), headers=headers)
    end = time.time()
    told = answer.json()
    assert told.get("state") == "done", answer.text
    engine = open_database(server.config.database_url)
    with reading(engine) as session:
        row = session.get_one(Prediction, told["id"])
        queued, started = (moment_of(str(at)).timestamp() for at in (row.queued_at, row.started_at))
    engine.dispose()
    seconds = {"look through": queued - last[0], "queue": started - queued}
    seconds |= {step: told["result"]["seconds"][step] for step in STEPS}
    seconds["answer"] = (end - last[0]) - sum(seconds.values())
    whole = end - last[0]
    return {**seconds, "whole": whole, "service": whole - sum(seconds[step] for step in VIEWER)}


def alone(home: Path, warm: bytes, body: bytes, threads: int) -> dict[str, float]:
    """Return the seconds that the predictor takes for a case in a fresh process, by step."""
    with tempfile.TemporaryDirectory(prefix="gliofed-bench-") as folder:
        for name, content in (("warm", warm), ("case", body)):
            with zipfile.ZipFile(BytesIO(content)) as archive:
                archive.extractall(Path(folder) / name)
        argv = [sys.executable, "-m", "bench.web_latency", str(home), "--alone", folder, "--threads", str(threads)]
        said = subprocess.run(argv, stdout=subprocess.PIPE, check=True, env=os.environ, text=True)
    told: dict[str, float] = json.loads(said.stdout)
    return {f"alone: {step}": seconds for step, seconds in told.items()} | {"alone": sum(told.values())}


def predict_alone(home: Path, folder: Path) -> None:
    version = next(path for path in (home / "registry").iterdir() if path.is_dir())
    predictor = load_predictor(version, load_public(home / "keys" / "coordinator.pub"))
    predict_case(predictor, folder / "warm")
    begun = time.perf_counter()
    case = read_case(folder / "case")
    read = time.perf_counter()
    prepared = prepare_case(case.volumes, predictor.study.preprocessing)
    was_prepared = time.perf_counter()
    predict_prepared(predictor, prepared)
    end = time.perf_counter()
    print(json.dumps({"read": read - begun, "prepare": was_prepared - read, "predict": end - was_prepared}))


def measure(folder: Path, case: Path, options: argparse.Namespace) -> list[dict[str, float]]:
    model, grid = ModelSettings(preset=options.preset), PreprocessingSettings(grid=options.grid)
    home = a_home(folder / "home", Study(name="bench", model=model, preprocessing=grid))
    cases, warm = DistinctCases(case), coarse_cases(folder / "coarse").zipped(1)
    turns = []
    with running(folder, home, {"anna": "clinician"}, worker={"threads": options.threads}) as server:
        client = server.client("anna")
        asked(server, client, warm)
        for turn in range(options.turns):
            body = cases.zipped(100 + turn)
            row = asked(server, client, body)
            row |= alone(home, warm, body, options.threads)
            row["overhead"] = row["service"] / row["alone"] - 1
            turns.append(row)
            print(f"turn {turn + 1}: {row['service']:.2f} s, {row['alone']:.2f} s alone", file=sys.stderr, flush=True)
    return turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--grid", type=int, default=96)
    parser.add_argument("--coarse", action="store_true", help="a coarse case instead, to try this out")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.alone:
        predict_alone(options.cache, options.alone)
        return
    with tempfile.TemporaryDirectory(prefix="gliofed-bench-") as name:
        if options.coarse:
            coarse_cases(options.cache / "coarse")
        case = options.cache / "coarse" if options.coarse else full_size(options.cache)
        turns = measure(Path(name), case, options)
    print(f"{'seconds':14}{'median':>9}   turns")
    for what in turns[0]:
        values = [turn[what] for turn in turns]
        if what == "overhead":
            print(f"{what:14}{median(values):9.1%}   " + "  ".join(f"{value:.1%}" for value in values))
        else:
            print(f"{what:14}{median(values):9.3f}   " + "  ".join(f"{value:.3f}" for value in values))
    if options.json:
        options.json.write_text(json.dumps(turns, indent=1) + "\n")


if __name__ == "__main__":
    main()
