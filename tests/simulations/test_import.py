"""From each public cohort, as downloaded, to what `split` deals out and what `fl-client prepare` reads."""

import csv
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from core.errors import DataError
from core.imaging.case import load_case
from core.imaging.nifti import read_mask
from core.imaging.reading import folders_of_cases, read_case, read_labels
from core.imaging.volume import SEQUENCES
from fl_client.config import SiteConfig, SiteSettings
from fl_client.prepare import prepare_cohort
from simulations.cli import app
from simulations.public_import import import_cohort
from simulations.splits import split
from tests.core.imaging.factories_heads import a_case, lesion_labels, scanned
from tests.simulations.factories_public import ORIGIN, a_mask, a_nifti, brats, rsna, ucsf, upenn


def table(out: Path) -> dict[str, dict[str, str]]:
    """import.csv by folder."""
    with (out / "import.csv").open() as file:
        return {row["folder"]: row for row in csv.DictReader(file)}


def left_out(out: Path) -> dict[str, str]:
    return {folder: row["left_out"] for folder, row in table(out).items() if row["left_out"]}


def people(cohort: Path) -> list[str]:
    return [folder.name for folder in folders_of_cases(cohort)]


def masks(cohort: Path) -> list[str]:
    return sorted(path.name for path in cohort.glob("masks/*"))


