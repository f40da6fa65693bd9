"""Synthetic patients on the model's grid, kept in files: made once, whoever asks, however often it is interrupted.

A patient is decided by the cohort's seed, a hospital and a number, so that larger cohorts begin with the smaller ones'
patients, and two studies on one folder share what they have in common.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.learning.cases import TrainingCase, load_cases, save_cases
from core.progress import Report, silent
from core.study import Study
from fl_client.dataset import Cohort, Drawn, patients_of, split
from simulations.hospitals import plan_hospital
from simulations.patients import PatientPlan
from simulations.ray_cluster import Mapped
from simulations.scanners import scanner_of
from simulations.tensors import make_case

# People in one file: lost when interrupted, and held in memory at once.
PIECE = 50


@dataclass(frozen=True)
class People:
    """Some people of one hospital.

    Attributes:
        seed: of the whole cohort.
        hospital: its number from 0, which decides its scanner.
        patients, controls: how many.
        separability: the best possible AUC for methylation.
        size: voxels along each axis of the grid.
    """

    seed: int
    hospital: int
    patients: int
    controls: int = 0
    separability: float = 0.95
    size: int = 48

    def plans(self) -> list[PatientPlan]:
        """Return the patients, then the controls."""
        return plan_hospital(self.seed, self.hospital, self.patients, self.controls, self.separability)


@dataclass(frozen=True)
class MadeCohort:
    """A site's cohort of synthetic people as what makes it: a few bytes to send, the same cases on every machine.

    Attributes:
        folder: of the files, on whichever machine asks; made where they are missing.
        people: whom the site has.
        study: decides who validates.
        site: its name, part of the split's seed.
    """

    folder: Path
    people: People
    study: Study
    site: str

    def __call__(self) -> Cohort:
        """Return the site's cases, split by patient."""
        for piece in _pieces(self.folder, self.people):
            if not piece.path.exists():
                _make(piece)
        cases = [case for piece in read_people(self.folder, self.people) for case in piece]
        drawn = [
            person([self.study.seed, self.site, plan.identity], plan.identity, case)
            for plan, case in zip(self.people.plans(), cases, strict=True)
        ]
        return cohort_of(drawn, self.study.validation_fraction)


def person(lot: Sequence[int | str], identity: str, case: TrainingCase) -> Drawn:
    """Return a synthetic person, who has one scan; the ticket in the split's lottery is drawn from `lot`."""
    return Drawn(hashlib.sha256(json.dumps(lot).encode()).hexdigest(), identity, identity, case)


def cohort_of(people: Sequence[Drawn], validation_fraction: float) -> Cohort:
    """Return a site's people, split as a deployment splits them."""
    patients = patients_of(people)
    return Cohort(*split(patients, validation_fraction), (), patients)


@dataclass(frozen=True)
class _Piece:
    """What one file holds."""

    path: Path
    plans: tuple[PatientPlan, ...]
    hospital: int
    size: int


def make_people(folder: Path, people: Sequence[People], mapped: Mapped = map, report: Report = silent) -> None:
    """Make whoever is not there yet.

    Args:
        folder: of the files.
        people: whom to make.
        mapped: where they are made; on a cluster, all machines have the folder at the same path.
        report: told after each file, in people.
    """
    pieces = [piece for each in people for piece in _pieces(folder, each)]
    missing = [piece for piece in pieces if not piece.path.exists()]
    total = sum(len(piece.plans) for piece in pieces)
    done = total - sum(len(piece.plans) for piece in missing)
    for piece, _ in zip(missing, mapped(_make, missing), strict=True):
        done += len(piece.plans)
        report("make patients", done, total)


def read_people(folder: Path, people: People) -> Iterator[tuple[TrainingCase, ...]]:
    """Yield people that `make_people` has made, in their plans' order, a file at a time.

    Raises: DataError: they are not there.
    """
    for piece in _pieces(folder, people):
        yield load_cases(piece.path)


def _pieces(folder: Path, people: People) -> Iterator[_Piece]:
    plans = people.plans()
    for kind in (plans[: people.patients], plans[people.patients :]):
        for start in range(0, len(kind), PIECE):
            part = tuple(kind[start : start + PIECE])
            name = f"{people.seed}-{part[0].identity}-{part[-1].identity}-{people.separability:g}-{people.size}"
            yield _Piece(folder / f"{name}.safetensors", part, people.hospital, people.size)


def _make(piece: _Piece) -> None:
    scanner = scanner_of(piece.hospital, coarse=True)
    save_cases(piece.path, [make_case(plan, scanner, piece.size) for plan in piece.plans])
