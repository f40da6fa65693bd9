"""Which task is waiting, under way or answered: whoever asks for the same one joins it."""

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock

from core.errors import FederationError
from core.messages import Task
from core.npy import sha256_of
from core.study import Study
from fl_client.config import SiteConfig
from fl_client.spool import Spool


@dataclass(frozen=True, eq=False)
class Job:
    """A task of the coordinator at this site.

    Attributes:
        kind: `train` or `evaluate`.
        task: the coordinator's.
        study: as this site approved it.
        key: what its answer is kept under, see `key_of`.
        weights_sha256: of the task's weights.
        answer: the answer's bytes, once there are any.
    """

    kind: str
    task: Task
    study: Study
    key: str
    weights_sha256: str
    answer: "Future[bytes]" = field(default_factory=Future)


class Jobs:
    """The jobs of a site: many threads ask for them, one works on them in turn."""

    def __init__(self, site: SiteConfig, spool: Spool) -> None:
        self._site = site
        self._spool = spool
        self._waiting: SimpleQueue[Job] = SimpleQueue()
        self._lock = Lock()
        self._last: dict[str, Job] = {}
        self._stopped: frozenset[str] = frozenset()

    def job_of(self, kind: str, task: Task, study: Study) -> Job:
        """Return a task's job: the one that waits, is under way or done, the one whose answer was kept, or a new one.

        Raises: FederationError: the coordinator has stopped the task's run.
        """
        self._check_run(task.run)
        sha256 = sha256_of(task.weights)
        key = key_of(kind, task, sha256, self._site, study)
        with self._lock:
            last = self._last.get(study.name)
            if last is not None and last.key == key:
                return last
            job = self._last[study.name] = Job(kind, task, study, key, sha256)
            kept = self._spool.kept(study.name, key)
            if kept is None:
                self._waiting.put(job)
            else:
                job.answer.set_result(kept)
            return job

    def next(self) -> Job:
        """Wait for a job to work on and return it."""
        return self._waiting.get()

    def done(self, job: Job, answer: bytes) -> None:
        """Keep a job's answer and give it to everybody who waits for it."""
        self._spool.keep(job.study.name, answer)
        job.answer.set_result(answer)

    def failed(self, job: Job, error: Exception) -> None:
        """Tell everybody who waits for a job that it has no answer; asked again, it is worked on anew."""
        with self._lock:
            if self._last.get(job.study.name) is job:
                del self._last[job.study.name]
        job.answer.set_exception(error)

    def stop(self, runs: Iterable[str]) -> None:
        """Let these runs not go on, and every other one."""
        self._stopped = frozenset(runs)

    def check_wanted(self, job: Job) -> None:
        """End the work on a job whose answer nobody will count.

        Raises: FederationError: its run was stopped, or has gone on to a later round.
        """
        self._check_run(job.task.run)
        last = self._last.get(job.study.name, job).task
        if last.run == job.task.run and last.round > job.task.round:
            raise FederationError("The run has gone on to a later round", fix="nothing: the later task is worked on")

    def _check_run(self, run: str) -> None:
        if run in self._stopped:
            raise FederationError("The coordinator stopped this run", fix="nothing: it says so when the run goes on")


def key_of(kind: str, task: Task, weights_sha256: str, site: SiteConfig, study: Study) -> str:
    """Return a digest of all that an answer depends on, this site's prepared cases included.

    Under differential privacy only of what was asked: the same task has one answer, whatever became of the cases.
    """
    about: list[object] = [
        kind,
        [task.study, task.run, task.round, task.manifest, task.settings, task.preprocessing, weights_sha256],
    ]
    if not study.privacy.is_on:
        about += [[site.site.name, site.compute.threads, site.compute.device], cohort_digest(site)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def cohort_digest(site: SiteConfig) -> str:
    """Return a digest of this site's prepared cases, whose list names each by its content; empty without any."""
    listing = site.site.prepared / "cohort.json"
    return hashlib.sha256(listing.read_bytes()).hexdigest() if listing.exists() else ""
