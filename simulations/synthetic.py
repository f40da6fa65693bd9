"""Synthetic hospitals -> the sites of a scenario, and one outside that never trains."""

from functools import partial
from pathlib import Path

from core.progress import Report, silent
from simulations.cohorts import OUTSIDE, Hospitals, SyntheticCohort
from simulations.hospitals import site_names, write_cohort


def make_synthetic(
    cohort: SyntheticCohort, out: Path, workers: int, report: Report = silent, *, outside: bool = True
) -> Hospitals:
    """Write the training hospitals, and where wanted one outside with a scanner that none of them has.

    Args:
        cohort: their settings.
        out: folder for OUT/<site>/ and OUT/outside/.
        workers: processes side by side.
        report: told how far it is.
        outside: whether the one outside is wanted.
    Raises: FLError: as `write_cohort`.
    """
    write = partial(
        write_cohort, out, seed=cohort.seed, separability=cohort.separability, coarse=cohort.coarse,
        workers=workers, report=report,
    )  # fmt: skip
    names = site_names(cohort.sites)
    write(names, cohort.patients, controls=cohort.controls)
    if outside:
        write([OUTSIDE], cohort.outside_patients, controls=cohort.outside_controls, first=len(names))
    return Hospitals(
        sites=tuple(names),
        trained=(
            f"{cohort.sites} hospitals with {cohort.patients} glioma patients and {cohort.controls} healthy controls "
            f"each ({'coarse' if cohort.coarse else 'full-size'} scanners)"
        ),
        tested="of an outside hospital that trained none of them and whose scanner none of them saw",
        ceiling=cohort.separability,
    )