def tree(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {p.relative_to(folder): (p.stat().st_ino, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def test_rsna_is_brought_split_and_read_and_what_is_broken_is_left_out(tmp_path: Path) -> None:
    source = rsna(tmp_path / "kaggle", ["00000", "00002", "00003", "00109", "00123", "00709"])
    rsna(tmp_path / "kaggle" / "tests", ["00001"])
    (source / "tests" / "train").rename(source / "test")
    (source / "tests" / "train_labels.csv").unlink()
    lines = import_cohort("rsna", source, tmp_path / "out")
    assert people(tmp_path / "out") == ["00000", "00002", "00003"]
    assert read_labels(tmp_path / "out" / "train_labels.csv") == {"00000": 0, "00002": 1, "00003": 0}
    assert sorted(left_out(tmp_path / "out")) == ["00109", "00123", "00709"]
    assert all("broken" in reason for reason in left_out(tmp_path / "out").values())
    assert len(lines) == 6
    one = Path("train", "00002", "FLAIR")
    for path in (source / one).iterdir():
        assert (tmp_path / "out" / one / path.name).samefile(path)
    split(tmp_path / "out", tmp_path / "sites", 3, "iid")
    for site in (tmp_path / "sites").iterdir():
        (id_,) = people(site)
        ours, theirs = (read_case(folder / "train" / id_).volumes for folder in (site, source))
        assert all(np.array_equal(ours[name].voxels, theirs[name].voxels) for name in SEQUENCES)


def test_patients_whom_brats_has_twice_are_brought_once(tmp_path: Path) -> None:
    names = ["00557", "00639", "00626", "00758"]
    import_cohort("rsna", rsna(tmp_path / "kaggle", names), tmp_path / "rsna")
    import_cohort("brats", brats(tmp_path / "synapse", [f"BraTS2021_{n}" for n in names]), tmp_path / "brats")
    assert people(tmp_path / "rsna") == ["00626", "00639"]
    assert people(tmp_path / "brats") == ["BraTS2021_00626", "BraTS2021_00639"]


def test_brats_takes_rsnas_labels_by_number_and_keeps_each_file_in_its_sequence(tmp_path: Path) -> None:
    source = brats(tmp_path / "synapse", ["BraTS2021_00000", "BraTS2021_00002", "BraTS2021_01000"])
    labels = tmp_path / "train_labels.csv"
    # Spreadsheets drop leading zeros; 99 is a patient of RSNA whom this download has not.
    labels.write_text("BraTS21ID,MGMT_value\n0,1\n00002,0\n00099,1\n")
    import_cohort("brats", source, tmp_path / "out", labels)
    assert read_labels(tmp_path / "out" / "train_labels.csv") == {
        "BraTS2021_00000": 1,
        "BraTS2021_00002": 0,
        "BraTS2021_01000": None,
    }
    case = read_case(tmp_path / "out" / "train" / "BraTS2021_00002").volumes
    for sequence, ending in zip(SEQUENCES, ("t1", "t1ce", "t2", "flair"), strict=True):
        file = source / "BraTS2021_00002" / f"BraTS2021_00002_{ending}.nii.gz"
        assert np.array_equal(case[sequence].voxels, sitk.GetArrayFromImage(sitk.ReadImage(str(file))))
    assert (tmp_path / "out" / "masks" / "BraTS2021_00000.nii.gz").samefile(
        source / "BraTS2021_00000" / "BraTS2021_00000_seg.nii.gz"
    )


def test_brats_of_2023_has_its_enhancing_tumor_renamed_and_later_visits_left_out(tmp_path: Path) -> None:
    source = brats(
        tmp_path / "gli", ["BraTS-GLI-00005-001", "BraTS-GLI-00005-000", "BraTS-GLI-00008-001"], (0, 1, 2, 3)
    )
    import_cohort("brats", source, tmp_path / "out")
    assert people(tmp_path / "out") == ["BraTS-GLI-00005", "BraTS-GLI-00008"]
    assert list(left_out(tmp_path / "out")) == ["BraTS-GLI-00005-001"]
    mask = read_mask(tmp_path / "out" / "masks" / "BraTS-GLI-00005.nii.gz")
    theirs = read_mask(source / "BraTS-GLI-00005-000" / "BraTS-GLI-00005-000-seg.nii.gz")
    np.testing.assert_array_equal(mask.voxels, a_mask((0, 1, 2, 4)))
    assert (mask.origin, mask.spacing) == (theirs.origin, theirs.spacing)
    np.testing.assert_array_equal(mask.direction, theirs.direction)


def test_of_brats_a_first_scan_that_is_not_whole_is_followed_by_none(tmp_path: Path) -> None:
    source = brats(tmp_path / "gli", [f"BraTS-GLI-0000{n}" for n in ("5-000", "5-001", "8-000")], (0, 1, 2, 3))
    (source / "BraTS-GLI-00005-000" / "BraTS-GLI-00005-000-t2f.nii.gz").unlink()
    import_cohort("brats", source, tmp_path / "out")
    assert people(tmp_path / "out") == ["BraTS-GLI-00008"]
    assert left_out(tmp_path / "out") == {
        "BraTS-GLI-00005-000": "no FLAIR",
        "BraTS-GLI-00005-001": "a follow-up: a patient counts once, by the first scan",
    }


def test_of_brats_of_2024_whose_scans_come_after_treatment_nobody_is_brought(tmp_path: Path) -> None:
    source = brats(tmp_path / "gli", [f"BraTS-GLI-0000{n}" for n in ("5-100", "6-101", "8-000", "8-100")], (0, 1, 2, 3))
    import_cohort("brats", source, tmp_path / "out")
    assert people(tmp_path / "out") == ["BraTS-GLI-00008"]
    after = left_out(tmp_path / "out")
    assert sorted(after) == [f"BraTS-GLI-0000{n}" for n in ("5-100", "6-101", "8-100")]
    assert all(reason.startswith("taken after treatment") for reason in after.values())
    alone = brats(tmp_path / "2024", ["BraTS-GLI-00005-100"])
    with pytest.raises(DataError, match=r"No patient of .* can be brought: taken after treatment"):
        import_cohort("brats", alone, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_brats_calls_4_since_2023_is_no_enhancing_tumor(tmp_path: Path) -> None:
    source = brats(tmp_path / "gli", ["BraTS-GLI-00005-000"], (0, 1, 2, 4))
    import_cohort("brats", source, tmp_path / "out")
    assert people(tmp_path / "out") == ["BraTS-GLI-00005"]
    assert masks(tmp_path / "out") == []
    assert "holds 4" in table(tmp_path / "out")["BraTS-GLI-00005-000"]["note"]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ((0, 1, 2, 3, 4), "both 3 and 4"),
        ((0, 1, 5), "holds 5"),
        ((0, 1, 1.5), "holds 1.5"),
        ((0, 0), "empty"),
    ],
)
def test_a_mask_that_may_mean_something_else_is_left_out(
    tmp_path: Path, labels: tuple[float, ...], reason: str
) -> None:
    import_cohort("brats", brats(tmp_path / "synapse", ["BraTS2021_00000"], labels), tmp_path / "out")
    assert people(tmp_path / "out") == ["BraTS2021_00000"]
    assert masks(tmp_path / "out") == []
    assert reason in table(tmp_path / "out")["BraTS2021_00000"]["note"]


def test_a_mask_that_lies_elsewhere_or_is_cut_short_is_left_out(tmp_path: Path) -> None:
    source = brats(tmp_path / "synapse", ["BraTS2021_00000", "BraTS2021_00001"])
    elsewhere = source / "BraTS2021_00000" / "BraTS2021_00000_seg.nii.gz"
    a_nifti(elsewhere, a_mask(), (ORIGIN[0], ORIGIN[1] + 2, ORIGIN[2]))
    cut = source / "BraTS2021_00001" / "BraTS2021_00001_seg.nii.gz"
    cut.write_bytes(cut.read_bytes()[:60])
    import_cohort("brats", source, tmp_path / "out")
    assert masks(tmp_path / "out") == []
    notes = [row["note"] for row in table(tmp_path / "out").values()]
    assert "not on the grid of T1wCE" in notes[0]
    assert "damaged" in notes[1]


UPENN = (
    "UPENN-GBM-00001_11,M,60,Wildtype,Methylated,90\n"
    "UPENN-GBM-00001_21,M,61,Wildtype,Unmethylated,90\n"
    "UPENN-GBM-00002_11,F,50,Wildtype,Unmethylated,\n"
    "UPENN-GBM-00003_11,F,50,NOS/NEC,Indeterminate,\n"
    "UPENN-GBM-00004_11,F,50,NOS/NEC,Not Available,\n"
    "UPENN-GBM-00005_21,F,50,NOS/NEC,Methylated,\n"
)


def test_upenn_counts_each_patient_once_by_the_scan_before_surgery(tmp_path: Path) -> None:
    names = [row.split(",")[0] for row in UPENN.splitlines()]
    source = upenn(tmp_path / "tcia", names, UPENN, masks=["UPENN-GBM-00002_11"])
    import_cohort("upenn-gbm", source, tmp_path / "out")
    assert read_labels(tmp_path / "out" / "train_labels.csv") == {
        "UPENN-GBM-00001": 1,
        "UPENN-GBM-00002": 0,
        "UPENN-GBM-00003": None,
        "UPENN-GBM-00004": None,
    }
    assert people(tmp_path / "out") == sorted(read_labels(tmp_path / "out" / "train_labels.csv"))
    assert set(left_out(tmp_path / "out")) == {"UPENN-GBM-00001_21", "UPENN-GBM-00005_21"}
    # The automated, approximate ones are none that a reader corrected.
    assert masks(tmp_path / "out") == ["UPENN-GBM-00002.nii.gz"]
    enhanced = Path("train", "UPENN-GBM-00001", "T1wCE", "T1wCE.nii.gz")
    assert (tmp_path / "out" / enhanced).samefile(
        source / "images_structural" / "UPENN-GBM-00001_11" / "UPENN-GBM-00001_11_T1GD.nii.gz"
    )
    assert set(read_case(tmp_path / "out" / "train" / "UPENN-GBM-00001").volumes) == set(SEQUENCES)


UCSF = (
    "UCSF-PDGM-004,M,4,negative,0,BraTS2021_00097\n"
    "UCSF-PDGM-0005,F,4,positive,5,\n"
    "UCSF-PDGM-007,F,2,indeterminate,,\n"
    "UCSF-PDGM-008,F,2,unknown,,\n"
    "UCSF-PDGM-429,F,4,positive,,BraTS2021_00639\n"
    "UCSF-PDGM-0429_FU003d,F,4,negative,,BraTS2021_00557\n"
)


def test_ucsf_joins_labels_whose_numbers_are_short_and_leaves_follow_ups_out(tmp_path: Path) -> None:
    names = [f"UCSF-PDGM-{number}" for number in ("0004", "0005", "0007", "0008", "0429", "0429_FU003d", "0315")]
    source = ucsf(tmp_path / "tcia", names, UCSF)
    import_cohort("ucsf-pdgm", source, tmp_path / "out")
    assert read_labels(tmp_path / "out" / "train_labels.csv") == {
        "UCSF-PDGM-0004": 0,
        "UCSF-PDGM-0005": 1,
        "UCSF-PDGM-0007": None,
        "UCSF-PDGM-0008": None,
        "UCSF-PDGM-0429": 1,
    }
    assert set(left_out(tmp_path / "out")) == {"UCSF-PDGM-0429_FU003d_nifti", "UCSF-PDGM-0315_nifti"}
    assert left_out(tmp_path / "out")["UCSF-PDGM-0315_nifti"] == "a follow-up of UCSF-PDGM-0433"
    assert len(masks(tmp_path / "out")) == 5
    case, theirs = tmp_path / "out" / "train" / "UCSF-PDGM-0004", source / "UCSF-PDGM-v5" / "UCSF-PDGM-0004_nifti"
    for sequence, ending in zip(SEQUENCES, ("T1", "T1c", "T2", "FLAIR"), strict=True):
        assert (case / sequence / f"{sequence}.nii.gz").samefile(theirs / f"UCSF-PDGM-0004_{ending}.nii.gz")
    rows = table(tmp_path / "out")
    assert rows["UCSF-PDGM-0004_nifti"]["in_brats_2021"] == "BraTS2021_00097"
    assert rows["UCSF-PDGM-0429_nifti"]["in_brats_2021"] == "BraTS2021_00639 BraTS2021_00557"
    split(tmp_path / "out", tmp_path / "sites", 2, "label")
    sites = [set(people(site)) for site in (tmp_path / "sites").iterdir()]
    assert set.union(*sites) == set(people(tmp_path / "out"))
    assert not set.intersection(*sites)
    for site in (tmp_path / "sites").iterdir():
        for id_ in people(site):
            np.testing.assert_array_equal(read_mask(site / "masks" / f"{id_}.nii.gz").voxels, a_mask())
            assert (site / "masks" / f"{id_}.nii.gz").samefile(
                source / "UCSF-PDGM-v5" / f"{id_}_nifti" / f"{id_}_tumor_segmentation.nii.gz"
            )


def test_whom_two_cohorts_share_is_in_one_of_them_only(tmp_path: Path) -> None:
    import_cohort("rsna", rsna(tmp_path / "kaggle", ["00097", "00100"]), tmp_path / "rsna")
    source = ucsf(tmp_path / "tcia", ["UCSF-PDGM-0004", "UCSF-PDGM-0005"], UCSF)
    import_cohort("ucsf-pdgm", source, tmp_path / "ucsf", apart_from=[tmp_path / "rsna"])
    assert people(tmp_path / "ucsf") == ["UCSF-PDGM-0005"]
    assert left_out(tmp_path / "ucsf") == {"UCSF-PDGM-0004_nifti": "in rsna too, as BraTS2021_00097"}


def test_a_repeated_import_changes_nothing_and_an_interrupted_one_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = brats(tmp_path / "synapse", [f"BraTS2021_0000{number}" for number in range(3)])
    out, real, links = tmp_path / "out", os.link, []

    def power_cut(one: str, other: str) -> None:
        links.append(one)
        if len(links) == 8:
            raise KeyboardInterrupt
        real(one, other)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "link", power_cut)
        import_cohort("brats", source, out)
    assert not (out / "train_labels.csv").exists()
    assert people(out) == ["BraTS2021_00000"]
    # What a kill, unlike an interruption, would have left.
    (out / "train" / ".0123abcd.partial-BraTS2021_00001" / "T1w").mkdir(parents=True)
    first = tree(out / "train")
    import_cohort("brats", source, out)
    whole = tree(out)
    assert people(out) == [f"BraTS2021_0000{number}" for number in range(3)]
    assert first.items() <= tree(out / "train").items()
    assert not list(out.rglob("*partial*"))
    import_cohort("brats", source, out)
    again = tree(out)
    assert {path: content for path, (_, content) in again.items()} == {p: content for p, (_, content) in whole.items()}
    assert all(again[path] == kept for path, kept in whole.items() if path.parts[0] in ("train", "masks"))


def test_a_scan_that_was_downloaded_again_replaces_the_one_before(tmp_path: Path) -> None:
    source, out = brats(tmp_path / "synapse", ["BraTS2021_00000"]), tmp_path / "out"
    import_cohort("brats", source, out)
    file = source / "BraTS2021_00000" / "BraTS2021_00000_t2.nii.gz"
    file.unlink()
    a_nifti(file, np.zeros((5, 8, 6), np.int16))
    import_cohort("brats", source, out)
    assert (out / "train" / "BraTS2021_00000" / "T2w" / "T2w.nii.gz").samefile(file)


def test_patients_who_came_later_are_not_beside_labels_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    import_cohort("rsna", rsna(tmp_path / "kaggle", ["00000"]), out)

    def full_disk(_one: str, _other: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source = rsna(tmp_path / "kaggle", ["00000", "00002"])
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(os, "link", full_disk)
        import_cohort("rsna", source, out)
    assert not (out / "train_labels.csv").exists()
    import_cohort("rsna", source, out)
    assert set(read_labels(out / "train_labels.csv")) == set(people(out)) == {"00000", "00002"}


def test_a_download_that_was_cut_off_leaves_its_patients_out(tmp_path: Path) -> None:
    source = upenn(tmp_path / "tcia", ["UPENN-GBM-00001_11", "UPENN-GBM-00002_11"], UPENN)
    scan = source / "images_structural" / "UPENN-GBM-00002_11"
    (scan / "UPENN-GBM-00002_11_T2.nii.gz").write_bytes(b"")
    (scan / "UPENN-GBM-00002_11_FLAIR.nii.gz").unlink()
    import_cohort("upenn-gbm", source, tmp_path / "out")
    assert left_out(tmp_path / "out") == {"UPENN-GBM-00002_11": "no T2w and no FLAIR"}


def test_a_stripped_brats_patient_is_prepared_as_it_came_with_the_tumor_in_place(tmp_path: Path) -> None:
    folder = tmp_path / "synapse" / "BraTS2021_00000"
    folder.mkdir(parents=True)
    for ending, volume in zip(("t1", "t1ce", "t2", "flair"), a_case(stripped=True).values(), strict=True):
        sitk.WriteImage(volume.image(), str(folder / f"BraTS2021_00000_{ending}.nii.gz"))
    lesion = scanned(lesion_labels(), interpolator=sitk.sitkNearestNeighbor)
    sitk.WriteImage(lesion, str(folder / "BraTS2021_00000_seg.nii.gz"))
    import_cohort("brats", tmp_path / "synapse", tmp_path / "out")
    split(tmp_path / "out", tmp_path / "sites", 1, "iid")
    site = SiteSettings(name="one", data=tmp_path / "sites" / "site-1", prepared=tmp_path / "prepared")
    (entry,) = prepare_cohort(SiteConfig(site=site)).entries
    assert (entry.id, entry.verdict, entry.reasons) == ("BraTS2021_00000", "usable", ())
    assert entry.file is not None
    case = load_case(tmp_path / "prepared" / entry.file)
    assert case.record["steps"][2]["method"] == "as it came"
    assert case.tumor is not None
    assert set(np.unique(case.tumor)) == {0, 1, 2, 4}
    assert (case.brain & (case.tumor > 0)).sum() > 0.95 * (case.tumor > 0).sum()


def test_the_command_shows_what_came_of_it(tmp_path: Path) -> None:
    source = rsna(tmp_path / "kaggle", ["00000", "00002", "00109"], "00000,1\n00109,0\n")
    done = CliRunner().invoke(app, ["import", "rsna", str(source), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    told = [" ".join(line.strip("│┃").split()).replace(" │", "") for line in done.stdout.splitlines()]
    for line in ("2 patients", "1 methylated", "0 unmethylated", "1 without a label", "0 with a tumor mask"):
        assert line in told
    assert any("left out: its organizers took it out" in line for line in told)
