"""Machines of a federation: Debian with systemd as process 1, on a network that leads nowhere else.

Each is the root folder that `machine.sh` makes, under an overlay of its own, booted by systemd-nspawn with namespaces
for processes, mounts, network, name and control groups. Its root has the rights that units need to confine themselves,
so these do what they do on a hospital's machine. The process that uses this is in namespaces of its own, by the command
line ALONE: they have the machines' network, and end the machines when it ends, however it does.
"""

import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALONE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
OURS = "10.77.0.1"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FORWARDING = [Path("/proc/sys/net", family) for family in ("ipv4/ip_forward", "ipv6/conf/all/forwarding")]
SHUT_DOWN_AT_ONCE = 0x8004587D, struct.pack("I", 2)  # a file system, which writes nothing more: linux/fs.h
DISK = "64G"  # of which its image takes what is used
CGROUPS = Path("/sys/fs/cgroup")
STATE = Path("/run/systemd/nspawn")
BOOT_SECONDS, STOP_SECONDS = 60, 30


def debian() -> Path:
    """The root folder of machines, made if it is not there."""
    subprocess.run([ROOT / "tests/deploy/machine.sh", ROOT / "build/machine"], check=True)
    return ROOT / "build/machine"


def lan() -> None:
    """Make the machines' network in this namespace, which is 10.77.0.1 there and passes nothing on."""
    for forwarding in FORWARDING:
        forwarding.write_text("0")
    for arguments in ("link set lo up", "link add lan type bridge", f"addr add {OURS}/24 dev lan", "link set lan up"):
        subprocess.run(["ip", *arguments.split()], check=True)


