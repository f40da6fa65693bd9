"""Whether Bayesian search finds good settings sooner than random search, replayed on a table of trained configurations.

    nice python -m bench.tuning_regret FOLDER [--seeds 20] [--trials 30] [--json FILE] [--picture FILE]

The table: 64 whole federations (8 learning rates, 2 networks, 2 batch sizes, 1 or 3 epochs a round, as many epochs in
all), three synthetic hospitals of 12 patients on a 32^3 grid, 6 epochs; the score is the pooled validation loss, by
which a deployment chooses its round. FOLDER keeps the patients and the table: interrupted, it goes on. Replay: each
sampler as `fl-simulate tune` uses it proposes settings, and the nearest configuration of the table is its score; the
learning rate is proposed between the table's ends, and a configuration that was seen already costs a trial once more.
Regret: the best loss so far less the lowest of the table. Mean over seeds, with Student's 95 % interval. One thread.
"""

import argparse
import json
import shutil
from itertools import product
from math import log
from pathlib import Path

import matplotlib as mpl
import numpy as np
import optuna
import torch
from matplotlib.figure import Figure

from core.config import validate
from core.files import write_atomically
from core.learning.intervals import mean_interval
from core.progress import Report, bars
from fl_client.training import seed_of
from simulations.plots import COLORS, DASHES, STYLE
from simulations.tuning_objective import make_cohorts, read_cohorts, train
from simulations.tuning_space import Tuning
from simulations.tuning_storage import sampler_of

RATE = "training.learning_rate"
RATES = [float(rate) for rate in np.geomspace(1e-3, 5e-2, 8)]
CHOICES = {"model.preset": ("tiny", "small"), "training.batch_size": (2, 6), "training.epochs_per_round": (1, 3)}
SAMPLERS = {"random": "random search", "tpe": "TPE", "gp": "Gaussian process"}
AT = (10, 20, 30)
# Trials before which both samplers of Optuna propose at random.
RANDOM = 10

Table = dict[str, float]


def the_tuning() -> Tuning:
    settings = {
        "goal": "loss",
        "people": {"sites": 3, "patients": 12, "controls": 0, "separability": 0.99, "seed": 11},
        "study": {
            "name": "bench",
            "validation_fraction": 0.4,
            "preprocessing": {"grid": 32},
            "federation": {"rounds": 6},
        },
        "search": {
            RATE: {"low": RATES[0], "high": RATES[-1], "log": True},
            **{name: {"choices": choices} for name, choices in CHOICES.items()},
        },
    }
    return validate(Tuning, settings, "the bench")


def train_table(folder: Path, report: Report) -> Table:
    """Every configuration's loss, those of an earlier call included."""
    tuning, path = the_tuning(), folder / "table.json"
    make_cohorts(tuning, folder / "people", 1, report)
    table: Table = json.loads(path.read_text()) if path.exists() else {}
    cohorts = read_cohorts(tuning, folder / "people")
    grid = list(product(RATES, *CHOICES.values()))
    for done, (rate, *chosen) in enumerate(grid, start=1):
        params = {RATE: rate, **dict(zip(CHOICES, chosen, strict=True))}
        if key_of(params) not in table:
            shutil.rmtree(folder / "run", ignore_errors=True)
            tried = train(tuning, tuning.study_of(params), cohorts, folder / "run", lambda *_: None)
            table[key_of(params)] = tried.value
            write_atomically(path, json.dumps(table, indent=1))
        report("configurations", done, len(grid))
    return table


def key_of(params) -> str:
    """The nearest configuration of the table."""
    rate = min(range(len(RATES)), key=lambda level: abs(log(RATES[level] / params[RATE])))
    return json.dumps([rate, *(params[name] for name in CHOICES)])


def replay(table: Table, kind: str, seed: int, trials: int) -> list[float]:
    """Regret after each trial."""
    distributions = the_tuning().distributions
    study = optuna.create_study(direction="minimize")
    seen = []
    for number in range(trials):
        study.sampler = sampler_of(kind, seed_of(seed, "trial", number) % 2**32)
        trial = study.ask(distributions)
        seen.append(table[key_of(trial.params)])
        study.tell(trial, seen[-1])
    return (np.minimum.accumulate(seen) - min(table.values())).tolist()


def draw(regrets: dict[str, np.ndarray]) -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure((6.5, 3.6), layout="constrained")
        axes = figure.subplots()
        for (kind, curves), color, dash in zip(regrets.items(), COLORS, DASHES, strict=False):
            trials = np.arange(1, curves.shape[1] + 1)
            low, high = np.array([mean_interval(column) for column in curves.T]).T
            axes.plot(trials, curves.mean(0), color=color, linestyle=dash, label=SAMPLERS[kind])
            axes.fill_between(trials, np.maximum(low, 0), high, color=color, alpha=0.15, linewidth=0)
        axes.axvline(RANDOM, color="0.6", linewidth=0.8, zorder=0)
        axes.annotate("random until here", (RANDOM, 1), (3, -8), fontsize=7, color="0.4",
                      xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
        axes.set(xlabel="trials", ylabel="regret (validation loss)", title="Search on a table of 64 configurations")
        axes.set_ylim(bottom=0)
        axes.legend()
        return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with bars() as report:
        table = train_table(arguments.folder, report)
        regrets = {}
        for done, kind in enumerate(SAMPLERS, start=1):
            runs = [replay(table, kind, seed, arguments.trials) for seed in range(arguments.seeds)]
            regrets[kind] = np.array(runs)
            report("samplers", done, len(SAMPLERS))
    losses = sorted(table.values())
    print(
        f"table: {len(losses)} configurations, loss {losses[0]:.3f} to {losses[-1]:.3f}, median {np.median(losses):.3f}"
    )
    for at in (at for at in AT if at <= arguments.trials):
        for kind, curves in regrets.items():
            after, chance = curves[:, at - 1], regrets["random"][:, at - 1]
            low, high = mean_interval(after) or (np.nan, np.nan)
            line = f"{at} trials, {SAMPLERS[kind]}: regret {after.mean():.4f} ({low:.4f} to {high:.4f})"
            line += f", best found by {int((after == 0).sum())} of {len(after)} seeds"
            apart = after - chance  # paired: with one seed all begin with the same random proposals
            low, high = mean_interval(apart) or (np.nan, np.nan)
            line += f", less random's {apart.mean():.4f} ({low:.4f} to {high:.4f})" if kind != "random" else ""
            print(line)
    if arguments.json:
        told = {"table": table, "regret": {kind: curves.tolist() for kind, curves in regrets.items()}}
        write_atomically(arguments.json, json.dumps(told))
    if arguments.picture:
        draw(regrets).savefig(arguments.picture, metadata={"Software": None})


if __name__ == "__main__":
    main()
