"""Memory and rounds of a whole deployment of processes on loopback, by number of sites.

    python -m bench.deployed_memory [--sites 4 8] [--rounds 3] [--model large]

Each process's peak is read from /proc while it runs. Of the coordinator's, the ServerApp aggregates and SuperLink holds
what is on its way. The ServerApp may not grow with the number of sites. A site's processes are each site's own.
"""

import argparse
import os
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from bench.round_time import study_of
from simulations.local import run_local_federation

LOOK_S = 0.5
MEGABYTE = 1e6
# A word of a process's command line, and what to call it.
PROGRAMS = {
    "flwr-serverapp": "ServerApp",
    "flower-superlink": "SuperLink",
    "fl_server.service": "site API",
    "flower-supernode": "SuperNode",
    "fl_client.service": "gate and agent",
    "fl_client.trainer_process": "trainer",
    "fl_client.warm_app": "ClientApp",
}


def main() -> None:
    """Run each number of sites and print the highest peak of each kind of process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="large")
    arguments = parser.parse_args()
    for sites in arguments.sites:
        with tempfile.TemporaryDirectory(prefix="gliofed-bench-") as name:
            peaks: dict[str, int] = defaultdict(int)
            done = Event()
            watching = Thread(target=watch, args=(Path(name), peaks, done))
            watching.start()
            try:
                found = run_local_federation(
                    Path(name) / "federation", sites, study_of(arguments.model, sites, arguments.rounds)
                )
            finally:
                done.set()
                watching.join()
        print(
            f"{sites} sites, rounds of {', '.join(str(round(one['seconds'], 1)) for one in found.rounds)} s, "
            f"counted {[one['sites'] for one in found.rounds]}, audit {found.audit}"
        )
        for program in PROGRAMS.values():
            print(f"  {program:15} {peaks[program] / MEGABYTE:6.0f} MB", flush=True)


def watch(folder: Path, peaks: dict[str, int], done: Event) -> None:
    """Note the peaks of all processes whose home lies in a folder."""
    while not done.wait(LOOK_S):
        for process in Path("/proc").glob("[0-9]*"):
            # Gone meanwhile, or somebody else's.
            with suppress(OSError):
                if os.fsencode(f"{folder}/") not in (process / "environ").read_bytes():
                    continue
                command = (process / "cmdline").read_text()
                program = next((name for word, name in PROGRAMS.items() if word in command), "")
                lines = (process / "status").read_text().splitlines()
                peak = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
                peaks[program] = max(peaks[program], peak)


if __name__ == "__main__":
    main()
