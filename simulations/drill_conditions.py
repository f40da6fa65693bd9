"""Faults of what surrounds the processes: lines, disks, clocks, certificates.

Disks that can be filled are small ones of their own, which only a machine's administrator may mount; elsewhere these
two faults are left out, and that is said. A site's clock is moved where it matters: in what SuperNode signs with.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from core.certificates import Use, certificate_text, issue
from core.errors import FederationError
from core.files import write_atomically, write_private
from core.records.db import reading
from core.records.tables import Presence
from fl_client.contact import read_contact
from fl_client.paths import SiteHome
from fl_server.provisioning import load_authority
from simulations.altered_python import altered_python
from simulations.drill import Fault
from simulations.drill_processes import KILLED_EXPECTED, Scene, did_no_work_twice, hold
from simulations.drill_stage import Stage
from simulations.local import Side, join, wait_for

DISK_BYTES = 400 * 2**20
# Enough for every process to have met the full disk more than once.
FULL_S = 10.0
# SuperLink believes no signature from more than five seconds ahead of its own clock.
AHEAD_S = 90
BALLAST = "ballast"

# Run in Flower's module of the time.
_CLOCK = """\
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

true_now = now

def now():
    return true_now() + timedelta(seconds=float(Path({offset!r}).read_text()))
"""


def conditions() -> tuple[list[Scene], list[Fault]]:
    """Return the scenes that this machine can play, and as failed those that it cannot."""
    scenes = [
        CUT,
        Scene("an expired certificate at a site, then renewed", f"refused by name; {KILLED_EXPECTED}", _expired),
        Scene("a revoked certificate", "refused by name; the others' round counts", _revoked),
        Scene("a wrong clock at a site, then mended", f"named; {KILLED_EXPECTED}", _wrong_clock),
    ]
    disks = [
        Scene("a full disk at a site", KILLED_EXPECTED, _full(lambda stage: stage.victim)),
        Scene("a full disk at the server", KILLED_EXPECTED, _full(lambda stage: stage.federation.coordinator)),
    ]
    if may_mount():
        return [*scenes, *disks], []
    why = "NOT PLAYED: only a machine's administrator may mount the small disks that it fills"
    return scenes, [Fault(scene.fault, scene.expected, why, 0, passed=False) for scene in disks]


@contextmanager
def props(folder: Path, hospitals: list[Side]) -> Iterator[list[Side]]:
    """Give the coordinator and the first hospital disks of their own, and that hospital a clock, while the block runs.

    Args:
        folder: of the federation.
        hospitals: its sites.
    Yields: the sites, as they are to be started.
    """
    victim, *others = hospitals
    with ExitStack() as mounted:
        if may_mount():
            for home in (folder / "coordinator", victim.home):
                mounted.enter_context(_small_disk(home))
                # Elsewhere: a full disk's own story is worth reading.
                (folder.parent / "logs" / home.name).mkdir(parents=True)
                (home / "logs").symlink_to(folder.parent / "logs" / home.name)
        offset = folder.parent / "clock" / "offset"
        write_atomically(offset, "0")
        python = altered_python(offset.parent, {"flwr.supercore.date": _CLOCK.format(offset=str(offset))})
        yield [replace(victim, python=str(python)), *others]


def _cut(stage: Stage, _number: int) -> tuple[str, bool]:
    if not hold(stage):
        stage.way.let_go()
        return "no upload came", False
    wait_for(lambda: not _told(stage), "the site to be well")
    stage.way.cut()
    stage.way.let_go()
    problem = _problem(stage, "")
    stage.way.mend()
    return f"the site says: {problem}", True


CUT = Scene("a site's network cut during an upload, then restored", KILLED_EXPECTED, _cut, did_no_work_twice)


def _expired(stage: Stage, _number: int) -> tuple[str, bool]:
    home = SiteHome(stage.victim.home)
    passphrase = (stage.federation.coordinator.home.parent / "passphrase").read_text("utf-8")
    authority = load_authority(stage.federation.coordinator.home, passphrase)
    valid = home.certificate.read_text("ascii")
    key = load_pem_private_key(home.key.read_bytes(), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        return "the site's key is of another kind", False
    old = issue(
        stage.victim.home.name,
        key.public_key(),
        timedelta(minutes=-1),
        Use.CLIENT,
        authority.key,
        issuer=authority.certificate,
    )
    write_private(home.certificate, certificate_text(old))
    stage.thaw(stage.victim)
    problem = _problem(stage, "expired")
    write_private(home.certificate, valid)
    return f"the site says: {problem}", True


def _revoked(stage: Stage, _number: int) -> tuple[str, bool]:
    """Of a site beside those that train: it can never come back under its name."""
    coordinator = stage.federation.coordinator
    outsider = Side("fl_client", coordinator.home.parent / "site-9")
    outsider.home.mkdir()
    join(coordinator, outsider)
    outsider.call("models", "pull")
    coordinator.call("revoke", outsider.home.name)
    try:
        outsider.call("models", "pull")
    except FederationError as error:
        return error.problem.rpartition("Problem: ")[2].splitlines()[0][:80], "revoked" in error.problem
    return "it was let in", False


def _full(side_of: Callable[[Stage], Side]) -> Callable[[Stage, int], tuple[str, bool]]:
    def act(stage: Stage, number: int) -> tuple[str, bool]:
        side = side_of(stage)
        ballast = side.home / BALLAST
        _fill(ballast)
        stage.thaw()
        time.sleep(FULL_S)  # what is wrong stays wrong for so long
        free = shutil.disk_usage(side.home).free
        ballast.unlink()
        return f"{free} bytes free for {FULL_S:.0f} s", free < 2**16

    return act


def _wrong_clock(stage: Stage, _number: int) -> tuple[str, bool]:
    clock = stage.folder / "clock" / "offset"
    write_atomically(clock, str(AHEAD_S))
    stage.thaw(stage.victim)
    cause = wait_for(lambda: _cause(stage, "clocks differ"), "the site to say so")
    write_atomically(clock, "0")
    return f"the site says: {cause}", True


def _problem(stage: Stage, words: str) -> str:
    """Wait until the victim says that something is wrong, in these words among others, and return all of them."""

    def told() -> str:
        problem = _told(stage)
        return problem if words in problem else ""

    return wait_for(told, f"the site to say what is wrong, with the word '{words}'")


def _told(stage: Stage) -> str:
    return read_contact(SiteHome(stage.victim.home).contact).problem


def _cause(stage: Stage, words: str) -> str:
    with reading(stage.federation.records) as session:
        row = session.get(Presence, stage.victim.home.name)
    return row.cause if row is not None and words in row.cause else ""


def _fill(ballast: Path) -> None:
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**16))
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 512)


def may_mount() -> bool:
    """Say whether this account may mount: in some containers root itself may not."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with (
        TemporaryDirectory(prefix="gliofed-") as name,
        suppress(subprocess.CalledProcessError),
        _small_disk(Path(name) / "disk"),
    ):
        return True
    return False


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 (fixed words and our own folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S603, S607 (as above)
