"""A coordinator and intruders on two machines: two network namespaces on a cable, which only root may make."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from core.files import write_private
from core.site_protocol import Enrolled
from core.study import Study
from core.supervision import Process
from fl_server.bundle import write_bundle
from fl_server.site_routes import site_routes
from fl_server.sites import revoke, suspend
from tests.fl_server.factories_coordinator import (
    PASSPHRASE,
    ROOT,
    Coordinator,
    Identity,
    coordinator,
    enrolled,
    enrollment,
    invited,
    outdated,
    running,
    stranger,
    wait_for,
    written,
)
from tests.fl_server.intruder import Attempt, Call, Shown, tricks

EDGE, SUPERLINK = 443, 9092
# What the intruder has, and what it is told.
FAULTS = {
    "the CA certificate alone": "No client certificate was shown",
    "a revoked site's certificate": "The site revoked was revoked",
    "a suspended site's certificate": "The site suspended is suspended",
    "an expired certificate": "The client certificate has expired",
    "a certificate of another CA": "The client certificate is not of this federation",
}
CA = Call("GET", "/v1/site/ca.crt")
# A ServerApp that is at work as long as its run is to last.
SERVER = """
import time
from pathlib import Path
from flwr.serverapp import ServerApp
app = ServerApp()
@app.main()
def main(grid, context):
    Path("HOME/works").touch()
    while Path("HOME/works").exists():
        time.sleep(0.1)
"""


@dataclass(frozen=True)
class Cable:
    """Two machines in one, joined by a cable: what goes before a command line to run it on either."""

    coordinator: list[str]
    intruder: list[str]
    address: str


@dataclass(frozen=True)
class Scene:
    """A full deployment, what it listens on, what it can be asked, and what came of it.

    Attributes:
        of: the coordinator.
        ports: the address by each port that somebody listens on in its namespace.
        flower: every route of Flower's APIs.
        calls: these, ours, and tricks to reach them.
        serials: of the intruders' certificates, by fault.
        outcomes: of each intruder's call on each port.
        known: how many runs and nodes Flower knew after that.
        site: what the same calls brought an enrolled site.
    """

    of: Coordinator
    ports: dict[int, str]
    flower: list[Call]
    calls: list[Call]
    serials: dict[str, str]
    outcomes: list[Attempt]
    known: tuple[int, int]
    site: list[Attempt]


@contextmanager
def cable() -> Iterator[Cable]:
    """Make both namespaces; whatever runs in them must end before they do."""
    one, two, net = f"fl-c-{os.getpid()}", f"fl-i-{os.getpid()}", f"10.231.{os.getpid() % 250}"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    with ExitStack() as undo:
        for name in (one, two):
            ip("netns", "add", name)
            undo.callback(ip, "netns", "delete", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", one, "link", "add", "edge0", "type", "veth", "peer", "name", "edge1", "netns", two)
        for name, device, number in ((one, "edge0", 1), (two, "edge1", 2)):
            ip("-n", name, "address", "add", f"{net}.{number}/24", "dev", device)
            ip("-n", name, "link", "set", device, "up")
        yield Cable(["ip", "netns", "exec", one], ["ip", "netns", "exec", two], f"{net}.1")


@contextmanager
def intrusion() -> Iterator[Scene]:
    """Everything that happens, from two new machines to what came of every call."""
    with cable() as net, coordinator(net.address, EDGE) as of, deployed(of, net):
        shown, serials = intruders(of)
        north = joined(of, net)
        start_work(of, net)
        flower = routes_of_flower(of, net)
        calls = [*flower, *our_routes(of), *tricks("/v1/control/list-runs", north.serial)]
        ports = listening(net)
        outcomes = tried(of, net, ports, shown, calls)
        known = known_to_flower(of, net)
        site = tried(of, net, [EDGE], [shown_by("an enrolled site", north)], calls)
        (of.home / "works").unlink()
        yield Scene(of, ports, flower, calls, serials, outcomes, known, site)


@contextmanager
def deployed(of: Coordinator, net: Cable) -> Iterator[None]:
    """Every process of a coordinator, in its namespace, as its own command starts them."""
    write_private(of.home / "passphrase", PASSPHRASE)
    (of.home / "server.toml").write_text(f'[coordinator]\naddress = "{of.address}"\nsuperlink_port = {SUPERLINK}\n')
    environment = os.environ | {"FL_HOME": str(of.home), "FL_PASSPHRASE_FILE": str(of.home / "passphrase")}
    start = Process("coordinator", [sys.executable, "-m", "fl_server", "start"], environment)
    with running(start, net.coordinator):
        socket = of.home / "run" / "site-api.sock"
        wait_for(lambda: {EDGE, SUPERLINK} <= set(listening(net)) and socket.exists(), "everything listens")
        yield


def intruders(of: Coordinator) -> tuple[list[Shown], dict[str, str]]:
    """One for each fault, and the serial numbers of their certificates."""
    made = [enrolled(of, "revoked"), enrolled(of, "suspended"), outdated(of, "expired")]
    made.append(stranger(of, "north"))
    revoke(of.records, "revoked", lambda _node: None)
    suspend(of.records, "suspended")
    alone, *faults = FAULTS
    shown = [Shown(alone), *(shown_by(fault, identity) for fault, identity in zip(faults, made, strict=True))]
    return shown, {alone: ""} | {fault: identity.serial for fault, identity in zip(faults, made, strict=True)}


def joined(of: Coordinator, net: Cable) -> Identity:
    """A site that joined over the cable: its node is one that Flower itself registered."""
    sent, key = enrollment("north", invited(of, "north"))
    call = Call("POST", "/v1/site/enroll", body=sent.model_dump_json())
    (answer,) = tried(of, net, [EDGE], [Shown("a new site")], [call])
    assert answer.status == 200, answer.text
    return written(of.home, "north", Enrolled.model_validate_json(answer.text).certificate, key)


def start_work(of: Coordinator, net: Cable) -> None:
    """Start a run, and wait until its ServerApp works."""
    app = of.home / "studies" / "glioma"
    write_bundle(Study(name="glioma"), app)
    (app / "gliofed_study" / "server.py").write_text(SERVER.replace("HOME", str(of.home)))
    python(
        net.coordinator,
        f"from fl_server.fleet import start_run; start_run(Path({str(of.home)!r}), Path({str(app)!r}), 'x')",
    )
    wait_for((of.home / "works").exists, "the ServerApp works")


def known_to_flower(of: Coordinator, net: Cable) -> tuple[int, int]:
    """How many runs and nodes Flower knows."""
    code = f"""
    from fl_server import fleet
    home = Path({str(of.home)!r})
    print(len(fleet._flwr(home, "ls", "coordinator")["runs"]))
    print(len(fleet._flwr(home, "supernode", "ls", "coordinator")["nodes"]))
    """
    runs, nodes = python(net.coordinator, code).split()
    return int(runs), int(nodes)


def python(where: list[str], code: str) -> str:
    """Run a few lines in a namespace; returns what they print."""
    command = [*where, sys.executable, "-c", "from pathlib import Path\n" + textwrap.dedent(code)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def listening(net: Cable) -> dict[int, str]:
    """Every TCP and UDP port that somebody listens on in the coordinator's namespace, with the address."""
    said = subprocess.run([*net.coordinator, "ss", "-ltunH"], capture_output=True, text=True, check=True).stdout
    addresses = [line.split()[4] for line in said.splitlines()]
    return {int(address.rpartition(":")[2]): address.rpartition(":")[0] for address in addresses}


