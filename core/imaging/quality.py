"""Whether a prepared case may be trained on or predicted: measured findings in, reasons in plain words out."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.imaging.case import Quality

# Adult brains measure about 1,000 to 1,700 ml, the fluid around them up to 400 more; beyond this the mask holds more
# than a brain. The atlas's own, 1,897 ml, is larger than most.
BRAIN_ML = (700.0, 2200.0)
# Edge of a voxel, mm: clinical slices are at most 7 or 8 mm apart.
COARSEST_MM = 10.0
# Share of the brain that one sequence, and all four together, must show.
COVERAGE = 0.9
JOINT_COVERAGE = 0.85
# Mutual information of a registered pair, nats: measured 0.5 and more for two sequences of one patient, below 0.1 for
# noise. Two patients' heads share 0.25 to 0.5, so this does not find a scan that was filed under the wrong name.
SHARED_NATS = 0.2
# How far the atlas may be stretched along any direction to fit a brain.
STRETCH = (0.65, 1.5)


@dataclass(frozen=True)
class Findings:
    """What preparing a case measured.

    Attributes:
        coarsest_mm: for each sequence, the longest edge of its voxels.
        blank: sequences in which every voxel, or every voxel of the brain, has the same value.
        shared_nats: for each sequence but T1wCE, its mutual information with T1wCE once registered.
        brain_ml: the brain mask's volume.
        stretch: the smallest and the largest scale of the affine transform from the atlas.
        coverage: for each sequence, the share of the brain that it shows.
        joint_coverage: the share of the brain that all sequences show.
        tumor_inside: whether the tumor mask, if there is one and it is not empty, reaches into the brain.
    """

    coarsest_mm: Mapping[str, float]
    blank: frozenset[str]
    shared_nats: Mapping[str, float]
    brain_ml: float
    stretch: tuple[float, float]
    coverage: Mapping[str, float]
    joint_coverage: float
    tumor_inside: bool = True


def judge(found: Findings) -> Quality:
    """Return the verdict on a case, with one sentence for everything that speaks against it."""
    reasons = [f"{name} is blank: all its voxels have the same value." for name in sorted(found.blank)]
    reasons += [
        f"{name} has voxels of {edge:.0f} mm; more than {COARSEST_MM:.0f} mm is too coarse."
        for name, edge in found.coarsest_mm.items()
        if edge > COARSEST_MM
    ]
    reasons += _of_the_brain(found)
    usable = [name for name in found.coverage if name not in found.blank]
    reasons += [
        f"{name} does not match T1wCE after registration: it may show something else, or noise."
        for name in usable
        if found.shared_nats.get(name, SHARED_NATS) < SHARED_NATS
    ]
    partial = [name for name in usable if found.coverage[name] < COVERAGE]
    reasons += [f"{name} shows only {found.coverage[name]:.0%} of the brain." for name in partial]
    if not reasons and found.joint_coverage < JOINT_COVERAGE:
        reasons.append(f"Only {found.joint_coverage:.0%} of the brain is shown by all four sequences.")
    if not found.tumor_inside:
        reasons.append("The tumor mask lies outside of the brain: it may belong to another scan.")
    return Quality(tuple(reasons))


def _of_the_brain(found: Findings) -> list[str]:
    low, high = BRAIN_ML
    if found.brain_ml == 0:
        return ["No brain was found in the scan."]
    reasons = []
    if not low <= found.brain_ml <= high:
        reasons.append(f"The brain found measures {found.brain_ml:.0f} ml, outside of {low:.0f} to {high:.0f} ml.")
    if not (STRETCH[0] <= found.stretch[0] and found.stretch[1] <= STRETCH[1]):
        reasons.append("The brain found does not have a brain's shape: the atlas cannot be laid on it.")
    return reasons
