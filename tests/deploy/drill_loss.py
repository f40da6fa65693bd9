"""The drill's steps of loss: backups as their timers make them, a database's disk that is gone, and all of it back."""

import subprocess
from datetime import UTC, datetime

from simulations.local import wait_for
from tests.deploy.factories_drill import CURRENT, DATA, Drill

BACKUPS = "/var/backups/gliofed"
COUNTS = "SELECT (SELECT COUNT(*) FROM audit_events), (SELECT COUNT(*) FROM predictions), (SELECT COUNT(*) FROM users)"


def loss(drill: Drill) -> None:
    """North's database: backed up, changed, destroyed, restored to the second, and its log verified."""
    drill.step("backups: whole server with its drill, dump, binary logs", lambda: backed_up(drill))
    drill.step("the power fails, and the database's disk is empty after it", lambda: destroyed(drill))
    drill.step("restored to the second before", lambda: restored(drill))


def backed_up(drill: Drill) -> str:
    north = drill.machines["north"]
    made = subprocess.run(["age-keygen"], check=True, capture_output=True, text=True)
    (drill.folder / "identity").write_text(made.stdout)
    north.write("/etc/gliofed/backup.recipients", made.stderr.strip().removeprefix("Public key: ") + "\n")
    drill.install("north")  # which starts their timers now
    timers = north.run("systemctl", "list-timers", "--all", "--no-legend").stdout
    assert all(f"gliofed-{name}.timer" in timers for name in ("backup", "dump", "binlogs", "verify-audit")), timers
    for unit in ("gliofed-backup", "gliofed-dump"):
        north.run("systemctl", "start", unit)
    north.run(
        "fl-web", "create-user", "after-the-dump", "--role", "auditor", "--data", DATA, input="a long password it is\n"
    )
    drill.folder.joinpath("before").write_text(drill.sql("north", COUNTS))
    # The logs are copied up to a second that is over.
    moment = int(datetime.now(UTC).timestamp()) + 1
    wait_for(lambda: datetime.now(UTC).timestamp() > moment + 1, "two seconds to pass")
    north.run("systemctl", "start", "gliofed-binlogs")
    drill.folder.joinpath("moment").write_text(datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S"))
    north.sync()
    sizes = north.run("du", "--summarize", "--bytes", f"{BACKUPS}/web", f"{BACKUPS}/database").stdout.split()
    return f"{sizes[0]} and {sizes[2]} bytes; a user was added after the dump"


def destroyed(drill: Drill) -> str:
    north = drill.machines["north"]
    north.cut_power()
    north.boot()
    north.run("systemctl", "stop", "mariadb")
    north.run(
        "sh", "-c", "rm -rf /var/lib/mysql/* && mariadb-install-db --user=mysql >/dev/null && systemctl start mariadb"
    )
    problem = "Problem: The database gliofed at /run/mysqld/mysqld.sock cannot be used"
    wait_for(lambda: problem in north.journal("gliofed-web"), "fl-web to say so")
    return "fl-web says that the database cannot be used"


def restored(drill: Drill) -> str:
    north = drill.machines["north"]
    north.run(
        "systemctl",
        "stop",
        "gliofed-web.socket",
        "gliofed-web",
        "gliofed-dump.timer",
        "gliofed-binlogs.timer",
        "gliofed-backup.timer",
    )
    identity = "/run/stick/identity"  # in memory: brought on a stick, and taken away again
    north.run("install", "-D", "--mode=600", "/dev/stdin", identity, input=(drill.folder / "identity").read_text())
    moment = (drill.folder / "moment").read_text()
    north.run(f"{CURRENT}/deploy/backup/restore-database.sh", "--until", moment, "--identity", identity)
    north.run("rm", "--recursive", "/run/stick")
    north.run(f"{CURRENT}/deploy/mariadb/accounts.sh")
    accepted = north.run("fl-web", "accept-restore", "--data", DATA).stdout
    drill.install("north")
    north.run("systemctl", "start", "gliofed-dump")
    wait_for(lambda: drill.client("north").get("/readyz").json()["ready"], "north to be ready")
    before = (drill.folder / "before").read_text().split()
    after = drill.sql("north", COUNTS).split()
    assert int(after[0]) >= int(before[0]), (before, after)
    assert after[1:] == before[1:], (before, after)
    intact = north.run("fl-web", "verify-audit", "--data", DATA).stdout.splitlines()[-1].partition(",")[0]
    return f"{after[1]} predictions and {after[2]} users are there; {accepted.splitlines()[0]} {intact}"
