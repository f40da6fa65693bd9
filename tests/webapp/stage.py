"""The servers that the pages are looked at on: a hospital's, and a coordinator's with a federation on record.

`python -m tests.webapp.stage` starts both and says how to sign in; it stays until it is interrupted.
"""

import argparse
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine

from core.clock import after
from core.records import runs
from core.records.db import open_database, transaction
from core.records.registry import list_versions
from core.records.rounds import close_round
from core.records.tables import Effort, Presence, Round, Site, Version
from core.signing import load_key
from fl_server.approval import fulfill_wishes
from tests.webapp.factories import PASSWORD, USERS, a_home, a_patient, another_version
from tests.webapp.factories_running import Running, running

SITES = ("ankara", "izmir", "trabzon")
STUDY = """
name = "gbm"
[federation]
rounds = 12
quorum = 2
[budget]
money = 20
gpu_hours = 18
"""
PRIVATE = f"""
name = "gbm-private"
[privacy]
epsilon = 3
validation = "{"0" * 64}"
[federation]
rounds = 6
"""
RUNS = (
    ("gbm-1", "gbm", 13, "finished"),
    ("gbm-private-1", "gbm-private", 6, "paused"),
    ("gbm-2", "gbm", 4, "running"),
)


@contextmanager
def a_hospital(
    folder: Path, database: str = "", home: Path | None = None, **sections: dict[str, object]
) -> Iterator[Running]:
    """A hospital's server with its users, and two patients' DICOM under FOLDER/patient and FOLDER/other.

    Its model is that of a home, such as `fl-simulate run` has left, or a tiny one of fresh weights.
    """
    home = home or a_home(folder / "home")
    a_patient(folder / "patient" / "MRN-4711")
    a_patient(folder / "other" / "MRN-4712", "MRN-4712", seed=2)
    with running(folder, home, USERS, database, **sections) as server:
        yield server


@contextmanager
def a_coordinator(folder: Path, database: str = "") -> Iterator[Running]:
    """A coordinator's server with sites, runs and versions on record, and what signs its wishes as `fl-server` does."""
    home = a_home(folder / "home")
    (home / "server.toml").write_text("[prices]\ngpu_hour = 0.8\ngb_sent = 0.09\n")
    (first,) = list_versions(home / "registry")
    candidate = another_version(home, 0.01, approve=False)
    with running(folder, home, USERS, database, site={"serves": "coordinator"}) as server:
        engine = open_database(server.config.database_url)
        put_on_record(engine, first, candidate)
        done = threading.Event()
        signing = threading.Thread(target=_sign, args=(engine, home, done), daemon=True)
        signing.start()
        try:
            yield server
        finally:
            done.set()
            signing.join()
            engine.dispose()


def _sign(engine: Engine, home: Path, done: threading.Event) -> None:
    key = load_key(home / "signing.key")
    while not done.wait(0.3):
        fulfill_wishes(engine, home / "registry", key)


def put_on_record(engine: Engine, approved: str, candidate: str) -> None:
    """Write down three sites, a finished run, one that goes on, one under differential privacy, and two versions."""
    with transaction(engine) as session:
        for name, seen in zip(SITES, (2, 3, 7200), strict=True):
            session.add(
                Site(name=name, state="enrolled", invited_at=_ago(9e6), enrolled_at=_ago(8e6), seen_at=_ago(seen))
            )
        session.add(Site(name="bursa", state="invited", invited_at=_ago(3e5)))
        for site, done in zip(SITES, (31, 12, 0), strict=True):
            session.add(
                Presence(
                    site=site, state="training" if done else "idle", run="gbm-2" if done else "", round=5, done=done,
                    total=40, progressed_at=_ago(2), expected_end=after(90), device="NVIDIA L4", cause="",
                )
            )  # fmt: skip
        for run, hours in (("gbm-1", 5.0), ("gbm-2", 1.6), ("gbm-private-1", 0.8)):
            for number, site in enumerate(SITES):
                sent = int((9 + number) * 1e8)
                session.add(
                    Effort(run=run, site=site, sent_bytes=sent, received_bytes=sent, cpu_s=600.0, gpu_s=3600 * hours)
                )
        for name, run, state in ((approved, "gbm-1", "approved"), (candidate, "gbm-2", "candidate")):
            session.add(
                Version(
                    name=name, study="gbm", run=run, state=state, weights_sha256="0" * 64, created_at=_ago(5e5),
                    decided_at=None, wish=None, wished_by=None, cause=None,
                )
            )  # fmt: skip
    for study, toml in (("gbm", STUDY), ("gbm-private", PRIVATE)):
        runs.offer_study(
            engine, study=study, toml=toml, bundle=b"", bundle_sha256="a" * 64, sites=list(SITES), actor="coordinator"
        )
    for run, study, rounds, state in RUNS:
        runs.create_run(
            engine, run=run, study=study, folder="f", sites=list(SITES), actor="coordinator", state="running"
        )
        for number in range(1, rounds + 1):
            close_round(engine, _round(run, number), weights={}, receipts={}, aggregate="a" * 64, strategy="fedavg")
        if state == "paused":
            runs.move_run(engine, run, state, actor="coordinator", cause="1 of 2 sites within 1 hour: below the quorum")
        if state == "finished":
            runs.move_run(engine, run, state, actor="coordinator", version=approved)


def _round(run: str, number: int) -> Round:
    learned = number / (number + 4)
    scores = {
        site: {
            "loss": round(0.72 - 0.3 * learned + 0.03 * place, 3),
            "auc": round(0.5 + 0.4 * learned - 0.03 * place, 3),
        }
        for place, site in enumerate(SITES)
    }
    absent = {"trabzon": "no answer before the deadline"} if number == 3 else {}
    present = [site for site in SITES if site not in absent]
    told = None if "private" in run else {site: scores[site] for site in present}
    return Round(
        run=run, number_of_try=number, round=number, counted=True, sites=present, left_out=absent,
        loss=round(0.73 - 0.3 * learned, 3), auc=round(0.47 + 0.42 * learned, 3), by_site=told,
        seconds=180.0 + 9 * number, closed_at=_ago(4e5 - 900 * number),
    )  # fmt: skip


def _ago(seconds: float) -> str:
    return after(-seconds)


def told(server: Running, folder: Path) -> dict[str, object]:
    """Return what a browser needs to use a server."""
    users = {name: {"role": role, "password": PASSWORD, "secret": server.secrets[name]} for name, role in USERS.items()}
    return {"url": server.url, "users": users, "folder": str(folder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="holds the approved version that the hospital predicts with")
    parser.add_argument("--json", type=Path, help="where to write the addresses and how to sign in")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else its servers would go on without it
    with tempfile.TemporaryDirectory(prefix="gliofed-stage-") as name:
        folder = Path(name)
        at_hospital = a_hospital(folder / "hospital", home=options.home)
        with at_hospital as hospital, a_coordinator(folder / "coordinator") as coordinator:
            both = {
                "hospital": told(hospital, folder / "hospital"),
                "coordinator": told(coordinator, folder / "coordinator"),
            }
            text = json.dumps(both, indent=1)
            if options.json:
                options.json.write_text(text + "\n")
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
            with suppress(KeyboardInterrupt):
                threading.Event().wait()


if __name__ == "__main__":
    main()
