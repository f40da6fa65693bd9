"""A hospital's prepared cohort as training and validation cases, split by patient."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.errors import PreparationError
from core.imaging.case import PreparedCase, load_case, pixel_digest
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.cases import TrainingCase, training_case
from core.study import Study, digest
from fl_client.persons import Handles, Persons


@dataclass(frozen=True)
class Excluded:
    """A case that is neither trained nor validated on, and why."""

    case: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """A usable case with what tells whose it is and where the split puts it.

    Attributes:
        ticket: in the site's lottery.
        patient: the person's pseudonym at this site.
        pixels: digest of the prepared image.
        case: as the network is trained on it.
    """

    ticket: str
    patient: str
    pixels: str
    case: TrainingCase


# One person: all cases that share a pseudonym or their pixels with another of theirs.
Patient = tuple[Drawn, ...]


@dataclass(frozen=True)
class Cohort:
    """A hospital's cases, each patient on one side only.

    Attributes:
        training, validation: the two sides.
        excluded: cases that are on neither.
        patients: of both sides.
    """

    training: tuple[TrainingCase, ...]
    validation: tuple[TrainingCase, ...]
    excluded: tuple[Excluded, ...]
    patients: tuple[Patient, ...] = ()


def load_cohort(prepared: Path, study: Study, site: str) -> Cohort:
    """Read a prepared cohort and split it.

    Args:
        prepared: the folder that `fl-client prepare` wrote.
        study: says which preparation is wanted and how large the validation share is.
        site: this hospital's name, part of the split's seed.
    Returns: at least one training and one validation case.
    Raises: PreparationError: nothing is prepared, it was prepared with other settings, or too few cases are usable.
    """
    return _read_cohort(prepared, _read_listing(prepared / "cohort.json"), study, site)


def forget_cohorts() -> None:
    """Free the cases that `load_cohort` keeps in memory, before others take their place."""
    _read_cohort.cache_clear()


# A round is short beside reading and hashing every case again. The list names each case's file by its content, so what
# is kept is right as long as the list is the same.
@lru_cache(maxsize=32)
def _read_cohort(prepared: Path, listing_text: str, study: Study, site: str) -> Cohort:
    listing = json.loads(listing_text)
    if listing["preprocessing"] != digest(study.preprocessing):
        raise PreparationError(
            "The cohort was prepared with other settings than the study's",
            fix="run `fl-client prepare` again with the study's preprocessing settings",
        )
    if listing.get("version") != PREPROCESSING_VERSION:
        raise PreparationError(
            "The cohort was prepared by another release", fix="run `fl-client prepare` again with this release"
        )
    usable, excluded = [], []
    for entry in listing["cases"]:
        if entry["verdict"] == "usable" and entry["file"] is not None:
            usable.append(_load(prepared / entry["file"], entry, study, site))
        else:
            excluded.append(Excluded(entry["id"], tuple(entry["reasons"])))
    patients = patients_of(usable)
    training, validation = split(patients, study.validation_fraction)
    if not training or not validation:
        raise PreparationError(
            f"Only {len(usable)} of {len(listing['cases'])} cases can be used; two different ones are the least: "
            "one to train on, one to validate on",
            fix="prepare more cases, or see in the cohort's list why cases were excluded",
        )
    return Cohort(training, validation, tuple(excluded), patients)


def patients_of(cases: Sequence[Drawn]) -> tuple[Patient, ...]:
    """Return cases by person, in the order of their lowest tickets.

    The same pixels under two pseudonyms are one person, and so are two scans under one pseudonym.
    """
    persons = Persons(map(handles_of, cases))
    found: dict[str, list[Drawn]] = defaultdict(list)
    for drawn in sorted(cases, key=lambda drawn: drawn.ticket):
        found[persons.of(handles_of(drawn))].append(drawn)
    return tuple(map(tuple, found.values()))


def split(
    patients: Sequence[Patient], validation_fraction: float
) -> tuple[tuple[TrainingCase, ...], tuple[TrainingCase, ...]]:
    """Split by patient, each kind (methylation, tumor) in its share, by tickets drawn from seed, site and pseudonym.

    Within a kind the lowest tickets validate, so that a new patient moves few others.

    Args:
        patients: in the order of their tickets.
        validation_fraction: share of the patients that validate.
    """
    kinds: dict[tuple[int, int], list[Patient]] = defaultdict(list)
    for same in patients:
        kinds[kind_of(same[0].case)].append(same)
    shares = _shares([len(kinds[kind]) for kind in sorted(kinds)], validation_fraction)
    sides: tuple[list[Drawn], list[Drawn]] = ([], [])
    for kind, share in zip(sorted(kinds), shares, strict=True):
        for place, same in enumerate(kinds[kind]):
            sides[place < share].extend(same)
    training, validation = (tuple(drawn.case for drawn in side) for side in sides)
    return training, validation


def handles_of(drawn: Drawn) -> Handles:
    """Return what a case's person is known by."""
    return (f"patient {drawn.patient}", f"pixels {drawn.pixels}")


def kind_of(case: TrainingCase) -> tuple[int, int]:
    """Return a case's kind, by which sides are balanced: methylation and tumor, each -1 where unknown."""
    return (-1 if case.mgmt is None else case.mgmt, -1 if case.tumor is None else case.tumor)


def _shares(sizes: Sequence[int], fraction: float) -> list[int]:
    """Return how many of each kind validate: the whole by its share, at least one, largest remainders first."""
    patients = sum(sizes)
    if patients < 2:
        return [0 for _ in sizes]
    wanted = min(max(1, round(fraction * patients)), patients - 1)
    exact = [size * wanted / patients for size in sizes]
    shares = [int(share) for share in exact]
    # The only one of its kind rather trains; of equal remainders the larger kind gives.
    by_remainder = sorted(
        range(len(sizes)), key=lambda kind: (sizes[kind] == 1, shares[kind] - exact[kind], -sizes[kind])
    )
    for kind in by_remainder[: wanted - sum(shares)]:
        shares[kind] += 1
    return shares


def _read_listing(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
        listing = json.loads(text)
        for name in ("preprocessing", "cases"):
            listing[name]
    except FileNotFoundError:
        raise PreparationError("This site has no prepared cohort", fix="run `fl-client prepare`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise PreparationError(
            f"{path.name} is damaged ({type(error).__name__})", fix="delete it and run `fl-client prepare` again"
        ) from None
    if not listing["cases"]:
        raise PreparationError("The prepared cohort has no cases", fix="check the folder of scans and prepare again")
    return text


def _load(path: Path, entry: dict[str, Any], study: Study, site: str) -> Drawn:
    prepared: PreparedCase = load_case(path)
    if prepared.image.shape != (4, *[study.preprocessing.grid] * 3):
        raise PreparationError(
            f"A prepared case has shape {list(prepared.image.shape)}, the study's grid is {study.preprocessing.grid}",
            fix="delete the prepared cohort and run `fl-client prepare` again",
        )
    return Drawn(
        ticket=hashlib.sha256(json.dumps([study.seed, site, entry["id"]]).encode()).hexdigest(),
        patient=entry.get("patient", entry["id"]),
        pixels=pixel_digest(prepared),
        case=training_case(prepared.image, prepared.tumor, entry["mgmt"]),
    )
