"""Nginx with the web's site before a running server, and clients that ask all the time."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import httpx

from tests.deploy.factories_nginx import NAME, Front, nginx_in_front
from tests.webapp.factories import USERS, a_home
from tests.webapp.factories_running import Running, running, sign_in, trusting
from webapp.serving import development_certificate

HOSTS = {"hosts": ["localhost", "127.0.0.1", NAME], "proxies": 1}


@dataclass
class Site:
    """Nginx and what is behind it."""

    front: Front
    server: Running

    @contextmanager
    def client(self, name: str | None = None) -> Iterator[httpx.Client]:
        """A client that comes in by Nginx, signed in as a user (each once: a code is good for one), or as nobody."""
        with httpx.Client(base_url=self.front.url, verify=trusting(self.server.config.data), timeout=600) as client:
            if name:
                sign_in(client, name, self.server.secrets[name])
            yield client


@contextmanager
def a_site(folder: Path) -> Iterator[Site]:
    """Run Nginx and a hospital's server, with a certificate that is replaced later: folder/tls."""
    home = a_home(folder / "home")
    users = {**USERS, "lena": "clinician"}
    with running(folder, home, users, socket_at=folder / "web.sock", server=HOSTS) as server:
        tls = folder / "tls"
        tls.mkdir(mode=0o700)
        for name, made in zip(("certificate.pem", "key.pem"), development_certificate(server.config), strict=True):
            (tls / name).write_bytes(made.read_bytes())
        sockets = [folder / "web.sock"]
        with nginx_in_front(folder / "nginx", sockets, tls / "certificate.pem", tls / "key.pem") as front:
            yield Site(front, server)


@contextmanager
def asking(clients: Iterable[Callable[[], int]]) -> Iterator[Counter[object]]:
    """Let each client ask again and again while the block runs, and count the statuses and errors that they get."""
    answered: Counter[object] = Counter()
    done = threading.Event()

    def ask(client: Callable[[], int]) -> None:
        while not done.is_set():
            try:
                answered[client()] += 1
            except (OSError, HTTPException, httpx.HTTPError) as error:
                answered[repr(error)] += 1

    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        done.set()
        for thread in threads:
            thread.join()


@contextmanager
def on_open_lines(site: Site, many: int) -> Iterator[list[Callable[[], int]]]:
    """Clients that ask over lines that stay open."""
    with ExitStack() as stack:
        clients = [stack.enter_context(site.client()) for _ in range(many)]
        yield [lambda client=client: client.get("/session/ways").status_code for client in clients]  # type: ignore[misc]
