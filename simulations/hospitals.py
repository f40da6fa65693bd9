"""The synthetic cohort on disk, in the RSNA-MICCAI layout.

OUT/<site>/train/<BraTS21ID>/<sequence>/Image-<n>.dcm     the scans
OUT/<site>/train_labels.csv                               BraTS21ID,MGMT_value; blank for a healthy control
OUT/<site>/masks/<BraTS21ID>.nii.gz                       1 necrosis, 2 edema, 4 enhancing, on the T1wCE grid
OUT/cohort.json                                           the settings, and what is true of each patient
"""

import json
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from core.errors import ConfigError, DataError, FederationError
from core.files import atomic, write_atomically
from core.imaging.preprocessing import one_torch_thread
from core.imaging.volume import SEQUENCES
from core.progress import Report, silent
from core.workers import end_with_parent
from simulations.acquisition import Scan, acquire
from simulations.atlas import load_head
from simulations.dicom_files import write_series
from simulations.patients import PatientPlan, make_patient, plan_patient
from simulations.scanners import Scanner, scanner_of
from simulations.site_folders import labels_table

COMPASS = ("north", "south", "east", "west")
IDENTITIES = 1000  # of each site; patients count up from the first, controls down from the last
COHORT = "cohort.json"
LABELS = "train_labels.csv"
STALE = 24 * 3600  # s after which no call still writes a half-made patient


def site_names(sites: int) -> list[str]:
    """Return the names of the first hospitals: north, south, east, west, hospital-05 and so on."""
    return [COMPASS[i] if i < len(COMPASS) else f"hospital-{i + 1:02}" for i in range(sites)]


def write_cohort(
    out: Path,
    sites: Sequence[str],
    patients: int,
    seed: int,
    *,
    separability: float = 0.9,
    coarse: bool = False,
    controls: int = 0,
    first: int = 0,
    workers: int = 1,
    report: Report = silent,
) -> None:
    """Write hospitals; what an earlier call finished is kept, and further hospitals may join in another call.

    Args:
        out: folder of the cohort.
        sites: the hospitals' names, each a folder.
        patients: glioma patients at each, about half of them methylated.
        seed: with a hospital's and a patient's number it decides every byte.
        separability: the best possible AUC of the planted methylation signal.
        coarse: 128 x 128 pixels and 5 mm slices.
        controls: healthy people at each, beside the patients.
        first: number of the first of these hospitals, by which it has its scanner and its patients' identities.
        workers: processes side by side.
    Raises:
        ConfigError: numbers that no cohort can have, or an `out` that is no folder.
        DataError: `out` holds a cohort of another seed, separability or resolution, or hospitals of other patients.
        FederationError: a process that worked for this one was killed.
    """
    settings = {"seed": seed, "separability": separability, "coarse": coarse}
    _check(patients, controls, first + len(sites), separability, seed)
    hospitals = {site: hospital for hospital, site in enumerate(sites, start=first)}
    plans_of = {site: plan_hospital(seed, hospitals[site], patients, controls, separability) for site in sites}
    cohort = _open_cohort(out, settings, hospitals)
    for site, plans in plans_of.items():
        _check_patients(out / site, plans)
    cohort["best_possible_auc"] = separability
    for site, plans in plans_of.items():
        scanner = scanner_of(hospitals[site], coarse)
        write_hospital(out, site, scanner, plans, coarse=coarse, workers=workers, report=report)
        known = {truth["id"]: truth for truth in cohort["sites"].get(site, {}).get("patients", [])}
        cohort["sites"][site] = {
            "hospital": hospitals[site],
            "scanner": f"{scanner.manufacturer} {scanner.model}",
            "patients": [known.get(plan.identity) or _truth(out / site, plan) for plan in plans],
        }
        write_atomically(out / COHORT, json.dumps(cohort, indent=1) + "\n")


def _check(patients: int, controls: int, sites: int, separability: float, seed: int) -> None:
    if patients < 0 or controls < 0 or not 0 < patients + controls < IDENTITIES:
        raise ConfigError(
            f"A hospital cannot have {patients} patients and {controls} controls",
            fix=f"ask for 1 to {IDENTITIES - 1} people in all",
        )
    if sites > 100_000 // IDENTITIES:
        raise ConfigError("There are too many hospitals for five-digit identities", fix="ask for at most 100")
    if not 0.5 <= separability < 1:
        raise ConfigError(f"No AUC of {separability} can be planted", fix="ask for at least 0.5 and less than 1")
    if seed < 0:
        raise ConfigError("The seed is negative", fix="use 0 or a positive number")


def _open_cohort(out: Path, settings: dict[str, Any], hospitals: Mapping[str, int]) -> dict[str, Any]:
    """Return what cohort.json holds, after checking it is of this cohort; begin it where there is none.

    Args:
        hospitals: the number of each of this call's sites.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"{out} is not a folder", fix="name a folder for the cohort") from None
    path = out / COHORT
    if not path.exists():
        cohort: dict[str, Any] = {"settings": settings, "sites": {}}
        write_atomically(path, json.dumps(cohort, indent=1) + "\n")
        return cohort
    try:
        cohort = json.loads(path.read_text("utf-8"))
        other = cohort["settings"] != settings
        renumbered = [
            site
            for site, about in cohort["sites"].items()
            if about["hospital"] != hospitals.get(site, about["hospital"])
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path} is not a cohort's", fix="delete the folder or choose another") from None
    if other:
        raise DataError(
            f"{out} holds a cohort with other settings: {cohort['settings']}", fix="choose another folder, or delete it"
        )
    if renumbered:
        raise DataError(
            f"{out} holds {', '.join(renumbered)} as hospital of another number",
            fix="name the sites in the same order as before, or choose another folder",
        )
    return cohort


def _check_patients(folder: Path, plans: Sequence[PatientPlan]) -> None:
    """Refuse a hospital's folder with patients that are not planned: no label and no truth would be theirs."""
    there = {path.name for path in (folder / "train").glob("[!.]*")}
    if extra := there - {plan.identity for plan in plans}:
        raise DataError(
            f"{folder} holds {len(extra)} people whom this call would not make",
            fix="ask for at least as many patients and controls as before, or choose another folder",
        )


