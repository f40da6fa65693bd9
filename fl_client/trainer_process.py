"""The site's resident trainer: `python -m fl_client.trainer_process`, one a site, kept alive by `fl-client start`.

Flower starts a process for every message; here PyTorch, the GPU's context and the prepared cases stay in memory between
rounds. Tasks are worked on one at a time. A task's answer is kept until the study's next one, so a task that comes
again, in another of Flower's messages or after this process was killed, is answered with the same bytes. A training
that was cut goes on after the last epoch that it had done.
"""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from threading import Thread
from typing import NoReturn

from core.clock import now
from core.errors import FederationError, FLError
from core.files import only_process, private_folder
from core.messages import Records, read_task
from core.progress import Report
from core.study import digest, study_of
from core.terminal import run
from fl_client import trainer
from fl_client.config import SiteConfig, load_site
from fl_client.dataset import forget_cohorts
from fl_client.epoch_checkpoint import CheckpointFile
from fl_client.jobs import Job, Jobs, cohort_digest
from fl_client.paths import SiteHome, this_home
from fl_client.privacy_ledger import PrivacyLedger
from fl_client.progress import Effort, Efforts, Progress, ProgressFile, read_progress
from fl_client.rest import Rest
from fl_client.site_error import cause_of, site_error
from fl_client.site_records import SiteRecords
from fl_client.spool import Spool
from fl_client.trainer_socket import STOP, listen, pack, serve, unpack

logger = logging.getLogger(__name__)

ACTOR = "trainer"
# The exit code of a process that met an unexpected error and leaves the next task to a fresh one.
WORN = 70
# Each holds all of its training cases: 1.8 MB a case on the default grid.
STUDIES_IN_MEMORY = 2


class Trainer:
    """Takes tasks from many connections and works on one at a time."""

    def __init__(self, site: SiteConfig, home: SiteHome) -> None:
        self.site = site
        self.records = SiteRecords(site.site.name, home.records)
        self.ledger = PrivacyLedger.of_home(home)
        self.spool = Spool(home.spool)
        self.jobs = Jobs(site, self.spool)
        self.efforts = Efforts(home.spool / "efforts.json")
        self.efforts.recover(read_progress(home.progress))
        self.device = trainer.device_of(site.compute)
        self.rest = Rest(site.hours)
        self._in_memory: set[tuple[str, str]] = set()
        self.progress = ProgressFile(home.progress)
        self.progress.show(Progress(progressed_at=now(), device=trainer.device_name(self.device)))

    def respond(self, request: bytes) -> bytes:
        """Return the answer to a request on the socket, whatever happens; called in the connection's thread."""
        try:
            head, records = unpack(request)
            if head["kind"] == STOP:
                self.jobs.stop(head["runs"])
                return pack({})
            return self._answer(head["kind"], head["study"], records, int(head.get("flower_run", 0)))
        except Exception as error:  # the edge of the process: whatever it is, only its code may leave
            if isinstance(error, FLError):
                logger.warning("A task has no answer: %s (%s)", error.problem, error.fix)
            else:
                logger.exception("A task has no answer")
            told = site_error(error)
            return pack({"code": told.code, "kind": told.kind})

    def work(self) -> NoReturn:
        """Work on jobs as they come, in the main thread, where a signal ends a training at once."""
        worn = False
        while True:
            job = self.jobs.next()
            if worn:
                # Nobody knows what an unexpected error has left of a GPU's context; who asked will ask a fresh process.
                os._exit(WORN)
            try:
                self.jobs.done(job, self._answer_to(job))
                self.progress.show(self._progress(job, state="uploading"))
            except Exception as error:  # noqa: BLE001 (told to whoever asked, who logs it)
                worn = not isinstance(error, FLError)
                self._failed(job, error)

    def _answer(self, kind: str, toml: str, records: Records, flower_run: int) -> bytes:
        task, study = read_task(records), study_of(toml)
        self.records.check_approved(study.name, toml)
        self.efforts.came_as(task.run, flower_run)
        return self.jobs.job_of(kind, task, study).answer.result()

    def _answer_to(self, job: Job) -> bytes:
        if self.rest.is_due:
            self.progress.show(self._progress(job))
            self._rest(job)
        self.jobs.check_wanted(job)
        receipt = self.records.append(
            ACTOR,
            "task.received",
            kind=job.kind,
            study=job.task.study,
            run=job.task.run,
            round=job.task.round,
            weights_sha256=job.weights_sha256,
            receipt=job.task.receipt,
        )
        self._make_room(job)
        logger.info("Round %d of %s: %s", job.task.round, job.task.run, job.kind)
        meter = Meter(self.efforts.of(job.task.run), on_gpu=self.device.type == "cuda")
        last_step = "training" if job.kind == "train" else "evaluating"
        show = self.progress.report(self._progress(job), last_step, meter.read)
        show("evaluating", 0, 0)
        try:
            records = trainer.answer(
                job.kind,
                job.task,
                self.site,
                job.study,
                receipt,
                self._watched(job, show, meter),
                CheckpointFile(self.spool.checkpoint(job.study.name), self._bits_of(job)),
                self.ledger,
            )
        finally:
            cost = meter.read()
            logger.info(
                "Round %d of %s: ended; the run has cost %.1f s so far",
                job.task.round,
                job.task.run,
                cost.cpu_s + cost.gpu_s,
            )
            self.efforts.worked(job.task.run, cost.cpu_s, cost.gpu_s)
            trainer.release(self.device)
        return pack({"key": job.key}, records)

    def _make_room(self, job: Job) -> None:
        """Free the cases of a cohort that is no more, and of studies before the last few."""
        cases = cohort_digest(self.site), digest(job.study)
        if cases in self._in_memory:
            return
        if len(self._in_memory) >= STUDIES_IN_MEMORY or any(cohort != cases[0] for cohort, _ in self._in_memory):
            forget_cohorts()
            trainer.forget_features()
            self._in_memory.clear()
        self._in_memory.add(cases)

    def _bits_of(self, job: Job) -> str:
        """Return what a job's bits depend on: also what works on it, which may change before a training goes on."""
        return f"{job.key} gliofed {version('gliofed')} torch {version('torch')} {trainer.device_name(self.device)}"

    def _watched(self, job: Job, show: Report, meter: "Meter") -> Report:
        """Return a report that also rests outside the site's hours, and ends the work once nobody wants it any more."""

        def report(step: str, done: int, total: int) -> None:
            if self.rest.is_due:
                with meter.stopped():
                    self._rest(job)
            self.jobs.check_wanted(job)
            show(step, done, total)

        return report

    def _rest(self, job: Job) -> None:
        """Leave the machine to others until the site's hours begin; the model itself stays in memory."""
        logger.info("Round %d of %s waits: it is outside this site's hours", job.task.round, job.task.run)
        trainer.release(self.device)
        self.rest.take(lambda: self.jobs.check_wanted(job))
        logger.info("Round %d of %s goes on", job.task.round, job.task.run)

    def _failed(self, job: Job, error: Exception) -> None:
        told, task = site_error(error), job.task
        self.progress.show(self._progress(job, cause=cause_of(error)))
        try:
            self.records.append(
                ACTOR, "task.failed", study=task.study, run=task.run, round=task.round, code=told.code, kind=told.kind
            )
        finally:
            self.jobs.failed(job, error)

    def _progress(self, job: Job, state: str = "idle", cause: str = "") -> Progress:
        task, cost = job.task, self.efforts.of(job.task.run)
        return replace(
            self.progress.shown,
            state=state,
            run=task.run,
            round=task.round,
            done=0,
            total=0,
            progressed_at=now(),
            expected_end=None,
            cause=cause,
            is_private=job.study.privacy.is_on,
            **asdict(cost),
        )


