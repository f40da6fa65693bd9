"""Turn this site's scans into prepared cases, once: cached by content and settings, resumed after interruption.

PREPARED/<id>-<16 digits>.safetensors   one prepared case; the digits stand for its files, its mask and the settings
PREPARED/cohort.json                    every patient of the cohort: file, label, verdict and the reasons against it

Each file is this account's alone, and so is the folder where it is made here.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import FLError, PreparationError
from core.files import private_folder, write_private
from core.imaging.case import Quality, load_case, save_case
from core.imaging.nifti import read_mask
from core.imaging.preprocessing import prepare_case
from core.imaging.reading import content_digest, folders_of_cases, read_case, read_labels, read_patients
from core.imaging.traits import Traits, read_traits
from core.imaging.version import PREPROCESSING_VERSION
from core.progress import Report, silent
from core.study import PreprocessingSettings, digest
from core.workers import end_with_parent
from fl_client.config import SiteConfig

INDEX = "cohort.json"


@dataclass(frozen=True)
class Entry:
    """One patient's line in cohort.json.

    Attributes:
        id: the scan's folder name, a pseudonym that stays at the site.
        patient: the person; the same as `id` but where patients.csv says otherwise.
        file: the prepared case beside cohort.json, or None where the scans could not be read.
        mgmt: 1 methylated, 0 unmethylated, None without a label.
        verdict: `usable`, or `unreliable`: kept out of training.
        reasons: what speaks against the case.
        traits: what its headers tell of patient and scanner; it stays at the site.
    """

    id: str
    patient: str
    file: str | None
    mgmt: int | None
    verdict: str
    reasons: tuple[str, ...]
    traits: Traits


@dataclass(frozen=True)
class PreparedCohort:
    """What `prepare_cohort` did.

    Attributes:
        entries: every patient found on disk, by id.
        absent: ids that train_labels.csv names and the disk does not hold.
        made: how many cases this call prepared; the others were there already.
    """

    entries: tuple[Entry, ...]
    absent: tuple[str, ...]
    made: int

    @property
    def excluded(self) -> tuple[Entry, ...]:
        """The patients that no training will see."""
        return tuple(entry for entry in self.entries if entry.verdict != "usable")


def prepare_cohort(config: SiteConfig, report: Report = silent) -> PreparedCohort:
    """Prepare every patient of a site; what is prepared already is left as it is.

    A patient whose scans cannot be read or trusted is listed with the reason, never dropped in silence.

    Returns: the cohort, as cohort.json now holds it.
    Raises:
        DataError: no patients, or labels that cannot be read.
        PreparationError: a worker process died.
    """
    labels = read_labels(config.site.data / "train_labels.csv")
    patients = read_patients(config.site.data / "patients.csv")
    folders = {folder.name: folder for folder in folders_of_cases(config.site.data)}
    private_folder(config.site.prepared)
    jobs = [
        _Job(folder, _mask_of(config, id_), config.site.prepared, config.preprocessing)
        for id_, folder in folders.items()
    ]
    step = f"{config.site.name}: prepare"
    report(step, 0, len(jobs))
    entries, made = [], 0
    for done, result in enumerate(_run(jobs, config.compute.workers), start=1):
        entries.append(
            Entry(
                result.id,
                patients.get(result.id, result.id),
                result.file,
                labels.get(result.id),
                result.quality.verdict,
                result.quality.reasons,
                _traits_of(folders[result.id]),
            )
        )
        made += result.made
        report(step, done, len(jobs))
    cohort = PreparedCohort(tuple(sorted(entries, key=lambda e: e.id)), tuple(sorted(set(labels) - set(folders))), made)
    _write_index(cohort, config)
    _forget_others(cohort, config.site.prepared)
    return cohort


@dataclass(frozen=True)
class _Job:
    folder: Path
    mask: Path | None
    prepared: Path
    settings: PreprocessingSettings


@dataclass(frozen=True)
class _Result:
    id: str
    file: str | None
    quality: Quality
    made: bool


def _prepare_one(job: _Job) -> _Result:
    """Prepare one patient, in a worker process; an unreadable one becomes an entry with its reason."""
    id_ = job.folder.name
    try:
        target = job.prepared / f"{id_}-{_key(job)}.safetensors"
        if kept := _kept(target):
            return _Result(id_, target.name, kept, made=False)
        mask = read_mask(job.mask) if job.mask else None
        case = prepare_case(read_case(job.folder).volumes, job.settings, mask)
    except FLError as error:
        return _Result(id_, None, Quality((f"{error.problem}: {error.fix}",)), made=False)
    except (OSError, RuntimeError, MemoryError) as error:
        # What no check foresaw must not keep the other patients from being prepared.
        return _Result(id_, None, Quality((f"Preparing failed unexpectedly ({type(error).__name__})",)), made=False)
    save_case(case, target)
    return _Result(id_, target.name, case.quality, made=True)


def _kept(target: Path) -> Quality | None:
    """Return the verdict of a case that is prepared already; a damaged file counts as none and is made anew."""
    try:
        return load_case(target).quality if target.exists() else None
    except PreparationError:
        return None


def _traits_of(folder: Path) -> Traits:
    """Return what a patient's headers tell: nothing where they cannot be read, which preparing them says."""
    try:
        return read_traits(folder)
    except FLError:
        return Traits()


def _key(job: _Job) -> str:
    """Everything a prepared case depends on, as 16 hexadecimal digits."""
    about = [content_digest(job.folder), digest(job.settings), PREPROCESSING_VERSION]
    about.append(hashlib.sha256(job.mask.read_bytes()).hexdigest() if job.mask else "no mask")
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _mask_of(config: SiteConfig, id_: str) -> Path | None:
    mask = config.site.data / "masks" / f"{id_}.nii.gz"
    return mask if mask.is_file() else None


def _run(jobs: list[_Job], workers: int) -> Iterator[_Result]:
    """Yield results as they come, from this process or from several."""
    if workers == 1 or len(jobs) <= 1:
        yield from map(_prepare_one, jobs)
        return
    # A fork would copy the parent's threads' locks; the fork server imports the heavy libraries once for all workers.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(min(workers, len(jobs)), context, end_with_parent) as pool:
        try:
            for future in as_completed([pool.submit(_prepare_one, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool:
            raise PreparationError(
                "A process that prepared cases was killed, most likely because memory ran out",
                fix="lower compute.workers in site.toml and run the command again: what is prepared is kept",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _forget_others(cohort: PreparedCohort, prepared: Path) -> None:
    """Delete what the index does not name: withdrawn patients, other settings, and what a killed process left half."""
    named = {entry.file for entry in cohort.entries}
    for path in prepared.iterdir():
        if path.name.endswith(".safetensors") and path.name not in named:
            path.unlink(missing_ok=True)


def _write_index(cohort: PreparedCohort, config: SiteConfig) -> None:
    index = {
        "preprocessing": digest(config.preprocessing),
        "version": PREPROCESSING_VERSION,
        "cases": [asdict(entry) for entry in cohort.entries],
        "absent": cohort.absent,
    }
    write_private(config.site.prepared / INDEX, json.dumps(index, indent=1))
