from dataclasses import replace

import pytest

from core.imaging.quality import Findings, judge
from core.imaging.volume import SEQUENCES

GOOD = Findings(
    coarsest_mm=dict.fromkeys(SEQUENCES, 5.0),
    blank=frozenset(),
    shared_nats={"T1w": 1.2, "T2w": 0.7, "FLAIR": 0.8},
    brain_ml=1400.0,
    stretch=(0.9, 1.1),
    coverage=dict.fromkeys(SEQUENCES, 1.0),
    joint_coverage=0.99,
)


def test_a_good_case_is_usable():
    assert judge(GOOD).verdict == "usable"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"coarsest_mm": {**GOOD.coarsest_mm, "T2w": 12.0}}, "T2w has voxels of 12 mm"),
        ({"blank": frozenset({"FLAIR"})}, "FLAIR is blank"),
        ({"shared_nats": {**GOOD.shared_nats, "T1w": 0.05}}, "T1w does not match T1wCE"),
        ({"brain_ml": 0.0}, "No brain was found"),
        ({"brain_ml": 699.0}, "measures 699 ml"),
        ({"brain_ml": 2201.0}, "measures 2201 ml"),
        ({"stretch": (0.4, 1.1)}, "brain's shape"),
        ({"stretch": (0.9, 1.9)}, "brain's shape"),
        ({"coverage": {**GOOD.coverage, "T1wCE": 0.62}}, "T1wCE shows only 62% of the brain"),
        ({"joint_coverage": 0.8}, "Only 80% of the brain"),
        ({"tumor_inside": False}, "tumor mask"),
    ],
)
def test_each_fault_is_the_one_reason_given(found, reason):
    quality = judge(replace(GOOD, **found))
    assert quality.verdict == "unreliable"
    assert len(quality.reasons) == 1
    assert reason in quality.reasons[0]
    assert quality.reasons[0].endswith(".")


def test_a_blank_sequence_is_not_blamed_again_for_what_follows_from_it():
    found = replace(
        GOOD,
        blank=frozenset({"T2w"}),
        shared_nats={**GOOD.shared_nats, "T2w": 0.0},
        coverage={**GOOD.coverage, "T2w": 0.0},
        joint_coverage=0.0,
    )
    assert judge(found).reasons == ("T2w is blank: all its voxels have the same value.",)


def test_all_faults_are_listed_together():
    found = replace(GOOD, brain_ml=300.0, coverage={**GOOD.coverage, "FLAIR": 0.5}, tumor_inside=False)
    assert len(judge(found).reasons) == 3
