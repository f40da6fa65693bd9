"""Run a federation of processes where nothing but loopback answers, and write down whatever tried to get out.

    unshare --net python -m tests.isolated FOLDER SITES ROUNDS

In a network namespace of its own the default route leads to an interface that reaches nobody; every packet that any
process sends there, a name look-up too, is seen. Writes FOLDER/result.json.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

from simulations.local import run_local_federation, tiny_study

INTERFACE = "outside"
# Settings of other roles and homes, which no side may take up.
POISON = {
    "FL_HOME": "/nonexistent",
    "FL_COORDINATOR__ADDRESS": "203.0.113.1:443",
    "FL_DATABASE__URL": "sqlite:////nonexistent/records.db",
    "FL_SITE__NAME": "poison",
    "FL_TRAINING__LEARNING_RATE": "0.9",
    "HTTPS_PROXY": "http://203.0.113.2:3128",
}


def main() -> None:
    """Prepare the namespace, run, write the result."""
    folder, sites, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for arguments in (
        "link set lo up",
        f"link add {INTERFACE} type veth peer name nowhere",
        f"link set {INTERFACE} addrgenmode none",
        "link set nowhere addrgenmode none",
        "link set nowhere up",
        f"addr add 198.51.100.1/24 dev {INTERFACE}",
        f"link set {INTERFACE} up",
        f"route add default via 198.51.100.2 dev {INTERFACE}",
        f"neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev {INTERFACE}",
    ):
        subprocess.run(["ip", *arguments.split()], check=True)
    os.environ |= POISON
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(0x0003))
    sniffer.bind((INTERFACE, 0))
    packets: list[str] = []
    Thread(target=listen, args=(sniffer, packets), daemon=True).start()
    prove_the_sniffer_sees(packets)
    found = run_local_federation(folder / "federation", sites, tiny_study(sites, rounds))
    answer = {"federation": found.as_json(), "packets": packets}
    (folder / "result.json").write_text(json.dumps(answer))


def listen(sniffer: socket.socket, packets: list[str]) -> None:
    while True:
        frame = sniffer.recv(2048)
        packets.append(frame[12:60].hex())


def prove_the_sniffer_sees(packets: list[str]) -> None:
    """A silent sniffer would prove nothing: send one packet out, see it, forget it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        while not packets:
            out.sendto(b"seen?", ("203.0.113.9", 9))
    packets.clear()


if __name__ == "__main__":
    main()
