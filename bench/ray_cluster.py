"""A hundred simulated sites on a Ray cluster of two nodes on this machine, beside the same federation in this process.

    python -m bench.ray_cluster CACHE [--sites 100] [--patients 3] [--rounds 2] [--grid 16]

Both start from the same recipes of sites: what crosses between processes is a few bytes of recipe, the weights and
counts. They must end with the same bits. CACHE keeps the patients. Times are
of one run each; the cluster's begins with its workers' imports.
"""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.simulations.factories_ray import LOOPBACK, two_nodes

os.environ |= LOOPBACK  # before Ray is imported


def main() -> None:
    """Run both and print their seconds."""
    from core.study import Study
    from simulations.ray_cluster import mapper
    from simulations.rounds import federate
    from simulations.tensor_cohort import MadeCohort, People

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--grid", type=int, default=16)
    given = parser.parse_args()
    study = Study(
        name="ray",
        model={"preset": "tiny"},
        preprocessing={"grid": given.grid},
        federation={"rounds": given.rounds},
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        sites = {
            f"site-{number:03d}": MadeCohort(
                given.cache, People(7, number, given.patients, size=given.grid), study, f"site-{number:03d}"
            )
            for number in range(given.sites)
        }
        begun = perf_counter()
        for site in sites.values():
            site()
        print(f"{given.sites} sites of {given.patients} patients made in {perf_counter() - begun:.0f} s")
        with mapper() as mapped:
            begun = perf_counter()
            here = federate(sites, study, folder / "here", mapped=mapped)
            print(f"in this process: {perf_counter() - begun:.1f} s")
        with two_nodes() as cluster, mapper(cluster.address) as mapped:
            begun = perf_counter()
            there = federate(sites, study, folder / "there", mapped=mapped)
            print(f"on two nodes of one processor each: {perf_counter() - begun:.1f} s")
    assert here.weights.tobytes() == there.weights.tobytes(), "the two trained different models"
    assert here.history == there.history, "the two counted differently"
    print(f"the same bits: {here.weights.size:,} weights, {len(here.history)} rounds and evaluations")


if __name__ == "__main__":
    main()
