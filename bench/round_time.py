"""How long a round takes above the slowest site's own training: this federation beside tuned stock Flower, in one run.

    python -m bench.round_time [--sites 4] [--rounds 5] [--models tiny large] [--turns 1]

Ours is a whole deployment on loopback: Nginx with mutual TLS, SuperNode authentication, each site's gate and resident
trainer, audit logs, records. Stock is bench/stock_flower: SuperLink and SuperNodes with TLS and authentication and
nothing between, no training. Both move one flat array of the same size, once down and once up a site and round. The
first round of each is left out: there Flower installs the app. Targets: at most 0.6 for a tiny model and for 33 MB.

Where the time goes is read from both sides' audit logs: from the opening of the round until the slowest site has its
task, its training, and from then until the round is closed.
"""

import argparse
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.stock_flower.run import run_stock
from core.clock import moment_of
from core.learning.model import build_model
from core.learning.weights import manifest_of
from core.records import audit
from core.records.db import open_database, reading
from core.study import FederationSettings, ModelSettings, PreprocessingSettings, Study, TrainingSettings
from simulations.local import run_local_federation

GRID = 16


@dataclass(frozen=True)
class Spent:
    """Where the seconds of one round went.

    Attributes:
        down: until the slowest site's trainer had the task.
        training: of the slowest site.
        up: from the slowest site's update until the round was closed.
        overhead: the whole round less the training of the slowest site.
    """

    down: float
    training: float
    up: float
    overhead: float


def main() -> None:
    """Measure each model and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["tiny", "large"])
    parser.add_argument("--turns", type=int, default=1)
    arguments = parser.parse_args()
    for preset in arguments.models:
        study = study_of(preset, arguments.sites, arguments.rounds)
        values = manifest_of(build_model(study.model, 0)).size
        ours: list[Spent] = []
        stock: list[float] = []
        for _ in range(arguments.turns):
            stock += run_stock(arguments.sites, arguments.rounds, values).seconds[1:]
            ours += rounds_of(study, arguments.sites)[1:]
        tell(f"{preset}, {values * 4 / 1e6:.2f} MB, {arguments.sites} sites", stock, ours)


def tell(title: str, stock: list[float], ours: list[Spent]) -> None:
    """Print one model's figures."""
    overhead = median(spent.overhead for spent in ours)
    print(f"{title}: load {os.getloadavg()[0]:.1f}")
    print(f"  stock: median {median(stock):.2f} s ({min(stock):.2f} to {max(stock):.2f})")
    print(
        f"  ours above training: median {overhead:.2f} s ({min(s.overhead for s in ours):.2f} to "
        f"{max(s.overhead for s in ours):.2f}): {median(s.down for s in ours):.2f} s until the slowest site has the "
        f"task, {median(s.up for s in ours):.2f} s from its update to the next round; training "
        f"{median(s.training for s in ours):.2f} s"
    )
    print(f"  ours / stock = {overhead / median(stock):.2f}", flush=True)


def study_of(preset: str, sites: int, rounds: int) -> Study:
    """Return a study whose training is short and whose model is of the preset's size."""
    return Study(
        name=f"bench-{preset}",
        validation_fraction=0.3,
        model=ModelSettings.model_validate({"preset": preset}),
        preprocessing=PreprocessingSettings(grid=GRID),
        training=TrainingSettings(epochs_per_round=1),
        federation=FederationSettings(rounds=rounds, quorum=sites, deadline_s=300, grace_s=60),
    )


def rounds_of(study: Study, sites: int) -> list[Spent]:
    """Run a deployment and return where each training round's time went."""
    with tempfile.TemporaryDirectory(prefix="gliofed-bench-") as name:
        folder = Path(name) / "federation"
        found = run_local_federation(folder, sites, study)
        server = times(folder / "coordinator")
        each = [times(folder / f"site-{number}") for number in range(1, sites + 1)]
    spent = []
    for place in range(study.federation.rounds):
        opened, closed = server["round.opened"][place], server["round.closed"][place]
        received = [site["task.received"][place] for site in each]
        sent = [site["update.sent"][place] for site in each]
        training = max(after - before for before, after in zip(received, sent, strict=True))
        assert abs((closed - opened) - found.rounds[place]["seconds"]) < max(2.0, 0.5 * (closed - opened))
        spent.append(Spent(max(received) - opened, training, closed - max(sent), closed - opened - training))
    return spent


def times(home: Path) -> dict[str, list[float]]:
    """Return when each kind of event of a side's log happened, in seconds, in their order."""
    found: dict[str, list[float]] = {}
    with reading(open_database(f"sqlite:///{home / 'records.db'}")) as session:
        for event in audit.events(session, limit=10_000):
            if "round" not in json.loads(event.body):
                continue
            found.setdefault(event.action, []).append(moment_of(event.at).timestamp())
    return found


if __name__ == "__main__":
    main()
