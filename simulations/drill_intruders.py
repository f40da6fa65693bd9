"""Whom nobody let in: an app that no hospital approved, and a caller on every port of the federation."""

import http.client
import json
import shutil
import ssl
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.files import write_atomically
from core.records.db import reading
from core.records.tables import Presence
from core.supervision import states_of
from fl_client.fleet_messages import GET_RUN, NOT_APPROVED, PREFIX, run_question
from fl_server.bundle import MODULE
from fl_server.fleet import start_run
from simulations.drill_stage import processes_of
from simulations.local import Running, Side, wait_for

ANSWER_S = 10.0
# Statuses that tell a stranger no more than that it is one.
REFUSALS = ("401", "403")
LISTENING = "0A"  # as /proc/net/tcp has it
_EDGE = (
    "/v1/fleet/pull-messages",
    "/v1/fleet/get-fab",
    "/v1/site/offers",
    "/v1/site/status",
    "/v1/site/models",
    "/v1/control/start-run",
    "/v1/runtime/acquire-task",
)

# What an app could do where it runs: here it only says that it did.
_CLIENT = """\
from pathlib import Path
from flwr.clientapp import ClientApp

Path({ran!r}).touch()
app = ClientApp()
"""
# Asks every node of the federation, and writes down the code that each answers with.
_SERVER = """\
import json, time
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    waiting, codes = set(grid.push_messages([Message(RecordDict(), n, "train") for n in grid.get_node_ids()])), []
    Path({sent!r}).touch()
    until = time.monotonic() + 60
    while waiting and time.monotonic() < until:
        for reply in grid.pull_messages(list(waiting)):
            waiting.discard(reply.metadata.reply_to_message_id)
            codes.append(reply.error.code if reply.has_error() else 0)
        time.sleep(0.1)
    done = Path({codes!r})
    done.with_suffix(".part").write_text(json.dumps(codes))
    done.with_suffix(".part").replace(done)
"""


def run_unapproved(federation: Running, folder: Path, proceed: Callable[[], object]) -> tuple[str, bool]:
    """Start an app at SuperLink as somebody on the coordinator's machine could, past its own service.

    Args:
        federation: while it runs.
        folder: for the app, and for what comes of it.
        proceed: called once every site has been asked: lets them end what they work on.
    Returns: what happened, and whether each site refused it and said so.
    """
    codes, ran, sent, home = folder / "codes.json", folder / "ran", folder / "sent", federation.coordinator.home
    shutil.copytree(home / "studies" / "trial", folder / "trial")
    write_atomically(folder / "trial" / MODULE / "client.py", _CLIENT.format(ran=str(ran)))
    write_atomically(folder / "trial" / MODULE / "server.py", _SERVER.format(codes=str(codes), sent=str(sent)))
    start_run(home, folder / "trial", "intruder")
    wait_for(sent.exists, "the intruder's app to ask")
    proceed()
    told = wait_for(lambda: codes.exists() and json.loads(codes.read_text("utf-8")), "answers to the intruder's app")
    causes = wait_for(lambda: _causes(federation), "the sites to say so")
    refused = told == [NOT_APPROVED] * len(federation.hospitals)
    happened = f"error codes {told}; code ran: {'YES' if ran.exists() else 'no'}; {len(causes)} sites told the cause"
    return happened, refused and not ran.exists()


def _causes(federation: Running) -> list[str]:
    """Return what sites say of it through the site API, once all of them do."""
    with reading(federation.records) as session:
        causes = [row.cause for row in session.query(Presence) if "not approved here" in row.cause]
    return causes if len(causes) == len(federation.hospitals) else []


@dataclass(frozen=True)
class Door:
    """A port of the federation and what an intruder asks there.

    Attributes:
        name: whose port it is.
        port: on loopback.
        path: asked with POST, without certificate, signature or secret.
        body: a call as SuperNode would make it, where that matters.
        is_tls: whether TLS is spoken there.
    """

    name: str
    port: int
    path: str
    is_tls: bool
    body: bytes = b""


def try_every_port(federation: Running) -> tuple[str, bool]:
    """Ask on every port without showing anything, and tell what was answered.

    SuperLink's control calls are left out: whoever has an account on the coordinator's machine may make them, see
    docs/ports.md; what such a one starts no hospital runs, which is a fault of its own.
    """
    answers = {door: _asked(door) for door in _doors(federation)}
    wrong = [f"{door.name} {door.path}: {told}" for door, told in answers.items() if told not in REFUSALS]
    ports = {door.port for door in answers}
    forgotten = listening(federation) - ports
    wrong += [f"port {port} was not tried" for port in sorted(forgotten)]
    return "; ".join(wrong) or f"{len(answers)} calls on all {len(ports)} ports: 401 or 403", not wrong


def listening(federation: Running) -> set[int]:
    """Return the TCP ports that the federation's processes listen on, as the kernel has them."""
    sides = [federation.coordinator, *federation.hospitals]
    sockets = {link for side in sides for pid in processes_of(side) for link in _links(pid)}
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text("ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENING and f"socket:[{words[9]}]" in sockets:
                ports.add(int(words[1].rpartition(":")[2], 16))
    return ports


def _links(pid: int) -> list[str]:
    with suppress(OSError):
        return [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return []


def _doors(federation: Running) -> Iterator[Door]:
    coordinator = federation.coordinator
    settings = tomllib.loads((coordinator.home / "server.toml").read_text("utf-8"))
    edge = int(settings["coordinator"]["address"].rpartition(":")[2])
    superlink = int(coordinator.settings["FL_COORDINATOR__SUPERLINK_PORT"])
    for path in _EDGE:
        yield Door("the coordinator's edge", edge, path, is_tls=True)
    for path in ("/v1/runtime/acquire-task", "/v1/fleet/pull-messages", "/v1/fleet/get-fab"):
        yield Door("SuperLink", superlink, path, is_tls=True)
    for side in federation.hospitals:
        gate, runtime = _site_ports(side)
        for path in ("/v1/control/start-run", "/v1/fleet/register-node", "/v1/fleet/get-fab", "/v1/site/status"):
            yield Door(f"the gate of {side.home.name}", gate, path, is_tls=True)
        yield Door(f"the gate of {side.home.name}", gate, PREFIX + GET_RUN, is_tls=True, body=run_question(1, 1))
        yield Door(f"SuperNode of {side.home.name}", runtime, "/v1/runtime/acquire-task", is_tls=False)


def _site_ports(side: Side) -> tuple[int, int]:
    """Return the ports of a site's gate and of its SuperNode, as their command lines name them."""
    commands = {state.name: _command_of(state.pid) for state in states_of(side.home) if state.pid}
    supernode = commands["supernode"]
    return int(commands["service"][-1]), int(supernode[supernode.index("--port") + 1])


def _command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")


def _asked(door: Door) -> str:
    """Return the status that a call got, or why there was none."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    line = (
        http.client.HTTPSConnection("127.0.0.1", door.port, timeout=ANSWER_S, context=context)
        if door.is_tls
        else http.client.HTTPConnection("127.0.0.1", door.port, timeout=ANSWER_S)
    )
    try:
        line.request("POST", door.path, door.body, {"Content-Type": "application/protobuf"})
        return str(line.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        with suppress(OSError):
            line.close()
