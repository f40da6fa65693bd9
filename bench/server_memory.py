"""Memory of the coordinator's process while it aggregates, by number of sites.

    python -m bench.server_memory [--megabytes 33] [--sites 4 16 64]

Each number of sites runs in a process of its own: the round loop of a deployment on a Grid whose answers lie on disk
and are read only when they are pulled, all of them there at once, which is the worst case. The peak is the process's.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

MEGABYTE = 1_000_000


def main() -> None:
    """Measure each number of sites and print the peaks beside that of no site's updates at all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=33)
    parser.add_argument("--sites", type=int, nargs="+", default=[4, 16, 64])
    arguments = parser.parse_args()
    first = None
    for sites in arguments.sites:
        with tempfile.TemporaryDirectory() as folder:
            script = f"from bench.server_memory import child; child({sites}, {arguments.megabytes}, {folder!r})"
            done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
        measured = json.loads(done.stdout.splitlines()[-1])
        first = first or measured["peak"]
        ratio = measured["peak"] / first
        print(
            f"{sites:3d} sites of {arguments.megabytes:g} MB: peak {measured['peak'] / MEGABYTE:6.0f} MB, "
            f"{measured['imports'] / MEGABYTE:.0f} MB of it before the first round; {ratio:.2f} of the first"
        )


def child(sites: int, megabytes: float, folder: str) -> None:
    """Run one round of so many sites and print this process's peak."""
    from flwr.supercore.task_identity import TaskIdentity

    from core.messages import Manifest, Part
    from core.records.db import open_database
    from core.study import FederationSettings, Study, TrainingSettings
    from fl_server.journal import Journal
    from fl_server.rounds import Plan, run_rounds

    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    names = tuple(f"site-{number:02d}" for number in range(sites))
    manifest = Manifest((Part("weights", (int(megabytes * MEGABYTE / 4),)),))
    study = Study(
        name="memory",
        training=TrainingSettings(epochs_per_round=1),
        federation=FederationSettings(rounds=1, quorum=sites, deadline_s=60, grace_s=0, max_update_norm=1e9),
    )
    initial = np.zeros(manifest.size, np.float32)
    imports = peak()
    journal = Journal(open_database(f"sqlite:///{folder}/records.db"), Path(folder) / "objects")
    plan = Plan("memory", Path(folder), lambda: names, journal, lambda _: None)
    state = run_rounds(disk_grid(names, manifest, Path(folder)), study, manifest, initial, plan)
    assert [len(record.sites) for record in state.history] == [sites, sites]
    # Site k adds k to every weight, all with as many cases: the mean is that of 0, 1, ..., n - 1.
    assert float(state.weights[0]) == (sites - 1) / 2
    print(json.dumps({"peak": peak(), "imports": imports}))


def disk_grid(names: tuple[str, ...], manifest: object, folder: Path) -> object:
    """Return a grid on which every site has answered by the time somebody asks."""
    from dataclasses import replace

    from flwr.app import Context, Message, RecordDict
    from flwr.clientapp import ClientApp

    from core.progress import silent
    from simulations.federation import InProcessGrid
    from tests.fl_server.factories_answers import RECEIPT, content_of, evaluation_records, update_records
    from tests.fl_server.factories_answers import an_update as update_of_a

    class DiskGrid(InProcessGrid):
        """Keeps tasks without their weights, and makes an answer when it is pulled."""

        def push_messages(self, messages: Iterable[Message]) -> list[str]:
            self.tasks = {f"{message.metadata.dst_node_id}-{len(self.by_node)}": message for message in messages}
            self.by_node[len(self.by_node)] = 0
            return list(self.tasks)

        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            return [self.answer(one, self.tasks.pop(one)) for one in message_ids if one in self.tasks]

        def answer(self, sent: str, task: Message) -> Message:
            site = names[task.metadata.dst_node_id - 2]
            number = int(task.metadata.group_id)
            task.metadata.__dict__["_message_id"] = sent
            update = replace(update_of_a("site-a", number, np.zeros(4, np.float32)), site=site, receipt=RECEIPT)
            if task.metadata.message_type == "evaluate":
                from core.messages import Evaluation

                records = evaluation_records(Evaluation(site, number, update.validation, RECEIPT))
            else:
                weights = np.load(folder / f"{site}.weights")
                records = update_records(replace(update, weights=weights, manifest=manifest.digest))
            return Message(content_of(records), reply_to=task)

    for place, name in enumerate(names):
        with (folder / f"{name}.weights").open("wb") as file:
            np.save(file, np.full(manifest.size, place, np.float32))
    contexts = {name: Context(1, node, {}, RecordDict(), {}) for node, name in enumerate(names, start=2)}
    grid = DiskGrid(contexts, 2, silent, lambda *_: [], ClientApp())
    grid.by_node = {}
    return grid


def peak() -> int:
    """Return this process's largest resident size so far in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