class Meter:
    """Counts what a run has cost while a task is worked on."""

    def __init__(self, before: Effort, *, on_gpu: bool) -> None:
        self.before = before
        self.on_gpu = on_gpu
        self._began = self._now()

    def read(self) -> Effort:
        """Return what the run has cost so far."""
        spent = self._now() - self._began
        if self.on_gpu:
            return replace(self.before, gpu_s=self.before.gpu_s + spent)
        return replace(self.before, cpu_s=self.before.cpu_s + spent)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Count nothing of what happens inside."""
        paused = self._now()
        try:
            yield
        finally:
            self._began += self._now() - paused

    def _now(self) -> float:
        # Of a CPU every thread's work; of a GPU the time for which nobody else had it.
        return time.monotonic() if self.on_gpu else time.process_time()


def serve_site(home: SiteHome) -> NoReturn:
    """Be a site's trainer until a signal ends this process.

    Raises:
        ConfigError: the site's settings are wrong, or ask for a device that is not there.
        FederationError: the site has a trainer already.
        RecordsError: the site's database cannot be used.
    """
    taken = FederationError("This site has a trainer already", fix="stop the other `fl-client start` first")
    with only_process(private_folder(home.run) / "trainer.lock", taken):
        working = Trainer(load_site(home), home)
        listener = listen(home.trainer)
        Thread(target=serve, args=(listener, working.respond), daemon=True).start()
        try:
            working.work()
        finally:
            home.trainer.unlink(missing_ok=True)


def main() -> None:
    """Run the trainer of the home that FL_HOME names."""
    # Opacus has set up logging of its own by now, which shows no more than warnings.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", force=True)
    signal.signal(signal.SIGTERM, lambda *_: _end())
    run(lambda: serve_site(this_home()))


def _end() -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
