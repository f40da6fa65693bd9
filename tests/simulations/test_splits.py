import csv
import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError, DataError, NotACaseError
from core.imaging.reading import folders_of_cases, read_labels
from simulations.splits import by_label, by_quantity, by_scanner, evenly, split
from tests.core.imaging.factories_dicom import a_slice, pixels_of

LABELS = st.lists(st.sampled_from([0, 1, None]), min_size=1, max_size=120)
ALPHAS = st.sampled_from([1e-3, 0.01, 0.1, 0.5, 1.0, 10.0, 1e6])
SEEDS = st.integers(0, 2**32)


def a_cohort(at: Path, patients: int = 12, masks: bool = False) -> Path:
    """One slice a patient, labels 0, 1, blank in turn, scanners A, A, B in turn."""
    lines = ["BraTS21ID,MGMT_value"]
    for number in range(patients):
        folder = at / "train" / f"{number:05d}"
        model = "A" if number % 3 < 2 else "B"
        a_slice(folder / "T1w" / "Image-1.dcm", pixels_of(1)[0], Manufacturer="Maker", ManufacturerModelName=model)
        lines.append(f"{number:05d},{('0', '1', '')[number % 3]}")
        if masks:
            (at / "masks").mkdir(exist_ok=True)
            (at / "masks" / f"{number:05d}.nii.gz").write_bytes(bytes([number]))
    (at / "train_labels.csv").write_text("\n".join(lines) + "\n")
    return at


@given(LABELS, st.integers(1, 12), ALPHAS, SEEDS)
@settings(deadline=None)
def test_every_patient_gets_one_site_and_every_site_a_patient(
    labels: list[int | None], sites: int, alpha: float, seed: int
) -> None:
    if len(labels) < sites:
        for deal in (
            lambda rng: evenly(len(labels), sites, rng),
            lambda rng: by_label(labels, sites, alpha, rng),
            lambda rng: by_quantity(len(labels), sites, alpha, rng),
        ):
            with pytest.raises(ConfigError, match="cannot make"):
                deal(np.random.default_rng(seed))
        return
    for deal in (
        lambda rng: evenly(len(labels), sites, rng),
        lambda rng: by_label(labels, sites, alpha, rng),
        lambda rng: by_quantity(len(labels), sites, alpha, rng),
    ):
        assigned = deal(np.random.default_rng(seed))
        assert len(assigned) == len(labels)
        assert set(assigned.tolist()) == set(range(sites))
        np.testing.assert_array_equal(assigned, deal(np.random.default_rng(seed)))


@given(st.integers(1, 100), st.integers(1, 12), SEEDS)
def test_iid_sites_differ_by_one_patient_at_most(patients: int, sites: int, seed: int) -> None:
    if patients >= sites:
        sizes = np.bincount(evenly(patients, sites, np.random.default_rng(seed)))
        assert sizes.max() - sizes.min() <= 1


def test_seeds_differ() -> None:
    first, second = (evenly(50, 3, np.random.default_rng(seed)) for seed in (0, 1))
    assert not np.array_equal(first, second)


@given(SEEDS)
@settings(deadline=None)
def test_a_large_alpha_gives_each_site_every_label_alike(seed: int) -> None:
    labels = np.array([0, 1] * 60)
    alike = by_label(labels.tolist(), 3, 1e6, np.random.default_rng(seed))
    for site in range(3):
        assert abs(int(np.sum(labels[alike == site])) - 20) <= 1
        assert abs(int(np.sum(1 - labels[alike == site])) - 20) <= 1


def test_a_small_alpha_gathers_each_label_at_one_site() -> None:
    """But for patients that fill empty sites, and for the few draws in a hundred that fall between two sites."""
    labels = np.array([0, 1] * 60)
    draws = [by_label(labels.tolist(), 3, 1e-3, np.random.default_rng(seed)) for seed in range(100)]
    largest = [np.bincount(draw[labels == label], minlength=3).max() for draw in draws for label in (0, 1)]
    assert np.mean(np.array(largest) >= 55) > 0.95


