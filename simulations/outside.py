"""Patients whom no site of a scenario trains on, as its models are measured on them."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.imaging.case import PreparedCase, load_case, pixel_digest
from core.study import Study
from fl_client.config import SiteConfig
from fl_client.dataset import load_cohort
from fl_client.prepare import PreparedCohort


@dataclass(frozen=True)
class OutsidePatient:
    """A patient of the hospital that never trained.

    Attributes:
        id: the folder's name.
        mgmt: the label; None for a healthy control.
        case: as prepared from DICOM.
    """

    id: str
    mgmt: int | None
    case: PreparedCase


def usable_patients(cohort: PreparedCohort, config: SiteConfig) -> tuple[OutsidePatient, ...]:
    """Return the outside hospital's patients whose scans are good enough.

    Args:
        cohort: as it was prepared.
        config: the hospital's settings.
    """
    return tuple(
        OutsidePatient(entry.id, entry.mgmt, load_case(config.site.prepared / entry.file))
        for entry in cohort.entries
        if entry.file is not None and entry.verdict == "usable"
    )


def without_copies(
    patients: tuple[OutsidePatient, ...], configs: Mapping[str, SiteConfig], study: Study
) -> tuple[OutsidePatient, ...]:
    """Return patients without those whose very scan a site has, whatever it is called there.

    Args:
        configs: by site that trains, its settings; its cohort is prepared already.
    """
    trained = {
        drawn.pixels
        for site, config in configs.items()
        for person in load_cohort(config.site.prepared, study, site).patients
        for drawn in person
    }
    return tuple(patient for patient in patients if pixel_digest(patient.case) not in trained)