@dataclass
class Machine:
    """One machine; off until it boots."""

    name: str
    address: str
    base: Path
    folder: Path
    isolated: bool
    binds: Mapping[Path, str]
    leader: int = field(default=0, init=False)
    nspawn: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.root, self.disk, self.log = (self.folder / name for name in ("root", "disk", "console.log"))

    @property
    def cgroups(self) -> list[Path]:
        """Its place in the one hierarchy of control groups or, where version 1 is in use too, in the two of systemd."""
        two = [CGROUPS / "systemd", CGROUPS / "unified"]
        network = Path("/proc/self/ns/net").stat().st_ino
        return [top / f"gliofed-{network}-{self.name}" for top in (two if two[1].exists() else [CGROUPS])]

    def boot(self) -> None:
        """Switch it on, and return when all that it starts by itself has started, or failed to."""
        self.leader = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.bind("")  # a name without a file, of the kernel's choice
            self.nspawn = self.spawn(f"@{notices.getsockname()[1:].decode()}")
            self.leader = int(self.awaited("X_NSPAWN_LEADER_PID", notices))
            # Its process 1 has begun only now, and starts no service before it has read its units.
            self.connect()
            self.awaited("READY", notices)
        state = self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip()
        assert state in {"running", "degraded"}, f"{self.name} is {state}\n{self.log.read_text()[-3000:]}"

    def spawn(self, notify: str) -> "subprocess.Popen[bytes]":
        join = "".join(f"mkdir -p {group} && echo $$ >{group}/cgroup.procs && " for group in self.cgroups)
        nspawn = ["systemd-nspawn", f"--directory={self.root}", f"--machine={self.name}", "--boot", "--console=pipe"]
        nspawn += ["--quiet", "--register=no", "--keep-unit", "--settings=no", "--notify-ready=yes"]
        nspawn += ["--link-journal=no", "--resolv-conf=off", "--timezone=off", "--network-bridge=lan"]
        # For IPAddressDeny= and its like, which are programs in the kernel.
        nspawn += ["--capability=CAP_BPF", "--system-call-filter=bpf"]
        nspawn += [f"--bind-ro={source}:{target}" for source, target in self.binds.items()]
        environment = {"PATH": PATH, "NOTIFY_SOCKET": notify}
        # Debian's /tmp is on its disk; its control groups are of version 2 even where this machine's are not.
        environment |= {"SYSTEMD_NSPAWN_TMPFS_TMP": "0", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        command = ["sh", "-c", f'{join} exec "$@" </dev/null 2>&1', "sh", *nspawn]
        with self.log.open("ab") as console:
            return subprocess.Popen(command, env=environment, stdout=console)

    def awaited(self, key: str, notices: socket.socket) -> str:
        """What systemd-nspawn tells of this."""
        assert self.nspawn
        ended = os.pidfd_open(self.nspawn.pid)
        try:
            while notices in select.select([notices, ended], [], [], BOOT_SECONDS)[0]:
                told = dict(line.partition("=")[::2] for line in notices.recv(4096).decode().splitlines())
                if key in told:
                    return told[key]
        finally:
            os.close(ended)
        self.cut_power()
        raise AssertionError(f"{self.name} does not boot: no {key}\n{self.log.read_text()[-3000:]}")

    def connect(self) -> None:
        if self.isolated:
            subprocess.run(["bridge", "link", "set", "dev", f"vb-{self.name}", "isolated", "on"], check=True)
        # A machine that runs containers passes packets on, and so would namespaces made on it.
        network = f"echo 0 >{FORWARDING[0]} && ip addr add {self.address}/24 dev host0 && ip link set host0 up"
        subprocess.run(["nsenter", f"--target={self.leader}", "--net", "sh", "-c", network], check=True)

    def inside(self, *argv: str, account: str = "root", **environment: str) -> list[str]:
        """That command line, from outside."""
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        enter = ["nsenter", f"--target={self.leader}", *spaces, "--wdns=/", "--"]
        settings = {"PATH": PATH, "LANG": "C.UTF-8"} | ({"HOME": "/root"} if account == "root" else {}) | environment
        clean = ["env", "--ignore-environment", *(f"{name}={value}" for name, value in settings.items())]
        return [*enter, *([] if account == "root" else ["runuser", f"--user={account}", "--"]), *clean, *argv]

    def run(
        self,
        *argv: str,
        account: str = "root",
        input: str | None = None,  # noqa: A002 - as subprocess.run has it
        check: bool = True,
        **environment: str,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program of this machine, with nothing of this process's environment."""
        command = self.inside(*argv, account=account, **environment)
        done = subprocess.run(command, input=input or "", capture_output=True, text=True, check=False)
        told = f"{self.name}: {' '.join(argv)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert not check or done.returncode == 0, told
        return done

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of root's, and the folders above it."""
        self.run("install", "-D", f"--mode={mode:o}", "/dev/stdin", path, input=text)
        self.sync()

    def read(self, path: str) -> str:
        return self.run("cat", path).stdout

    def copy(self, source: Path, target: str) -> None:
        """Make this folder of the machine's a copy of that one, as root's."""
        self.run("mkdir", "--parents", target)
        with subprocess.Popen(["tar", f"--directory={source}", "--create", "."], stdout=subprocess.PIPE) as packed:
            unpack = self.inside("tar", f"--directory={target}", "--extract", "--no-same-owner")
            subprocess.run(unpack, stdin=packed.stdout, check=True)
        assert packed.returncode == 0, f"{source} could not be read"
        self.sync()

    def sync(self) -> None:
        """Make all that was done up to now outlast a cut of power."""
        subprocess.run(["sync", "--file-system", self.disk], check=True)

    def journal(self, unit: str) -> str:
        """All that a unit wrote, since the machine was made."""
        return self.run("journalctl", f"--unit={unit}", "--no-pager", "--output=short-precise").stdout

    def cut_power(self) -> None:
        """End all its processes at once, and forget what its disk was not yet told to keep."""
        assert self.nspawn
        if self.leader and self.nspawn.poll() is None:
            os.kill(self.leader, signal.SIGKILL)  # the kernel ends all others then
        else:
            self.nspawn.kill()
        disk = os.open(self.disk, os.O_RDONLY)
        fcntl.ioctl(disk, *SHUT_DOWN_AT_ONCE)
        os.close(disk)
        self.nspawn.wait(STOP_SECONDS)
        self.unmount()
        self.mount()

    def shut_down(self) -> None:
        """Halt as its administrator would, or else cut the power, and leave nothing but its disk."""
        if self.nspawn and self.nspawn.poll() is None:
            self.nspawn.terminate()
            try:
                self.nspawn.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.cut_power()
        self.unmount()
        for group in self.cgroups:
            for folder in sorted((group, *group.rglob("*/")), reverse=True):
                folder.rmdir()

    def mount(self) -> None:
        """Put its disk, a file system of its own, over the base."""
        image = self.folder / "image"
        if not image.exists():
            for part in (self.root, self.disk):
                part.mkdir(parents=True)
            subprocess.run(["mkfs.ext4", "-q", image, DISK], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mount", "-o", "loop", image, self.disk], check=True)
        for part in ("changes", "work"):
            (self.disk / part).mkdir(exist_ok=True)
        layers = f"lowerdir={self.base},upperdir={self.disk}/changes,workdir={self.disk}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=True)

    def unmount(self) -> None:
        mounted = Path("/proc/self/mounts").read_text()
        for folder in (self.root, self.disk):
            if f" {folder} " in mounted:
                subprocess.run(["umount", folder], check=True)


@contextmanager
def machines(
    base: Path,
    folder: Path,
    names: Sequence[str],
    isolated: Collection[str] = (),
    hosts: Mapping[str, str] | None = None,
    binds: Mapping[Path, str] | None = None,
) -> Iterator[dict[str, Machine]]:
    """Boot machines at 10.77.0.2 and so on, with their disks under `folder`, and shut them down in the end.

    Args:
        base: the root folder that machine.sh made.
        isolated: those that reach 10.77.0.1 and machines that are not isolated, but not each other.
        hosts: further names of their /etc/hosts and the addresses of these.
        binds: folders of this machine that all see, read-only, and where.
    """
    addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, start=2)}
    known = {"localhost": "127.0.0.1"} | addresses | dict(hosts or {})
    running: dict[str, Machine] = {}
    with ExitStack() as ends:
        # A systemd-nspawn keeps what was mounted when it began, unless it is told of unmounts; two share no state.
        STATE.mkdir(parents=True, exist_ok=True)
        for where, *what in ((folder, "--bind", "--make-shared", folder), (STATE, "--types=tmpfs", "tmpfs")):
            subprocess.run(["mount", *what, where], check=True)
            ends.callback(subprocess.run, ["umount", where], check=True)
        for name, address in addresses.items():
            assert len(name) <= 12, "the kernel cuts off the names of longer interfaces"
            machine = running[name] = Machine(name, address, base, folder / name, name in isolated, binds or {})
            ends.callback(machine.shut_down)
            machine.mount()
            (machine.root / "etc/hosts").write_text("".join(f"{known[one]} {one}\n" for one in known))
            (machine.root / "etc/hostname").write_text(f"{name}\n")
            machine.boot()
            machine.sync()
        yield running
