"""The drill's steps as coordinator and two hospitals' IT: enroll, train, approve, pull; at last each side's log."""

import json
import os
import subprocess
import sys
from pathlib import Path

from simulations.local import wait_for
from tests.deploy.factories_drill import COHORT, FLEET, ROOT, Drill

STATE = "/var/lib/gliofed"
STUDY = """
name = "trial"
[model]
preset = "tiny"
[preprocessing]
grid = 32
[training]
epochs_per_round = 1
[federation]
rounds = 2
quorum = 2
"""
SITES = ("north", "south")


def federation(drill: Drill) -> None:
    """From invitations to an approved version at north."""
    drill.step("synthetic patients for north and south", lambda: patients(drill))
    drill.step("invited, joined, scans prepared, checked, started", lambda: enrolled(drill))
    drill.step("a run over the edge, by two hospitals' nodes", lambda: trained(drill))
    drill.step("approved, signed and pulled", lambda: pulled(drill))


def patients(drill: Drill) -> str:
    size = ["--sites", "2", "--patients", "4", "--controls", "2", "--coarse", "--separability", "0.99"]
    make = [Path(sys.executable).with_name("fl-simulate"), "hospitals", drill.folder / "cohort", *size]
    # The template head, which takes a while to build, is that of all tests.
    home = os.environ | {"FL_HOME": str(ROOT / ".pytest_cache" / "home")}
    done = subprocess.run(make, env=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for site in SITES:
        drill.machines[site].run("cp", "--recursive", f"{COHORT}/{site}", "/srv/scans")
        drill.machines[site].run("chown", "--recursive", "gliofed:", "/srv/scans")
    return "6 each, as DICOM"


def enrolled(drill: Drill) -> str:
    coordinator = drill.machines["coord"]

    def join(site: str) -> None:
        machine = drill.machines[site]
        invitation = coordinator.run("fl-server", "invite", site).stdout.strip()
        machine.run("fl-client", "join", invitation, "--data", "/srv/scans", "--prepared", f"{STATE}/prepared")
        machine.run("sed", "--in-place", "s/^grid = .*/grid = 32/", f"{STATE}/site.toml")  # the study's
        machine.run("fl-client", "prepare")
        machine.run("fl-client", "check")
        machine.run("systemctl", "start", "gliofed-client")

    drill.on_all(join, *SITES)
    rows = json.loads(coordinator.run("fl-server", "sites", "--json").stdout)
    assert {row["site"]: row["state"] for row in rows} == dict.fromkeys(SITES, "enrolled")
    neighbor = drill.machines["north"].run(
        "curl", "-ksm", "3", f"https://{drill.machines['south'].address}/", check=False
    )
    assert neighbor.returncode in (7, 28), "north must not reach south"
    return f"both, at {FLEET}; neither reaches the other"


def trained(drill: Drill) -> str:
    coordinator = drill.machines["coord"]
    coordinator.run("tee", f"{STATE}/study.toml", account="gliofed", input=STUDY)
    coordinator.run("fl-server", "launch", f"{STATE}/study.toml")

    def approve(site: str) -> None:
        machine = drill.machines[site]
        wait_for(lambda: machine.run("fl-client", "approve", "trial", "--yes", check=False).returncode == 0, "an offer")

    def ended() -> dict[str, object] | None:
        (run,) = json.loads(coordinator.run("fl-server", "status", "--json").stdout)["runs"]
        assert run["state"] not in ("paused", "failed", "stopped"), run
        return run if run["state"] == "finished" else None

    drill.on_all(approve, *SITES)
    run = wait_for(ended, "the run to finish", 600)
    rounds = [(one["round"], sorted(one["sites"])) for one in run["rounds"] if one["counted"]]
    assert all(sites == list(SITES) for _, sites in rounds), rounds
    return f"{len(rounds)} rounds, the last of which only evaluates, each of {' and '.join(SITES)}"


def pulled(drill: Drill) -> str:
    coordinator, north = drill.machines["coord"], drill.machines["north"]
    (version,) = [row["version"] for row in json.loads(coordinator.run("fl-server", "models", "--json").stdout)]
    passphrase = f"{STATE}/passphrase"
    coordinator.run("install", "--owner=gliofed", "--mode=600", "/etc/gliofed/passphrase", passphrase)
    coordinator.run("fl-server", "approve", version, FL_PASSPHRASE_FILE=passphrase)
    coordinator.run("rm", passphrase)
    north.run("fl-client", "models", "pull")
    wait_for(lambda: drill.client("north").get("/readyz").status_code == 200, "north to be ready")
    return f"{version}, and north's predictor is ready"


def verify(drill: Drill) -> None:
    """Every log of every side, at the end of all that happened."""
    drill.step("every audit log verified", lambda: verified(drill))


def verified(drill: Drill) -> str:
    told = []
    for name, machine in drill.machines.items():
        if machine.run("test", "-e", f"{STATE}/pki", check=False).returncode == 0:
            program = "fl-server" if name == "coord" else "fl-client"
            told.append(f"{name} {program}: {intact(machine.run(program, 'verify').stdout)}")
        told.append(f"{name} fl-web: {intact(machine.run('fl-web', 'verify-audit', '--data', f'{STATE}/web').stdout)}")
    return "; ".join(told)


def intact(said: str) -> str:
    found = [line for line in said.splitlines() if "ntact" in line]
    assert found, said
    return found[0].partition(",")[0]
