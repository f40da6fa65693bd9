"""What the gate's inspection and the server's journal cost: rounds of one deployment with and without, in turns.

    python -m bench.round_cost [--sites 2] [--rounds 11] [--models tiny large] [--turns 2]

With: the product. Without: the same processes, but each gate passes whatever comes on at once, piece by piece, unread
and unnoted, and the ServerApp keeps what arrives in memory and writes nothing of it down. The first round of each is
left out: there Flower installs the app. Target: a round with takes at most 1.1 of one without.

The two kinds of deployment take turns, and so does which comes first. Seconds of whole rounds, training included, which
is of moments here: with real training both shares are smaller.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench.round_time import study_of
from simulations.altered_python import altered_python
from simulations.local import run_local_federation

# Run in each module once it is loaded.
WITHOUT = {
    "fl_client.gate": """
def _passes_on(self, call, request):
    if call == PULL_MESSAGES:
        return self._await_message(request)
    if call == PULL_OBJECT:
        return self._await_object(request)
    answer = self._ask(call, request)
    if answer.status == OK and call == CONFIRM_MESSAGE:
        ring(self.settings.bell)
    return answer

Gate._answer = _passes_on
""",
    "fl_client.passage": """
from fl_client.fleet_messages import message_in

Passage.admit = lambda self, pulled: message_in(pulled) is not None
Passage.came = lambda self, body, answer: None
""",
    "fl_server.journal": """
def _keep(self, answer):
    self._whole = getattr(self, "_whole", {})
    self._whole[answer.site] = answer
    self.arrivals[answer.site] = Arrival(site=answer.site, answer_sha256="", weights_sha256="", bytes=0, receipt="")
    self.answers[answer.site] = _without_weights(answer)

Journal.keep = _keep
Journal.ask = lambda self, sites: None
Journal.__getitem__ = lambda self, site: self._whole[site]
""",
}


def main() -> None:
    """Measure each model and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--models", nargs="+", default=["tiny", "large"])
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(seconds_of(arguments.models[0], arguments.sites, arguments.rounds)))
        return
    with tempfile.TemporaryDirectory(prefix="gliofed-bench-") as name:
        pythons = {"with": Path(sys.executable), "without": altered_python(Path(name) / "python", WITHOUT)}
        for preset in arguments.models:
            found: dict[str, list[float]] = {"with": [], "without": []}
            for turn in range(arguments.turns):
                for kind in sorted(found, reverse=bool(turn % 2)):
                    found[kind] += measured(pythons[kind], preset, arguments.sites, arguments.rounds)
            tell(f"{preset}, {arguments.sites} sites", found)


def measured(python: Path, preset: str, sites: int, rounds: int) -> list[float]:
    """Run a deployment in processes of one Python and return its rounds' seconds, but for the first."""
    options = ["--one", "--models", preset, "--sites", str(sites), "--rounds", str(rounds)]
    command = [str(python), "-m", "bench.round_cost", *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds[1:]


def seconds_of(preset: str, sites: int, rounds: int) -> list[float]:
    """Run a deployment and return its training rounds' seconds."""
    with tempfile.TemporaryDirectory(prefix="gliofed-bench-") as name:
        found = run_local_federation(Path(name) / "federation", sites, study_of(preset, sites, rounds))
    return [float(one["seconds"]) for one in found.rounds[:rounds]]


def tell(title: str, found: dict[str, list[float]]) -> None:
    """Print one model's figures."""
    print(f"{title}: load {os.getloadavg()[0]:.1f}")
    for kind, each in found.items():
        print(f"  {kind}: median {median(each):.2f} s ({min(each):.2f} to {max(each):.2f}), {len(each)} rounds")
    print(f"  with / without = {median(found['with']) / median(found['without']):.2f}", flush=True)


if __name__ == "__main__":
    main()
