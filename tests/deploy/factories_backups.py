"""Backups as deploy/backup makes them, in folders of a test's own, and by another Linux account."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.deploy.factories_database import DEPLOY, Deployment, run

# In the place of gliofed-backup, gliofed and gliofed-owner: accounts that every Debian has.
BACKUP, APPLICATION, OWNER = "backup", "www-data", "daemon"


@dataclass(frozen=True)
class Backups:
    """Where the scripts write, and with which settings.

    Attributes:
        folder: of everything.
        settings: by name, as in backup.env.
        account: that the scripts run as; "" for the one that runs the tests.
    """

    folder: Path
    settings: dict[str, str]
    account: str = ""

    @property
    def database(self) -> Path:
        """The folder of the database's dumps."""
        return self.folder / "backups" / "database"

    @property
    def identity(self) -> Path:
        """What opens them."""
        return self.folder / "identity"

    def with_settings(self, **changed: str) -> "Backups":
        """The same with other settings."""
        return replace(self, settings={**self.settings, **changed})

    def copied(self) -> "Backups":
        """A copy of all backups, to be damaged."""
        copy = Path(tempfile.mkdtemp(dir=self.folder)) / "backups"
        shutil.copytree(self.folder / "backups", copy)
        return self.with_settings(BACKUPS=str(copy))

    def dumps(self) -> list[Path]:
        """The dumps, oldest first."""
        return sorted((Path(self.settings["BACKUPS"]) / "database").glob("20*"))

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts."""
        path = self.folder / "backup.env"
        path.write_text("".join(f"{name}='{value}'\n" for name, value in self.settings.items()))
        path.chmod(0o644)
        environment = {"SETTINGS": str(path), **environment}
        return run(self.folder / "program" / script, *arguments, account=self.account, **environment)

    def restore(self, until: str, identity: str = "identity", **settings: str) -> subprocess.CompletedProcess[str]:
        """Run restore-database.sh, as root."""
        here = replace(self.with_settings(**settings), account="")
        return here.run("restore-database.sh", "--until", until, "--identity", str(self.folder / identity))

    def metric(self, name: str) -> int:
        """When something last succeeded; 0: never."""
        path = self.folder / "metrics" / f"{name}.prom"
        return int(path.read_text().splitlines()[2].removeprefix(f"{name} ")) if path.exists() else 0


@contextmanager
def backups(**settings: str) -> Iterator[Backups]:
    """Let scripts work in a new folder while the block runs."""
    with tempfile.TemporaryDirectory(prefix="backups-") as name:  # not pytest's, which is closed to other accounts
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(DEPLOY / "backup", folder / "program")
        for each in ("backups", "backups/web", "backups/database", "metrics"):
            (folder / each).mkdir()
        made = subprocess.run(["age-keygen", "-o", folder / "identity"], capture_output=True, text=True, check=True)
        (folder / "recipients").write_text(made.stderr.removeprefix("Public key: "))
        values = dict(
            line.split("=", 1)
            for line in (DEPLOY / "backup" / "backup.env").read_text().splitlines()
            if "=" in line and line[0] != "#"
        )
        here = {"BACKUPS": folder / "backups", "RECIPIENTS": folder / "recipients", "METRICS": folder / "metrics"}
        yield Backups(folder, values | {key: str(value) for key, value in here.items()} | settings)


@contextmanager
def database_backups(deployed: Deployment, name: str) -> Iterator[Backups]:
    """Let the scripts dump a database of a server, as a Linux account that may do nothing else."""
    assert os.geteuid() == 0, "becomes other Linux accounts: run the tests as root, `sudo make test`"
    names = {"APPLICATION": APPLICATION, "OWNER": OWNER, "BACKUP": BACKUP}
    done = deployed.accounts(DATABASE=name, **names)
    assert done.returncode == 0, done.stderr
    with backups(DATABASE=name, SOCKET=str(deployed.server.folder / "socket")) as made:
        for each in ("backups/database", "metrics"):
            shutil.chown(made.folder / each, BACKUP, BACKUP)
        (made.folder / "backups" / "database").chmod(0o700)
        yield replace(made, account=BACKUP)


def next_second() -> str:
    """Return the next whole second, UTC, once the clock shows it: what was done before lies before it."""
    second = int(time.time()) + 1
    while time.time() < second:
        time.sleep(0.01)  # the clock itself is what is waited for
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))
