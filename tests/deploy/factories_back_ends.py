"""Two `fl-web run` on one folder and one database, behind one Nginx, and clients that reach one of them alone."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from core.supervision import states_of
from tests.deploy.factories_nginx import nginx_in_front
from tests.deploy.factories_site import HOSTS, Site
from tests.webapp.factories import a_home
from tests.webapp.factories_running import Running, running
from webapp.guards import COOKIE
from webapp.serving import development_certificate


@dataclass
class TwoBackEnds(Site):
    """Nginx and two servers behind it."""

    second: Running

    @property
    def servers(self) -> tuple[Running, Running]:
        """Both."""
        return self.server, self.second

    @contextmanager
    def directly(self, client: httpx.Client) -> Iterator[tuple[httpx.Client, httpx.Client]]:
        """Two clients in the session of one who came in by Nginx; each asks a server of its own, as Nginx would."""
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"}
        if COOKIE in client.cookies:
            headers |= {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}", "X-CSRF-Token": client.headers["X-CSRF-Token"]}
        first, second = (
            httpx.Client(
                base_url="http://localhost",
                transport=httpx.HTTPTransport(uds=str(server.socket)),
                headers=headers,
                timeout=600,
            )
            for server in self.servers
        )
        with first, second:
            yield first, second


@contextmanager
def two_back_ends(
    folder: Path, users: dict[str, str], database: str = "", **sections: dict[str, object]
) -> Iterator[TwoBackEnds]:
    """Run Nginx, and two servers of a hospital on one folder and one database.

    Args:
        folder: of all of it.
        users: each one's role.
        database: its address; else SQLite.
        sections: of web.toml, what differs.
    """
    sockets = [folder / "web.sock", folder / "web-2.sock"]
    settings = {**sections, "server": {**HOSTS, **sections.get("server", {})}}
    with running(folder, a_home(folder / "home"), users, database, socket_at=sockets[0], **settings) as server:
        second = Running(server.config, server.home, 0, server.secrets, sockets[1], name="web-2")
        second.start()
        certificate, key = development_certificate(server.config)
        try:
            with nginx_in_front(folder / "nginx", sockets, certificate, key) as front:
                yield TwoBackEnds(front, server, second)
        finally:
            second.stop()


def leader(server: Running, name: str) -> int:
    """The running process of that name, `web` or `worker`; what it has started is in its group."""
    (pid,) = (state.pid for state in states_of(server.place) if state.name == name and state.pid)
    return pid


def crash(server: Running) -> None:
    """Kill all processes of a server, none of which is told to stop before, and return when they are dead."""
    assert server.process
    server.process.send_signal(signal.SIGSTOP)  # else it would start others
    leaders = {leader(server, name) for name in ("web", "worker")}
    dying = [os.pidfd_open(pid) for pid in leaders | server.serving()]
    for pid in leaders:
        os.killpg(pid, signal.SIGKILL)
    server.process.kill()
    server.process.wait()
    server.process = None
    for one in dying:
        select.select([one], [], [])  # until it has let go of the socket
        os.close(one)


def uploads_at(server: Running) -> int:
    """How many uploads a server is writing down just now."""
    files = str(server.config.files)
    opened = [link for pid in server.serving() for link in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(str(link.readlink()).startswith(files) for link in opened if link.is_symlink())


def answered_by(server: Running) -> int:
    """How many requests a server has answered."""
    return (server.place / "logs" / "web.log").read_text().count('"says": "answered"')
