from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from core.errors import DicomError
from core.imaging.dicom import Series
from core.imaging.sequences import choose, identify, named
from core.imaging.volume import SEQUENCES


def a_found_series(*folder: str, slices: int = 24, kind: Any = "original", **header: Any) -> Series:
    """A series as it was found, with this header."""
    dataset = Dataset()
    for name, value in header.items():
        setattr(dataset, name, value)
    return Series(tuple(Path(f"{n}") for n in range(slices)), (dataset,) * slices, folder, kind)


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("T1w", "T1w"),
        ("T1wCE", "T1wCE"),
        ("T2w", "T2w"),
        ("FLAIR", "FLAIR"),
        ("BraTS2021_00000_t1ce", "T1wCE"),
        ("BraTS20_Training_001_flair", "FLAIR"),
        ("BraTS-GLI-00005-100-t1c", "T1wCE"),
        ("BraTS-GLI-00005-100-t1n", "T1w"),
        ("BraTS-GLI-00005-100-t2f", "FLAIR"),
        ("BraTS-GLI-00005-100-t2w", "T2w"),
        ("sub-01_T1Gd", "T1wCE"),
        ("T2", "T2w"),
        ("T1wCE_hdbet_mask", None),
        ("BraTS2021_00000_seg", None),
        ("t1_brain_mask", None),
        ("t10", None),
        ("00000", None),
        ("", None),
    ],
)
def test_names_are_known_as_people_write_them(name: str, sequence: str | None) -> None:
    assert named([name]).sequence == sequence


def test_the_innermost_telling_name_counts() -> None:
    assert named(["T1w", "DICOM"]).sequence == "T1w"
    assert named(["T1w", "old", "T2w", "IM"]).sequence == "T2w"
    assert named([]).sequence is None


@pytest.mark.parametrize(
    ("description", "sequence"),
    [
        ("t1_mprage_sag_p2_iso", "T1w"),
        ("t1_mpr_sag_p2_iso_KM", "T1wCE"),
        ("Ax T1 POST", "T1wCE"),
        ("AX T1 +C", "T1wCE"),
        ("T1 AX C+", "T1wCE"),
        ("SAG T1 PRE GD", "T1w"),
        ("T1 without contrast", "T1w"),
        ("sT1W_3D_TFE", "T1w"),
        ("T1W_SE_GADO", "T1wCE"),
        ("BRAVO +C", "T1wCE"),
        ("Sag FSPGR 3D", "T1w"),
        ("Ax T1 FLAIR", "T1w"),
        ("Ax T2 FLAIR", "FLAIR"),
        ("t2_tirm_tra_dark-fluid", "FLAIR"),
        ("3D_BRAIN_VIEW_FLAIR post", "FLAIR"),
        ("AXIAL T2", "T2w"),
        ("t2_tse_tra", "T2w"),
        ("T2W_TSE", "T2w"),
        ("T1w", "T1w"),
        ("T1wCE", "T1wCE"),
        ("Ax T2* GRE", None),
        ("T2star", None),
        ("AX DWI b1000", None),
        ("ep2d_diff_3scan_trace", None),
        ("SWI_Images", None),
        ("3-PLANE LOC", None),
        ("T2 C-SPINE", None),
        ("AX PD", None),
        ("ordinary words", None),
        ("", None),
    ],
)
def test_descriptions_are_read_as_radiographers_write_them(description: str, sequence: str | None) -> None:
    assert identify(a_found_series(SeriesDescription=description)).sequence == sequence


@pytest.mark.parametrize(
    ("echo", "repetition", "inversion", "scanning", "sequence"),
    [
        (10, 500, None, "SE", "T1w"),
        (3, 1900, 900, ["GR", "IR"], "T1w"),
        (100, 5000, None, "SE", "T2w"),
        (120, 9000, 2500, ["SE", "IR"], "FLAIR"),
        (20, 600, None, "GR", None),
        (15, 3000, None, "SE", None),
        (None, 3000, None, None, None),
        (40, 40, None, None, None),
    ],
)
def test_timing_alone_tells_the_weighting(
    echo: float | None, repetition: float, inversion: float | None, scanning: Any, sequence: str | None
) -> None:
    timing = {
        "EchoTime": echo,
        "RepetitionTime": repetition,
        "InversionTime": inversion,
        "ScanningSequence": scanning,
    }
    guess = identify(a_found_series(**{name: value for name, value in timing.items() if value is not None}))
    assert guess.sequence == sequence
    assert guess.confidence == (0.6 if sequence else 0.0)


