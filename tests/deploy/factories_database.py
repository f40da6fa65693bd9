"""MariaDB as deploy/ sets it up: its settings, its accounts, TLS; and the backup scripts beside it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sqlalchemy import text

from core.records.db import open_database
from tests.core.records.test_db_tls import write_certificate
from tests.factories_mariadb import MariaDB, mariadb

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@dataclass(frozen=True)
class Database:
    """A database that accounts.sh has made, and how each account reaches it: over TLS, with a password."""

    name: str
    application: str
    owner: str

    @property
    def account(self) -> str:
        """The application's, as SQL writes it."""
        return f"`{self.name}_app`@`127.0.0.1`"


@dataclass
class Deployment:
    """A running MariaDB with GlioFed's settings.

    Attributes:
        server: MariaDB.
        authority: of its certificate.
        folder: of certificates and secrets.
    """

    server: MariaDB
    authority: Path
    folder: Path
    numbers: Iterator[int]

    def accounts(self, *arguments: str, **names: str) -> subprocess.CompletedProcess[str]:
        """Run accounts.sh."""
        places = {"SOCKET": str(self.server.folder / "socket"), "SECRETS": str(self.folder / "secrets")}
        return run(DEPLOY / "mariadb" / "accounts.sh", *arguments, **places, **names)

    def empty(self) -> Database:
        """Make a database without tables, and its accounts."""
        name = f"gliofed_{next(self.numbers)}"
        self.make_accounts(name)
        return Database(name, self.url(name, f"{name}_app"), self.url(name, f"{name}_owner"))

    def filled(self) -> Database:
        """Make a database, its accounts, and by the owner's its tables."""
        made = self.empty()
        open_database(made.owner).dispose()
        return made

    def make_accounts(self, name: str) -> None:
        """Run accounts.sh for a database of this name."""
        names = {"APPLICATION": f"{name}_app", "OWNER": f"{name}_owner", "BACKUP": f"{name}_backup"}
        done = self.accounts("127.0.0.1", DATABASE=name, **names)
        assert done.returncode == 0, done.stdout + done.stderr

    def url(self, name: str, account: str, authority: Path | None = None) -> str:
        """Return the address of a database for an account, over TLS unless the authority is named otherwise."""
        password = (self.folder / "secrets" / f"{account}.password").read_text().strip()
        return (
            f"mysql+pymysql://{account}:{password}@127.0.0.1:{self.server.port}/{name}"
            f"?ssl_ca={authority or self.authority}"
        )

    def as_root(self, *statements: str) -> list[tuple[object, ...]]:
        """Run statements as the account that may do everything, and return the last one's rows."""
        with self.server.root.begin() as connection:
            done = [connection.execute(text(statement)) for statement in statements][-1]
            return [tuple(row) for row in done] if done.returns_rows else []


@contextmanager
def deployment(folder: Path) -> Iterator[Deployment]:
    """Run a MariaDB with GlioFed's settings and a certificate while the block runs."""
    certificate = write_certificate(folder, "server", "127.0.0.1")
    settings = folder / "my.cnf"
    settings.write_text("".join(f"!include {DEPLOY}/mariadb/{name}.cnf\n" for name in ("gliofed", "gliofed-tls")))
    here = {"ssl-cert": certificate, "ssl-key": certificate.with_suffix(".key"), "bind-address": "127.0.0.1"}
    with mariadb(*(f"--{name}={value}" for name, value in here.items()), settings=settings) as server:
        server.folder.chmod(0o711)  # another Linux account reaches its socket
        yield Deployment(server, certificate, folder, count())


def run(script: Path, *arguments: str, account: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script, perhaps as another Linux account, with nothing in its environment but what is given."""
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin"
    as_account = {"user": account, "group": account, "extra_groups": []} if account else {}
    return subprocess.run(
        [str(script), *arguments],
        env={"PATH": path, "HOME": "/nonexistent", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **as_account,  # type: ignore[call-overload]
    )
