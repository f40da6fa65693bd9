"""What the drill of the whole deployment works with: three machines, an authority, and a book of its steps."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.deploy.factories_acme import Authority, an_authority
from tests.deploy.factories_machines import OURS, ROOT, Machine, debian, lan, machines

DRILL = ROOT / "build" / "drill"
BUNDLES, COHORT = "/mnt/bundles", "/mnt/cohort"
DATA = "/var/lib/gliofed/web"
CURRENT = "/opt/gliofed/current"
# Name of each machine, and under which name browsers and hospitals find it.
WEB = {"coord": "pages.hospital.test", "north": "north.hospital.test", "south": "south.hospital.test"}
FLEET = "fl.hospital.test"


@dataclass
class Drill:
    """One run.

    Attributes:
        folder: of everything that it makes.
        machines: by name.
        authority: whom the web's certificates come from.
        book: each step that was done: what, what was seen, seconds.
    """

    folder: Path
    machines: dict[str, Machine]
    authority: Authority
    book: list[dict[str, Any]] = field(default_factory=list)

    def step(self, what: str, do: Callable[[], str]) -> None:
        """Do something, and write down what was seen; an AssertionError ends the drill."""
        before = time.monotonic()
        seen = do()
        self.book.append({"step": what, "seen": seen, "seconds": round(time.monotonic() - before, 1)})
        sys.stdout.write(f"{self.book[-1]['seconds']:7.1f} s  {what}: {seen}\n")
        sys.stdout.flush()
        (self.folder / "book.json").write_text(json.dumps(self.book, indent=1))

    def install(self, name: str, *more: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run install.sh as its administrator would, with the bundle unless another is named."""
        machine = self.machines[name]
        role = ["coordinator", "--address", f"{FLEET}:443"] if name == "coord" else ["hospital"]
        bundle = [] if more else ["--offline", f"{BUNDLES}/good.tar", "--key", f"{BUNDLES}/release.key.pub"]
        argv = [f"{BUNDLES}/install.sh", *role, "--name", WEB[name], "--listen", machine.address, *bundle, *more]
        done = machine.run(*argv, check=False)
        assert not check or done.returncode == 0, f"{name}: {done.stdout}\n{done.stderr}"
        return done

    def on_all(self, do: Callable[[str], object], *names: str) -> None:
        """Do the same on machines side by side."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(do, names or tuple(self.machines)))

    @property
    def with_names(self) -> list[str]:
        """The machines whose pages have a certificate of the authority: all but south, a node that is not visited."""
        return [name for name in self.machines if name != "south"]

    def client(self, name: str) -> httpx.Client:
        """A client of a machine's pages, which trusts the authority's certificates and no other."""
        return httpx.Client(base_url=f"https://{WEB[name]}", verify=str(self.authority.root), timeout=120)

    def sql(self, name: str, statement: str) -> str:
        """What a machine's database answers to its administrator."""
        return self.machines[name].run("mariadb", "--batch", "--skip-column-names", "gliofed", "-e", statement).stdout


@contextmanager
def a_drill(folder: Path, names: tuple[str, ...]) -> Iterator[Drill]:
    """Boot machines, with an authority beside them, in a process that was started as ALONE says."""
    bundles, cohort = folder / "bundles", folder / "cohort"
    for made in (bundles, cohort):
        made.mkdir()
    (bundle,) = DRILL.glob("gliofed-*.tar")
    shutil.copyfile(bundle, bundles / "good.tar")
    for file in (DRILL / "release.key.pub", ROOT / "deploy" / "install.sh"):
        shutil.copy(file, bundles)
    lan()
    addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, start=2)}
    known = {WEB[name]: address for name, address in addresses.items()} | {FLEET: addresses.get("coord", OURS)}
    # Of this process alone: it has a mount namespace of its own.
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in known.items()))
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    binds = {bundles: BUNDLES, cohort: COHORT}
    with (
        an_authority(folder / "authority", 80, known, OURS) as authority,
        machines(debian(), folder, names, {"north", "south"} & set(names), known, binds) as running,
    ):
        yield Drill(folder, running, authority)
