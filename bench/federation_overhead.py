"""What a simulated federation costs beside the same training in one plain PyTorch process.

    python -m bench.federation_overhead [--rounds 4] [--repeats 3]

Both sides train the same three sites from the same weights, validate at the same places, on one thread, and must end
with the same bits. They run in processes of their own, in turns, so that a busy machine burdens both alike. CPU seconds
are those of the whole process, imports included. The target is a ratio of at most 1.15.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from simulations.noise import write_noise

CASES = {"site-a": 16, "site-b": 16, "site-c": 16}
GRID = 48
STUDY = """name = "overhead"
[training]
epochs_per_round = 2
[federation]
rounds = {rounds}
"""


def main() -> None:
    """Measure in turns and print the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_sites(folder)
        (folder / "study.toml").write_text(STUDY.format(rounds=arguments.rounds))
        seconds: dict[str, list[float]] = {"plain": [], "federation": []}
        for repeat in range(arguments.repeats):
            digests = set()
            for side, measured in seconds.items():
                answer = measure(side, folder, folder / f"run-{repeat}")
                measured.append(answer["cpu"])
                digests.add(answer["sha256"])
                print(f"{side:>10}: {answer['cpu']:6.1f} CPU s, of which {answer['imports']:.1f} before the work began")
            assert len(digests) == 1, "the two sides trained different models"
    plain, federation = median(seconds["plain"]), median(seconds["federation"])
    print(f"the same bits; federation / plain = {federation:.1f} / {plain:.1f} = {federation / plain:.3f}")


def make_sites(folder: Path) -> None:
    """Write three hospitals of noise: what the images show does not change what training costs."""
    for site, number in CASES.items():
        write_noise(folder / site, site, number, GRID)
        (folder / f"{site}.toml").write_text(
            f'[site]\nname = "{site}"\ndata = "{folder / site}"\nprepared = "{folder / site}"\n'
            '[compute]\ndevice = "cpu"\nthreads = 1\n'
        )


def measure(side: str, folder: Path, run: Path) -> dict[str, float]:
    """Run one side in a process of its own and return what it says of itself."""
    script = f"import sys; from bench.federation_overhead import child; child({side!r}, sys.argv[1:])"
    command = [sys.executable, "-c", script, str(folder), str(run)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def child(side: str, arguments: list[str]) -> None:
    """Do one side's work and print its CPU seconds and the digest of its final weights."""
    folder, run = map(Path, arguments)
    weights, imports = (train_plainly if side == "plain" else federate)(folder, run)
    print(json.dumps({"cpu": cpu(), "imports": imports, "sha256": hashlib.sha256(weights).hexdigest()}))


def federate(folder: Path, run: Path) -> tuple[bytes, float]:
    """Train by the federation's own apps."""
    os.environ["FL_HOME"] = str(run)
    from fl_server.checkpoints import round_weights
    from simulations.federation import run_federation

    imports = cpu()
    result = run_federation([folder / f"{site}.toml" for site in CASES], folder / "study.toml", run)
    return round_weights(run, result.history[-1].round - 1).tobytes(), imports


def train_plainly(folder: Path, _run: Path) -> tuple[bytes, float]:
    """Train by a loop that keeps everything in memory, as a script without a federation would."""
    import torch

    from core.config import load_config
    from core.learning.evaluation import evaluate
    from core.learning.model import build_model
    from core.learning.weights import flatten, restore
    from core.study import Study
    from fl_client.dataset import load_cohort
    from fl_client.training import train_one_round

    imports = cpu()
    torch.set_num_threads(1)
    study = load_config(Study, folder / "study.toml")
    cohorts = {site: load_cohort(folder / site, study, site) for site in CASES}
    model = build_model(study.model, study.seed)
    weights = flatten(model)
    for number in range(1, study.federation.rounds + 1):
        total = np.zeros(len(weights))
        for site, cohort in cohorts.items():
            restore(model, weights)
            evaluate(model, cohort.validation)
            train_one_round(model, cohort.training, study, site, number)
            total += flatten(model).astype(np.float64) * len(cohort.training)
        weights = (total / sum(len(cohort.training) for cohort in cohorts.values())).astype(np.float32)
    restore(model, weights)
    for cohort in cohorts.values():
        evaluate(model, cohort.validation)
    return weights.tobytes(), imports


def cpu() -> float:
    """Return the CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
