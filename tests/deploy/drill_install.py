"""The drill's steps with install.sh: from an empty machine, twice, to another release, back from one that is broken."""

import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

from simulations.local import wait_for
from tests.deploy.factories_drill import BUNDLES, CURRENT, DRILL, WEB, Drill

TABLES = "SELECT GROUP_CONCAT(table_name) FROM information_schema.tables WHERE table_schema = 'gliofed'"
BROKEN_MIGRATION = """
from alembic import op
revision, down_revision, branch_labels, depends_on = "9999", "{head}", None, None
def upgrade():
    op.execute("ALTER TABLE users ADD COLUMN broken INTEGER")
"""


def install(drill: Drill) -> None:
    """Every machine, from Debian with its packages, and again."""
    first = next(iter(drill.machines))
    drill.step("bundles that are not as their maker signed them", lambda: refused(drill, first))
    drill.step("install.sh --offline, all machines side by side", lambda: all_of(drill, "serves"))
    drill.step("install.sh again", lambda: again(drill))


def all_of(drill: Drill, seen: str) -> str:
    drill.on_all(drill.install)
    with_pages = [
        drill.machines[name].run("curl", "-ksf", f"https://{WEB[name]}/app/").stdout for name in drill.machines
    ]
    assert all("<script" in page for page in with_pages)
    for machine in drill.machines.values():
        failed = machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout
        assert failed == "", failed
        machine.sync()
    return f"{', '.join(drill.machines)}: {seen}"


def again(drill: Drill) -> str:
    before = {name: state(drill, name) for name in drill.machines}
    drill.on_all(drill.install)
    assert {name: state(drill, name) for name in drill.machines} == before
    return "nothing was changed, nothing started anew"


def state(drill: Drill, name: str) -> str:
    """What install.sh could change: files with their times, and since when services run."""
    places = ["/etc", "/opt/gliofed", "/usr/local/bin"]
    files = drill.machines[name].run("find", *places, "-type", "f", "-printf", "%p %T@ %m %u\n").stdout
    units = "gliofed-web", "gliofed-coordinator", "gliofed-client", "nginx", "mariadb"
    since = drill.machines[name].run("systemctl", "show", "--property=Id,ActiveEnterTimestampMonotonic", *units).stdout
    return "\n".join(sorted(line for line in files.splitlines() if "ld.so.cache" not in line)) + since


def refused(drill: Drill, name: str) -> str:
    """Each damage, and what install.sh says; nothing is left of it."""
    damages: dict[str, tuple[Callable[[Path], None], str]] = {
        "a wheel was changed": (change_wheel, "damaged"),
        "its hash too": (lambda folder: (change_wheel(folder), rehash(folder)), "was changed since"),  # type: ignore[dict-item]
        "a file was added": (lambda folder: (folder / "deploy" / "more.sh").write_text("true"), "did not put there"),
        "a link was added": (lambda folder: (folder / "x").symlink_to("/etc/passwd"), "is no file"),
    }
    work = drill.folder / "damaged"
    for what, (damage, told) in damages.items():
        unpack(drill, work)
        damage(work)
        pack(work, drill.folder / "bundles" / "bad.tar")
        done = drill.install(name, *signed("bad.tar"), check=False)
        assert (done.returncode, told in done.stderr) == (2, True), (what, done)
        shutil.rmtree(work)
    other = drill.folder / "other.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", other], check=True)
    subprocess.run(
        ["openssl", "pkey", "-in", other, "-pubout", "-out", drill.folder / "bundles" / "other.pub"], check=True
    )
    done = drill.install(name, *signed("good.tar", "other.pub"), check=False)
    assert (done.returncode, "was not signed with" in done.stderr) == (2, True), done
    left = drill.machines[name].run("find", "/opt/gliofed", "-mindepth", "1", "!", "-name", "releases").stdout
    assert left == ""
    return f"{len(damages) + 1} kinds refused with what is wrong; nothing was left"


def upgrade(drill: Drill) -> None:
    """To another release, with a cut of power, and back, at north."""
    drill.step("upgrade cut off by a cut of power, and run again", lambda: cut_off(drill))
    drill.step("install.sh --back", lambda: went_back(drill))


def broken_upgrade(drill: Drill) -> None:
    """To a release that is broken, and so not, at north."""
    drill.step("upgrade to a release that changes tables and does not serve", lambda: broken(drill))