def test_quantity_skew_is_skewed() -> None:
    sizes = [np.bincount(by_quantity(100, 4, 0.2, np.random.default_rng(seed))).max() for seed in range(20)]
    assert np.mean(sizes) > 50
    assert np.bincount(by_quantity(100, 4, 1e6, np.random.default_rng(0))).tolist() == [25, 25, 25, 25]


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match="alpha"):
        by_label([0, 1], 2, alpha, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="alpha"):
        by_quantity(5, 2, alpha, np.random.default_rng(0))


def test_a_scanner_s_patients_stay_together_and_sites_are_balanced() -> None:
    scanners = list("aaaaabbbccd")
    # a (5) to site 0; b (3) to site 1; c (2) to site 1, which has 3 against 5; d (1) to site 0, first of equals.
    assert by_scanner(scanners, 2).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0]
    with pytest.raises(DataError, match="4 scanners, which cannot make 5 sites"):
        by_scanner(scanners, 5)


@pytest.mark.parametrize("how", ["iid", "label", "quantity", "scanner"])
def test_a_split_is_a_cohort_a_site_with_all_patients_once(tmp_path: Path, how: str) -> None:
    source = a_cohort(tmp_path / "rsna", masks=True)
    result = split(source, tmp_path / "out", 2, how, seed=3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["site-1", "site-2"]
    everyone = [id_ for ids in result.sites.values() for id_ in ids]
    assert sorted(everyone) == [f"{number:05d}" for number in range(12)]
    assert result.left_out == ()
    labels = read_labels(source / "train_labels.csv")
    for site, ids in result.sites.items():
        folder = tmp_path / "out" / site
        assert tuple(case.name for case in folders_of_cases(folder)) == ids
        assert read_labels(folder / "train_labels.csv") == {id_: labels[id_] for id_ in ids}
        assert sorted(path.name for path in (folder / "masks").iterdir()) == [f"{id_}.nii.gz" for id_ in ids]
        for id_ in ids:
            slice_ = Path("train", id_, "T1w", "Image-1.dcm")
            assert (folder / slice_).samefile(source / slice_)


def test_the_same_seed_gives_the_same_split(tmp_path: Path) -> None:
    source = a_cohort(tmp_path / "rsna")
    results = [split(source, tmp_path / f"{number}", 3, "label", seed=seed) for number, seed in enumerate([5, 5, 6])]
    assert results[0] == results[1] != results[2]


def test_a_split_by_scanner_reads_maker_and_model(tmp_path: Path) -> None:
    result = split(a_cohort(tmp_path / "rsna"), tmp_path / "out", 2, "scanner")
    assert result.sites["site-2"] == ("00002", "00005", "00008", "00011")


def test_a_split_by_scanner_needs_headers_that_name_one(tmp_path: Path) -> None:
    source = tmp_path / "rsna"
    a_slice(source / "train" / "00000" / "T1w" / "a", pixels_of(1)[0])
    (source / "train_labels.csv").write_text("BraTS21ID,MGMT_value\n00000,1\n")
    with pytest.raises(DataError, match="No scan says which scanner"):
        split(source, tmp_path / "out", 1, "scanner")


def test_where_maker_and_model_were_taken_out_a_magnets_frequency_tells_scanners_apart(tmp_path: Path) -> None:
    """As in RSNA's download: 3 T of one maker, 3 T of others, 1.5 T, and one without a frequency."""
    said = [{"ImagingFrequency": value} for value in ("123.19", "123.26", "127.7", "63.6")]
    said += [{"ImagingFrequency": "0", "MagneticFieldStrength": "1.5"}, {"ImagingFrequency": "", "Manufacturer": " "}]
    said += [{"ManufacturerModelName": "Model", "ImagingFrequency": "63.6"}]
    for number, tags in enumerate(said):
        a_slice(tmp_path / "rsna" / "train" / f"{number:05}" / "T1w" / "a", pixels_of(1)[0], **tags)
    (tmp_path / "rsna" / "train_labels.csv").write_text("BraTS21ID,MGMT_value\n")
    result = split(tmp_path / "rsna", tmp_path / "out", 6, "scanner")
    assert sorted(result.sites.values()) == [("00000", "00001"), *((f"{number:05}",) for number in range(2, 7))]


def test_a_csv_says_who_goes_where(tmp_path: Path) -> None:
    source = a_cohort(tmp_path / "rsna")
    table = tmp_path / "sites.csv"
    table.write_text("BraTS21ID,site\n00003,north\n00001,south\n00000,north\n")
    result = split(source, tmp_path / "out", 0, str(table))
    assert result.sites == {"north": ("00000", "00003"), "south": ("00001",)}
    assert result.left_out == ("00002", *(f"{number:05d}" for number in range(4, 12)))
    assert [path.name for path in folders_of_cases(tmp_path / "out" / "north")] == ["00000", "00003"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1 is not"),
        ("id,site\n00000,north\n", "line 1 is not"),
        ("BraTS21ID,site\n00000,north\n00000,south\n", "line 3 repeats a patient"),
        ("BraTS21ID,site\n77777,north\n", "line 2 names a patient without scans"),
        ("BraTS21ID,site\n00000,../north\n", "line 2 names no site"),
        ("BraTS21ID,site\n00000\n", "line 2 names no site"),
        ("BraTS21ID,site\n", "names no patients"),
        ('BraTS21ID,site\n"00000,north\n', "cannot be read"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused_with_the_line(tmp_path: Path, text: str, problem: str) -> None:
    source = a_cohort(tmp_path / "rsna", patients=2)
    (tmp_path / "sites.csv").write_text(text)
    with pytest.raises(DataError, match=problem):
        split(source, tmp_path / "out", 2, str(tmp_path / "sites.csv"))
    assert not (tmp_path / "out").exists()


def test_labels_of_absent_patients_are_reported_and_patients_without_a_label_are_blank(tmp_path: Path) -> None:
    source = a_cohort(tmp_path / "rsna", patients=3)
    (source / "train_labels.csv").write_text("BraTS21ID,MGMT_value\n00000,1\n00099,0\n")
    result = split(source, tmp_path / "out", 1, "iid")
    assert result.absent == ("00099",)
    with (tmp_path / "out" / "site-1" / "train_labels.csv").open() as file:
        assert list(csv.reader(file))[1:] == [["00000", "1"], ["00001", ""], ["00002", ""]]


def test_nothing_is_overwritten_and_nothing_half_done_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = a_cohort(tmp_path / "rsna", patients=4)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="not an empty folder"):
        split(source, tmp_path / "out", 2, "iid")

    def full_disk(_source: str, _target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full_disk)
    with pytest.raises(OSError, match="No space"):
        split(source, tmp_path / "new", 2, "iid")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "rsna"]


def test_another_disk_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_disk(_source: str, _target: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    source = a_cohort(tmp_path / "rsna", patients=2)
    split(source, tmp_path / "out", 1, "iid")
    slice_ = Path("train", "00000", "T1w", "Image-1.dcm")
    assert (tmp_path / "out" / "site-1" / slice_).read_bytes() == (source / slice_).read_bytes()
    assert not (tmp_path / "out" / "site-1" / slice_).samefile(source / slice_)


def test_what_cannot_be_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotACaseError):
        split(tmp_path, tmp_path / "out", 2, "iid")
    source = a_cohort(tmp_path / "rsna", patients=2)
    with pytest.raises(ConfigError, match="No way to split is called random"):
        split(source, tmp_path / "out", 2, "random")
    with pytest.raises(ConfigError, match="2 patients cannot make 3 sites"):
        split(source, tmp_path / "out", 3, "iid")
    with pytest.raises(ConfigError, match="seed is negative"):
        split(source, tmp_path / "out", 1, "iid", seed=-1)
