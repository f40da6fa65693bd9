"""A whole federation in one process: the ClientApp and ServerApp of a deployment, on a Grid without a network.

Sites train one after another while the round is sent out, so that a round's deadline counts no other site's work; each
is seeded by itself, so the bits are those of a deployment. Starting up costs imports and nothing else.
"""

import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import NoReturn

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from core.config import load_config
from core.errors import ConfigError
from core.progress import Report, silent
from core.records.db import open_database
from core.records.runs import create_run, move_run, run_of
from core.study import Study
from fl_client.client_app import make_client_app
from fl_client.config import SiteConfig
from fl_server.checkpoints import RoundRecord, best_round, read_history
from fl_server.config import database_url
from fl_server.server_app import make_server_app

RUN_ID = 1

# Given a site's name, the task and a way to the site's honest answer: what arrives instead, in this order.
Fault = Callable[[str, Message, Callable[[], Message]], list[Message]]


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        version: the model version in the registry.
        best_round: the round it is of.
        history: every try of every round.
    """

    version: str
    best_round: int
    history: tuple[RoundRecord, ...]


def run_federation(
    sites: list[Path],
    study: Path,
    folder: Path,
    report: Report = silent,
    faults: Fault | None = None,
    *,
    waits: bool = False,
) -> RunResult:
    """Run a study over sites on this machine, or what is left of it.

    The run is entered in this home's records and its model in this home's registry, as a coordinator's are.

    Args:
        sites: each site's site.toml; its cohort is prepared already.
        study: study.toml.
        folder: the run's folder; the same folder again resumes the run, or returns it where it is finished.
        report: told after each site's work in each round.
        faults: for tests and drills, what goes wrong at which site.
        waits: whether a round waits for its deadline and asks a site that failed again.
    Raises: FLError: as in a deployment.
    """
    # What a SuperLink tells a task's process about itself; messages cannot be made without it.
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = RUN_ID
    names = {load_config(SiteConfig, path).site.name: path for path in sites}
    if len(names) < len(sites):
        raise ConfigError("Two sites carry the same name", fix="give every site.toml a site.name of its own")
    settings = load_config(Study, study, {})
    contexts = {
        name: Context(RUN_ID, node, {"site-config": str(path)}, RecordDict(), {})
        for node, (name, path) in enumerate(names.items(), start=2)
    }
    grid = InProcessGrid(contexts, settings.federation.rounds + 1, report, faults or _honest, make_client_app(study))
    records = open_database(database_url())
    run = f"{settings.name}-{sha256(str(folder.absolute()).encode()).hexdigest()[:12]}"
    create_run(
        records,
        run=run,
        study=settings.name,
        folder=str(folder.absolute()),
        sites=sorted(names),
        actor="researcher",
        state="starting",
    )
    if run_of(records, run).state in ("paused", "failed", "stopped", "running"):
        move_run(records, run, "starting", actor="researcher")
    make_server_app(study, waits=waits, has_edge=False)(grid, Context(RUN_ID, RUN_ID, {}, RecordDict(), {"run": run}))
    history = read_history(folder)
    return RunResult(str(run_of(records, run).version), best_round(history, settings), history)


class InProcessGrid(Grid):
    """Carries messages to the ClientApp by calling it."""

    def __init__(
        self, contexts: dict[str, Context], exchanges: int, report: Report, faults: Fault, app: ClientApp
    ) -> None:
        self.contexts = contexts
        self.app = app
        self.exchanges = exchanges
        self.report = report
        self.faults = faults
        self.waiting: list[Message] = []
        self._ids = count(1)

    def get_nodes(self) -> list[NodeInfo]:
        """Return every site as a connected node that is enrolled under its name."""
        return [NodeInfo(node_id=context.node_id, name=name) for name, context in self.contexts.items()]

    def get_node_ids(self) -> list[int]:
        """Return the nodes' numbers."""
        return [context.node_id for context in self.contexts.values()]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Let each site work on its task, one after another."""
        ids = []
        names = {context.node_id: name for name, context in self.contexts.items()}
        for message in messages:
            # A copy, as after a network: neither side can change what the other holds.
            task = deepcopy(message)
            task.metadata.__dict__["_message_id"] = f"message-{next(self._ids)}"
            ids.append(task.metadata.message_id)
            name = names[task.metadata.dst_node_id]
            self.waiting += self.faults(name, task, partial(self.app, task, self.contexts[name]))
            self._tell(task, len(ids))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return every answer that has arrived: like a careless network, also those that nobody waits for."""
        arrived, self.waiting = self.waiting, []
        return arrived

    def _tell(self, task: Message, done: int) -> None:
        sites = len(self.contexts)
        self.report("federation", (int(task.metadata.group_id) - 1) * sites + done, self.exchanges * sites)

    @property
    def run(self) -> Run:
        """Nothing here asks what the run is."""
        raise NotImplementedError

    def set_run(self, run: Run) -> NoReturn:
        """There is but one run."""
        raise NotImplementedError

    def create_message(self, *args: object, **settings: object) -> NoReturn:
        """Flower has deprecated this."""
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> NoReturn:
        """Our round loop pushes and pulls by itself."""
        raise NotImplementedError


def _honest(_site: str, _task: Message, answer: Callable[[], Message]) -> list[Message]:
    return [answer()]