def cut_off(drill: Drill) -> str:
    north, before = drill.machines["north"], current(drill)
    make(drill, "next.tar", lambda folder: append(folder / "docs" / "web.md", b"\nThe next release.\n"))
    role = ["hospital", "--name", WEB["north"], "--listen", north.address]
    argv = north.inside(f"{BUNDLES}/install.sh", *role, *signed("next.tar"))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as installing:
        aside = "/var/backups/gliofed/upgrade/database.sql"
        wait_for(lambda: north.run("test", "-e", aside, check=False).returncode == 0, "the upgrade to begin")
        north.cut_power()
        installing.kill()
    north.boot()
    assert current(drill) == before
    drill.install("north", *signed("next.tar"))
    assert current(drill) != before
    assert "The next release." in north.read(f"{CURRENT}/docs/web.md")
    assert drill.client("north").get("/healthz").status_code == 200
    return "north came up with the old release, and the second try brought the new one"


def broken(drill: Drill) -> str:
    north, before, had = drill.machines["north"], current(drill), counted(drill)
    make(drill, "broken.tar", break_wheel)
    done = drill.install("north", *signed("broken.tar"), check=False)
    assert done.returncode == 1, done
    assert "this release does not start" in done.stderr, done
    assert "serves again" in done.stderr, done
    assert current(drill) == before
    assert counted(drill) == had
    assert "broken" not in drill.sql("north", "SELECT GROUP_CONCAT(column_name) FROM information_schema.columns")
    wait_for(lambda: drill.client("north").get("/healthz").status_code == 200, "north to serve")
    north.run("fl-web", "verify-audit", "--data", "/var/lib/gliofed/web")
    return f"the old release and its tables are back, with all rows of {len(had)} tables; the log is intact"


def went_back(drill: Drill) -> str:
    before = current(drill)
    drill.install("north", "--back")
    after = current(drill)
    assert after != before
    assert drill.client("north").get("/healthz").status_code == 200
    return f"{before} to {after}"


def current(drill: Drill) -> str:
    return Path(drill.machines["north"].run("readlink", CURRENT).stdout.strip()).name


def counted(drill: Drill) -> dict[str, str]:
    """How many rows there are, but of what changes with the clock."""
    tables = drill.sql("north", TABLES).strip().split(",")
    return {name: drill.sql("north", f"SELECT COUNT(*) FROM {name}") for name in tables if name != "tallies"}


def signed(bundle: str, key: str = "release.key.pub") -> tuple[str, ...]:
    return "--offline", f"{BUNDLES}/{bundle}", "--key", f"{BUNDLES}/{key}"


def make(drill: Drill, name: str, change: Callable[[Path], None]) -> None:
    """Another release, signed with the same key."""
    work = drill.folder / name.removesuffix(".tar")
    unpack(drill, work)
    change(work)
    rehash(work)
    sign = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", DRILL / "release.key", "-in", work / "SHA256SUMS"]
    subprocess.run([*sign, "-out", work / "SHA256SUMS.sig"], check=True)
    pack(work, drill.folder / "bundles" / name)
    shutil.rmtree(work)


def unpack(drill: Drill, folder: Path) -> None:
    folder.mkdir()
    bundle = drill.folder / "bundles" / "good.tar"
    subprocess.run(["tar", "-xf", bundle, "-C", folder, "--strip-components=1"], check=True)


def pack(folder: Path, bundle: Path) -> None:
    subprocess.run(["tar", "-cf", bundle, "-C", folder.parent, folder.name], check=True)


def rehash(folder: Path) -> None:
    listing = (
        "find . -type f ! -name 'SHA256SUMS*' -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum >SHA256SUMS"
    )
    subprocess.run(listing, shell=True, cwd=folder, check=True)


def change_wheel(folder: Path) -> None:
    append(next((folder / "wheels").glob("pydicom*")), b"!")


def append(file: Path, more: bytes) -> None:
    file.write_bytes(file.read_bytes() + more)


def break_wheel(folder: Path) -> None:
    """A release with a step more for the tables, whose server does not start."""
    (wheel,) = (folder / "wheels").glob("gliofed-*.whl")
    with zipfile.ZipFile(wheel) as old:
        files = {one: old.read(one) for one in old.namelist()}
    migrate = files["core/records/migrate.py"].decode()
    head = migrate.partition('HEAD = "')[2].partition('"')[0]
    files["core/records/migrate.py"] = migrate.replace(f'HEAD = "{head}"', 'HEAD = "9999"').encode()
    files["core/records/migrations/versions/m9999.py"] = BROKEN_MIGRATION.format(head=head).encode()
    files["webapp/serving.py"] += (
        b'\n\ndef processes_of(*_: object) -> None:\n    sys.exit("this release does not start")\n'
    )
    with zipfile.ZipFile(wheel, "w") as new:
        for name, content in files.items():
            new.writestr(name, content)
