"""Debian's Nginx with the site of deploy/nginx, as `install.sh` fills it in, in front of a running server."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.factories_ports import free_port, listens
from webapp.app import PAGES

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NAME = "web.hospital.test"
_MAIN = """
daemon off;
{user}
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/web.conf;
}}
"""


@dataclass
class Front:
    """A running Nginx.

    Attributes:
        folder: of its files; `acme` is what it shows for a certificate's authority.
        port, plain_port: of HTTPS and HTTP, on 127.0.0.1.
        process: the master.
    """

    folder: Path
    port: int
    plain_port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        """Where browsers go, by address."""
        return f"https://127.0.0.1:{self.port}"

    def reload(self) -> None:
        """Let it read its configuration anew, and return when only new workers are left."""
        before = self._workers()
        self.process.send_signal(signal.SIGHUP)
        while before & (now := self._workers()) or not now:
            time.sleep(0.05)

    def _workers(self) -> set[str]:
        master = self.process.pid
        return set(Path(f"/proc/{master}/task/{master}/children").read_text().split())

    def logged(self) -> str:
        """What it has written about requests."""
        return (self.folder / "access.log").read_text()


def site(values: Mapping[str, object]) -> str:
    """Return deploy/nginx/web.conf with what stands between @ and @ filled in."""
    # All clients of a test come from one address.
    text = (DEPLOY / "nginx" / "web.conf").read_text().replace("rate=100r/s", "rate=10000r/s")
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


@contextmanager
def nginx_in_front(folder: Path, sockets: list[Path], certificate: Path, key: Path, **more: object) -> Iterator[Front]:
    """Run Nginx while the block runs.

    Args:
        folder: of its files.
        sockets: of the back ends.
        certificate, key: of NAME, for now.
        more: other values for the site, by name.
    """
    (folder / "acme").mkdir(parents=True)
    front = Front(folder, free_port(), free_port(), None)  # type: ignore[arg-type]
    values = {
        "NAME": NAME,
        "LISTEN": f"127.0.0.1:{front.port}",
        "LISTEN_PLAIN": f"127.0.0.1:{front.plain_port}",
        "CERTIFICATE": certificate,
        "KEY": key,
        "SOCKETS": " ".join(f"server unix:{path} max_fails=0;" for path in sockets),
        "PAGES": PAGES,
        "ACME": folder / "acme",
        "UPLOAD_MB": 64,
        "LOG": folder / "access.log",
        "HEADERS": DEPLOY / "nginx" / "headers.conf",
    }
    (folder / "web.conf").write_text(site(values | more))
    # Its workers would be another account, which may not look into a test's folders.
    user = "user root;" if Path(folder).owner() == "root" else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert nginx
    argv = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    subprocess.run([*argv, "-t", "-q"], check=True, timeout=60)
    with (folder / "stderr.log").open("wb") as log:
        front.process = subprocess.Popen(argv, stderr=log)
    try:
        while not listens(front.port):
            assert front.process.poll() is None, (folder / "stderr.log").read_text()
        yield front
    finally:
        front.process.terminate()
        front.process.wait(30)
