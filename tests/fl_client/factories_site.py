"""A site's home with a prepared cohort of noise and a study that its people have approved."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from core.clock import now
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of
from core.messages import Records, Task, task_of, task_records
from core.records import audit
from core.records.db import open_database, reading
from core.site_protocol import StudyOffer
from core.study import Study, TrainingSettings
from fl_client.enrollment import join
from fl_client.paths import SiteHome
from fl_client.site_records import SiteRecords
from tests.fl_client.factories_coordinator import ScriptedCoordinator
from tests.simulations.factories_federation import a_study, make_site, write_study

RECEIPT = "c" * 64
RUN = "tiny-run-1"


def make_home(folder: Path, site: str = "site-a", cases: int = 6) -> SiteHome:
    make_site(folder, site, cases)
    return SiteHome(folder)


def study_text(folder: Path, study: Study) -> str:
    return write_study(folder, study).read_text()


def an_offer(text: str, study: str = "tiny", bundle_sha256: str = "b" * 64) -> StudyOffer:
    return StudyOffer(
        study=study,
        toml=text,
        bundle_sha256=bundle_sha256,
        rounds_close="2 of 2 sites within 1 hour, else pause and keep what is done",
        sites=["site-a", "site-b"],
        state="pending",
        reason="",
        offered_at=now(),
    )


def approved(home: SiteHome, text: str, site: str = "site-a") -> SiteRecords:
    records = SiteRecords(site, home.records)
    # Another text is another bundle, as it is with a coordinator.
    records.learn(an_offer(text, bundle_sha256=sha256(text.encode()).hexdigest()), b"an app bundle")
    records.answer("tiny", "approved", "")
    return records


def a_long_study(epochs: int = 100) -> Study:
    """A study whose round is long enough to be caught in the middle."""
    return a_study().model_copy(update={"training": TrainingSettings(epochs_per_round=epochs)})


def a_task(study: Study, round_number: int = 1, run: str = RUN) -> Task:
    model = build_model(study.model, seed=11)
    return task_of(study, round_number, flatten(model), manifest_of(model).digest, run, RECEIPT)


def a_request(study: Study, round_number: int = 1, run: str = RUN) -> Records:
    return task_records(a_task(study, round_number, run))


def events(home: SiteHome, action: str | None = None) -> list[str]:
    """The site's audit log, as the actions of its events."""
    with reading(open_database(home.records)) as session:
        return [event.action for event in audit.events(session, action=action)]


def start_trainer(home: SiteHome) -> "subprocess.Popen[bytes]":
    """The resident trainer as a process of its own; it takes seconds until it listens."""
    home.logs.mkdir(exist_ok=True)
    with (home.logs / "trainer.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "fl_client.trainer_process"],
            env={"FL_HOME": str(home.root), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]},
            stdout=log,
            stderr=log,
        )


def join_home(folder: Path, coordinator: ScriptedCoordinator, site: str = "north", cases: int = 0) -> SiteHome:
    """The home of an enrolled site, with a prepared cohort of noise if it is to have cases."""
    home = SiteHome(folder)
    if cases:
        make_site(folder, site, cases)
        home.settings.unlink()
    coordinator.used = False
    join(coordinator.invite(site), home)
    return home
