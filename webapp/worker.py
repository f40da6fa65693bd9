"""The process that predicts: it alone loads torch, takes one prediction after the other, and serves what is current.

A version that becomes current, or is retired, counts from the next prediction on. A worker that is told to stop ends
the prediction it holds, if that takes no longer than the supervisor waits; else whoever comes next begins it anew.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sqlalchemy import Engine, select

from core.errors import DataError, FLError, RecordsError
from core.explanation import explain
from core.imaging.found import found_from_json
from core.imaging.preprocessing import prepare_case
from core.imaging.reading import read_chosen
from core.learning.calibration import DECISIONS
from core.learning.explain import grad_cam
from core.predictor import Prediction, Predictor, load_predictor, predict_prepared, use_threads
from core.records.audit import sign_head
from core.records.db import reading, unlogged
from core.records.web_tables import Prediction as Row
from core.records.web_tables import Tally
from webapp import predictions, queue
from webapp.checkpoints import HeadSigner
from webapp.config import WebConfig
from webapp.drafts import FOUND
from webapp.models import about_version, current_folder, trusted_key
from webapp.queue import Answer, Job
from webapp.readiness import SEEN
from webapp.retention import clear_away
from webapp.scratch import clear_scratch, decrypted
from webapp.sealed_files import read_sealed, write_sealed
from webapp.vault import Vault

logger = logging.getLogger("gliofed.worker")

STEPS = ("decrypt", "read", "prepare", "predict", "explain", "keep")
_IDLE_S = 0.1
_ALIVE_EVERY_S = 10.0
_SIGN_EVERY_S = 60.0


class Interrupted(Exception):
    """The worker holds its prediction no more, or is told to stop."""


@dataclass
class Progress:
    """How far a prediction is; its lease is renewed by a thread of its own, since a step may take long.

    Attributes:
        seconds: that each step took.
    """

    engine: Engine
    job: Job
    worker: str
    lease_s: float
    seconds: dict[str, float] = field(default_factory=dict)
    step: str = "starting"
    lost: bool = False

    @contextmanager
    def doing(self, step: str) -> Iterator[None]:
        """Note a step's beginning and how long it takes.

        Raises: Interrupted: another worker has taken over.
        """
        self.step = step
        self.say()
        if self.lost:
            raise Interrupted
        began = time.monotonic()
        yield
        self.seconds[step] = round(time.monotonic() - began, 3)

    def say(self) -> None:
        """Renew the lease, if the database is there; the lease may outlast its absence."""
        done = STEPS.index(self.step) if self.step in STEPS else 0
        try:
            held = queue.renew(self.engine, self.job, self.worker, self.lease_s, self.step, done, len(STEPS))
        except RecordsError:
            logger.warning("the lease could not be renewed")
            return
        self.lost = self.lost or not held

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Renew the lease for as long as the block runs."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self.lease_s / 4):
                self.say()

        thread = threading.Thread(target=beat, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@dataclass
class Worker:
    """Works off the queue.

    Attributes:
        engine: the database.
        config: of the server.
        vault: opens uploads, seals results.
        signer: signs the log's head now and then.
        server: the name of the one whose worker it is, where several share the folder.
        stopping: set from outside.
    """

    engine: Engine
    config: WebConfig
    vault: Vault
    signer: HeadSigner
    server: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)
    _loaded: tuple[Path, Predictor, dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        """Unique among all workers, and the same after a restart."""
        return ":".join(filter(None, (socket.gethostname(), str(self.config.data), self.server)))[-100:]

    def run(self) -> None:
        """Work until told to stop."""
        use_threads(self.config.worker.threads)
        clear_scratch(self.config)
        beside = threading.Thread(target=self._beside, name="beside", daemon=True)
        beside.start()
        self._patiently(lambda: queue.give_back(self.engine, self.name, counts=True))  # it was killed, or died
        while not self.stopping.is_set():
            try:
                worked = self.once()
            except RecordsError as error:  # perhaps in the middle of a prediction, which is then begun anew
                logger.warning(error.problem)
                self._patiently(lambda: queue.give_back(self.engine, self.name, counts=False))
                continue
            if not worked:
                self.stopping.wait(_IDLE_S)
        queue.give_back(self.engine, self.name, counts=False)
        beside.join()

    def _patiently(self, work: Callable[[], object]) -> bool:
        """Do something with the database, which may be away for a while, and say whether there was anything to do."""
        while True:
            try:
                return bool(work())
            except RecordsError as error:
                logger.warning(error.problem)
                if self.stopping.wait(1.0):
                    return False

    def once(self) -> bool:
        """Make one prediction, if one waits and there is a model, and say whether there was one."""
        try:
            folder = current_folder(self.config)
        except RecordsError:
            raise
        except FLError:
            return False  # predictions wait for a model; /readyz says that it is lacking
        job = queue.claim(self.engine, self.name, self.config.worker)
        if job is None:
            return False
        progress = Progress(self.engine, job, self.name, self.config.worker.lease_s)
        try:
            with progress.alive():
                answer = self._answer(job, folder, progress)
            self._patiently(lambda: queue.finish(self.engine, self.vault, job, self.name, answer))
        except Interrupted:
            logger.warning("another worker has taken over", extra={"prediction": job.id})
        except RecordsError:
            raise
        except FLError as error:
            self._fail(job, error)
        except MemoryError:
            self._fail(job, DataError("The scans need more memory than there is", fix="send the original series"))
        return True

    def _fail(self, job: Job, error: FLError) -> None:
        self._patiently(lambda: queue.fail(self.engine, self.vault, job, self.name, error.problem, error.fix))

    def _answer(self, job: Job, folder: Path, progress: Progress) -> Answer:
        predictor, about = self._predictor(folder)
        same = self._same(job, predictor.version)
        if same is not None:
            return same
        key = self.vault.open(job.file_key, f"predictions.file_key/{job.id}")
        draft = self.vault.open_json(job.draft, f"predictions.draft/{job.id}")
        with ExitStack() as until_read:
            with progress.doing("decrypt"):
                scans = until_read.enter_context(decrypted(self.config, job.id, key, draft["names"]))
            with progress.doing("read"):
                found = read_sealed(predictions.folder_of(self.config, job.id) / FOUND, key)
                case = read_chosen(found_from_json(found, scans), draft["chosen"])
        with progress.doing("prepare"):
            prepared = prepare_case(case.volumes, predictor.study.preprocessing)
        with progress.doing("predict"):
            prediction = predict_prepared(predictor, prepared)
        with progress.doing("explain"):
            evidence = _evidence(prediction)
            cam = grad_cam(predictor.model, prepared.image, evidence.head, answer=evidence.answer) if evidence else None
            explained = explain(case.volumes, prepared, prediction.tumor_map, cam)
        with progress.doing("keep"):
            for name, content in explained.files.items():
                write_sealed(predictions.folder_of(self.config, job.id) / f"r{name}", key, content)
        result = {
            **prediction.as_json(),
            **{f"{head}_threshold": predictor.calibration.of(head).threshold for head in DECISIONS},
            "volumes_ml": explained.volumes_ml,
            "files": sorted(explained.files),
            "gradcam": evidence._asdict() if evidence else None,
            "quality": {"verdict": prepared.quality.verdict, "reasons": list(prepared.quality.reasons)},
            "sources": {name: {"confidence": s.confidence, "notes": list(s.notes)} for name, s in case.sources.items()},
            "model": about,
            "seconds": progress.seconds,
        }
        return Answer(
            predictor.version,
            prediction.verdict,
            prediction.tumor_probability,
            prediction.mgmt_probability,
            result,
            progress.seconds,
        )

    def _predictor(self, folder: Path) -> tuple[Predictor, dict[str, Any]]:
        """Return the version in a folder, loaded once."""
        if self._loaded is None or self._loaded[0] != folder:
            predictor = load_predictor(folder, trusted_key(self.config))
            self._loaded = (folder, predictor, about_version(self.config, folder))
        return self._loaded[1], self._loaded[2]

    def _same(self, job: Job, version: str) -> Answer | None:
        """Return the answer that the same scans got from the same version, with the files where they are."""
        known = (Row.content == job.content, Row.version == version, Row.state == "done")
        with reading(self.engine) as session:
            query = select(Row).where(*known, Row.result_sealed.is_not(None))
            row = session.scalar(query.where(Row.same_as.is_(None)).order_by(Row.finished_at).limit(1))
            if row is None or row.files_deleted_at is not None:
                return None
            result = predictions.result_of(self.vault, row) or {}
        return Answer(
            version, row.verdict or "", row.tumor_probability, row.mgmt_probability, result, {}, same_as=row.id
        )

    def _beside(self) -> None:
        """Say that this worker lives, sign the log's head, and clear away what is not kept any longer."""
        signed = 0.0
        while not self.stopping.is_set():
            try:
                say_alive(self.engine, self.name)
                if time.monotonic() - signed > _SIGN_EVERY_S:
                    if self.signer.private:
                        sign_head(self.engine, self.signer.private, self.signer.checkpoints)
                    clear_away(self.engine, self.config)
                    signed = time.monotonic()
            except (FLError, OSError) as error:
                logger.warning(error.problem if isinstance(error, FLError) else type(error).__name__)
            self.stopping.wait(_ALIVE_EVERY_S)


class Evidence(NamedTuple):
    """What Grad-CAM looks for: places that speak for this answer of this head."""

    head: Literal["mgmt", "tumor"]
    answer: bool


def _evidence(prediction: Prediction) -> Evidence | None:
    """Return what to look for evidence of, or None where the model has given no answer."""
    if prediction.mgmt_probability is not None:
        return Evidence("mgmt", prediction.mgmt_decision != "unmethylated")
    return Evidence("tumor", answer=True) if prediction.tumor_decision == "present" else None


def say_alive(engine: Engine, worker: str) -> None:
    """Note that a worker lives."""
    name = f"{SEEN}{worker}"[:100]
    with unlogged(engine) as session:
        row = session.get(Tally, name, with_for_update=True)
        if row is None:
            session.add(Tally(name=name, value=time.time()))
        else:
            row.value = time.time()