def routes_of_flower(of: Coordinator, net: Cable) -> list[Call]:
    """Every route of the fleet, control, runtime and other APIs, as the running SuperLink lists them."""
    code = f"""
    import ssl, urllib.request
    context = ssl.create_default_context(cafile={str(of.home / "pki" / "ca.crt")!r})
    print(urllib.request.urlopen("https://127.0.0.1:{SUPERLINK}/openapi.json", context=context).read().decode())
    """
    paths = json.loads(python(net.coordinator, code))["paths"]
    listed = [Call(method.upper(), path) for path, methods in paths.items() for method in methods]
    return [*listed, Call("GET", "/docs"), Call("GET", "/openapi.json")]


def our_routes(of: Coordinator) -> list[Call]:
    """Every route of the site API, and what only the edge may ask; enrolling is tried with a made-up token."""
    made_up = enrollment("north", "a-token-that-nobody-was-given")[0].model_dump_json()
    calls = []
    for route in site_routes(of.home, list, list):
        path = route.path.replace("{study}", "any").replace("{version}", "any").replace("{file}", "card.json")
        body = made_up if path.endswith("/enroll") else ""
        calls += [Call(method, path, body=body) for method in sorted(route.methods or ())]
    return [*calls, CA, Call("POST", CA.target), Call("GET", "/check")]


def shown_by(who: str, identity: Identity) -> Shown:
    return Shown(who, str(identity.certificate), str(identity.key))


def tried(of: Coordinator, net: Cable, ports: Iterable[int], shown: list[Shown], calls: list[Call]) -> list[Attempt]:
    """Try calls from the other namespace."""
    plan = {
        "host": of.host,
        "ports": sorted(ports),
        "edge": EDGE,
        "ca": str(of.home / "pki" / "ca.crt"),
        "shown": [asdict(one) for one in shown],
        "calls": [asdict(call) for call in calls],
    }
    command = [*net.intruder, sys.executable, "-m", "tests.fl_server.intruder"]
    done = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, cwd=ROOT, check=True)
    return [Attempt(**(one | {"call": Call(**one["call"])})) for one in json.loads(done.stdout)]