def plan_hospital(seed: int, hospital: int, patients: int, controls: int, separability: float) -> list[PatientPlan]:
    """Return a hospital's patients and controls; more of them leave the first ones as they are."""
    labels: list[tuple[int, int | None]] = []
    for number in range(1, patients + 1):
        # One of each two neighbors is methylated, so that any hospital is balanced, whatever its size.
        pair = np.random.default_rng([seed, hospital, (number - 1) // 2]).permutation(2)
        labels.append((number, int(pair[(number - 1) % 2])))
    labels += [(IDENTITIES - number, None) for number in range(1, controls + 1)]
    return [
        plan_patient(f"{hospital * IDENTITIES + number:05}", (seed, hospital, number), label, separability)
        for number, label in labels
    ]


def write_hospital(
    out: Path,
    site: str,
    scanner: Scanner,
    plans: Sequence[PatientPlan],
    *,
    coarse: bool = False,
    workers: int = 1,
    report: Report = silent,
) -> None:
    """Write one hospital's scans, masks and labels; patients who are already there are left as they are.

    Args:
        out: folder of the cohort.
        scanner: the machine that takes all of them.
        plans: its patients and controls.
        coarse: take the anatomy at 2 mm instead of 1 mm, as coarse scans allow.
    """
    folder = out / site
    _sweep(folder)
    missing = [plan for plan in plans if not (folder / "train" / plan.identity).exists()]
    step = f"scan patients at {site}"
    report(step, len(plans) - len(missing), len(plans))
    jobs = [(folder, scanner, plan, coarse) for plan in missing]
    for done, _ in enumerate(_written(jobs, workers), start=len(plans) - len(missing) + 1):
        report(step, done, len(plans))
    write_atomically(folder / LABELS, labels_table({plan.identity: plan.label for plan in plans}))


Job = tuple[Path, Scanner, PatientPlan, bool]


def _written(jobs: Sequence[Job], workers: int) -> Iterator[None]:
    """Write patients, in this process or in several; yield as each is done."""
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            write_patient(*job)
            yield
        return
    # The head is built once here, not by every worker at the same time.
    load_head(2 if jobs[0][3] else 1)
    with ProcessPoolExecutor(min(workers, len(jobs)), get_context("spawn"), end_with_parent) as pool:
        futures = [pool.submit(write_patient, *job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise FederationError(
                "A process that made patients was killed, most likely because memory ran out",
                fix="run the command again with fewer --workers (a scenario's compute.workers): who is made is kept",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def write_patient(folder: Path, scanner: Scanner, plan: PatientPlan, coarse: bool) -> None:
    """Make and scan one patient; their folder appears when it is complete.

    Args:
        folder: the hospital's.
    """
    # A name of one's own: another call may be making the same patient.
    partial = folder / f".partial-{plan.identity}-{secrets.token_hex(4)}"
    target = folder / "train" / plan.identity
    try:
        with one_torch_thread():
            head = load_head(2 if coarse else 1)
            patient = make_patient(plan, head)
            for sequence in SEQUENCES:
                scan = acquire(patient, head, sequence, scanner)
                write_series(scan.volume, partial / sequence, plan.identity, plan.seed, sequence, scanner)
                if sequence == "T1wCE":
                    _write_mask(scan, _mask_path(folder, plan))
        target.parent.mkdir(exist_ok=True)
        try:
            partial.rename(target)
        except OSError:
            # Another call was first; its bytes are the same.
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Delete the half-made patients of calls killed long ago; a younger one may still be written."""
    for partial in folder.glob(".partial-*"):
        with suppress(FileNotFoundError):
            if time.time() - partial.stat().st_mtime > STALE:
                shutil.rmtree(partial, ignore_errors=True)


def _mask_path(folder: Path, plan: PatientPlan) -> Path:
    return folder / "masks" / f"{plan.identity}.nii.gz"


def _write_mask(scan: Scan, path: Path) -> None:
    image = sitk.GetImageFromArray(scan.tumor)
    image.CopyInformation(scan.volume.image())
    with atomic(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)


def _truth(folder: Path, plan: PatientPlan) -> dict[str, Any]:
    """Return what is true of a patient: identity, label, latent, and the tumor's regions (ml) as its mask has them."""
    # Here, not above: it takes a second and a half, and no worker needs it.
    from core.learning.metrics import REGIONS

    mask = sitk.ReadImage(str(_mask_path(folder, plan)))
    labels = sitk.GetArrayFromImage(mask)
    voxel = float(np.prod(mask.GetSpacing())) / 1000
    volumes = {name: round(float((labels == label).sum()) * voxel, 2) for name, label in REGIONS.items()}
    return {"id": plan.identity, "label": plan.label, "latent": plan.latent, "volumes_ml": volumes}