def test_a_recorded_contrast_agent_makes_a_t1w_a_t1wce() -> None:
    guess = identify(a_found_series(SeriesDescription="AX T1", ContrastBolusAgent="Gadovist"))
    assert guess.sequence == "T1wCE"
    assert "a contrast agent is recorded" in guess.because
    assert identify(a_found_series(SeriesDescription="AX T1", ContrastBolusAgent="NONE")).sequence == "T1w"
    assert identify(a_found_series(SeriesDescription="AX T2", ContrastBolusAgent="Gadovist")).sequence == "T2w"


def test_agreement_raises_the_confidence_by_the_product_of_doubts() -> None:
    alone = identify(a_found_series("T2w"))
    agreed = identify(a_found_series("T2w", SeriesDescription="t2_tse", EchoTime=100, RepetitionTime=5000))
    assert alone.confidence == 0.95
    # 1 - 0.05 * 0.2 * 0.4
    assert agreed.confidence == 0.996
    assert len(agreed.because) == 3


def test_contradiction_lowers_the_confidence_and_is_noted() -> None:
    guess = identify(a_found_series("T1w", EchoTime=100, RepetitionTime=5000))
    assert guess.sequence == "T1w"
    # 0.95 * (1 - 0.6 * 0.6)
    assert guess.confidence == 0.608
    assert guess.because[1] == "but TE 100 ms, TR 5000 ms, TI 0 ms"
    agent = identify(a_found_series("T1w", ContrastBolusAgent="Gadovist"))
    assert (agent.sequence, agent.confidence) == ("T1w", 0.608)


def test_timing_s_t1w_does_not_speak_against_a_t1wce() -> None:
    guess = identify(a_found_series("T1wCE", EchoTime=10, RepetitionTime=500))
    assert guess.confidence == 0.98


@pytest.mark.parametrize(
    ("series", "why"),
    [
        (a_found_series("T1w", kind="localizer"), "its image type says localizer"),
        (a_found_series("T1w", kind="projection"), "its image type says projection"),
        (a_found_series("T1w", Modality="CT"), "it is not MR"),
        (a_found_series("x"), "neither name, description nor timing says what it is"),
    ],
)
def test_what_is_none_of_the_four_says_why(series: Series, why: str) -> None:
    guess = identify(series)
    assert (guess.sequence, guess.confidence, guess.because) == (None, 0.0, (why,))


def four(**others: Series) -> list[Series]:
    return [others.get(sequence) or a_found_series(sequence) for sequence in SEQUENCES]


def test_the_four_are_chosen_in_their_order() -> None:
    chosen = choose(four()[::-1])
    assert tuple(chosen) == SEQUENCES
    assert all(series.folder == (sequence,) for sequence, (series, _) in chosen.items())


def test_the_surer_the_original_the_fuller_and_the_thinner_series_wins() -> None:
    sure = a_found_series("T2w", SeriesDescription="T2")
    contenders = [
        a_found_series("a", SeriesDescription="T2"),
        a_found_series("T2w", SeriesDescription="T2", kind="derived"),
        a_found_series("T2w", SeriesDescription="T2", slices=3),
        a_found_series("T2w", SeriesDescription="T2", slices=1),
    ]
    assert choose([*four(T2w=contenders[0]), *contenders[1:], sure])["T2w"][0] is sure
    thin = a_found_series("T2w", SeriesDescription="T2", slices=160, SliceThickness=1)
    assert choose([*four(T2w=sure), thin])["T2w"][0] is thin


def test_a_missing_sequence_is_named_with_what_was_found() -> None:
    series = [
        a_found_series("T1w"),
        a_found_series("FLAIR", slices=30),
        a_found_series("x"),
        a_found_series(kind="localizer"),
    ]
    with pytest.raises(DicomError) as refused:
        choose(series)
    assert refused.value.problem == "The case has no T1wCE and no T2w"
    assert refused.value.fix == (
        "add it, in a folder of that name; found: 1 localizers, FLAIR (30 images), T1w (24 images), "
        "1 series of no known sequence"
    )
