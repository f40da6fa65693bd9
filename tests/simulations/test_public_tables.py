"""Who of a cohort is in BraTS 2021 too, as TCIA's crosswalk says it and an import passes it on."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import ConfigError, DataError, FLError
from core.imaging.reading import folders_of_cases
from simulations.cli import app
from simulations.public_import import import_cohort, read_import
from simulations.public_tables import read_crosswalk
from tests.simulations.factories_public import crosswalk, rsna, upenn

PAIRS = [("UPENN-GBM-00011_11", "BraTS2021_00131"), ("UPENN-GBM-00002_11", "00169"), ("UPENN-GBM-00002_21", "170")]
SAID = {"00011": ("BraTS2021_00131",), "00002": ("BraTS2021_00169", "BraTS2021_00170")}


def test_it_says_of_upenns_patients_alone_what_brats_calls_them(tmp_path: Path) -> None:
    assert read_crosswalk("upenn-gbm", crosswalk(tmp_path / "c.csv", PAIRS)) == SAID


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("PatientID on TCIA Radiology Portal", " patient id (on TCIA\u2019s radiology portal) "),
        ("BraTS2021 ID", "BRATS21_ID"),
        ("Site ID", "patient\u2019s site"),
        (",", ";"),
        (",", "\t"),
        ("Data", "\ufeffData"),
        ("\n", "\r\n"),
        ("_11,", ","),
    ],
)
def test_it_is_read_however_a_spreadsheet_has_spelled_it(tmp_path: Path, before: str, after: str) -> None:
    path = crosswalk(tmp_path / "c.csv", PAIRS)
    path.write_bytes(path.read_text().replace(before, after).encode())
    assert read_crosswalk("upenn-gbm", path) == SAID


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("PatientID on TCIA", "Subject on TCIA", "has no column PatientID on TCIA Radiology Portal"),
        ("BraTS2021 ID", "BraTS2020 ID", "has no column BraTS2021 ID"),
        ("UPENN-GBM-00011_11", "UPENN_GBM_11", "line 5 says UPENN_GBM_11 is BraTS2021_00131 of BraTS 2021"),
        ("BraTS2021_00131", "", "line 5 says UPENN-GBM-00011_11 is nobody of BraTS 2021"),
        ("UPENN-GBM-", "TCGA-", "names nobody of UPenn-GBM"),
    ],
)
def test_one_that_is_not_understood_is_refused_and_nobody_counts_as_apart_by_mistake(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    path = crosswalk(tmp_path / "c.csv", PAIRS)
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(DataError, match=problem) as refused:
        read_crosswalk("upenn-gbm", path)
    assert "CSV" in refused.value.fix


def test_a_workbook_an_empty_file_none_and_a_cohort_without_need_are_refused(tmp_path: Path) -> None:
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    (tmp_path / "empty.csv").write_text("")
    cases: list[tuple[str, str, type[FLError], str]] = [
        ("upenn-gbm", "book.xlsx", DataError, "book.xlsx cannot be read"),
        ("upenn-gbm", "empty.csv", DataError, "has no column PatientID"),
        ("upenn-gbm", "absent.csv", ConfigError, "There is no file"),
        ("ucsf-pdgm", "book.xlsx", ConfigError, "An import of UCSF-PDGM takes no crosswalk"),
    ]
    for kind, name, error, problem in cases:
        with pytest.raises(error, match=problem) as refused:
            read_crosswalk(kind, tmp_path / name)
        assert refused.value.fix


def test_an_import_passes_on_who_is_in_brats_who_is_not_and_that_nobody_said(tmp_path: Path) -> None:
    rows = "".join(f"UPENN-GBM-0000{n}_11,M,60,NOS,Methylated,\n" for n in (2, 3))
    source = upenn(tmp_path / "tcia", ["UPENN-GBM-00002_11", "UPENN-GBM-00003_11"], rows)
    path, out = crosswalk(tmp_path / "c.csv", PAIRS), tmp_path / "out"
    import_cohort("upenn-gbm", source, out)
    assert (read_import(out).told, set(read_import(out).people.values())) == (False, {()})
    import_cohort("upenn-gbm", source, out, crosswalk=path)
    told = read_import(out)
    assert (told.told, told.people) == (True, {"UPENN-GBM-00002": SAID["00002"], "UPENN-GBM-00003": ()})
    with (out / "import.csv").open() as file:
        written = {row["BraTS21ID"]: row["in_brats_2021"] for row in csv.DictReader(file)}
    assert written == {"UPENN-GBM-00002": "BraTS2021_00169 BraTS2021_00170", "UPENN-GBM-00003": "nobody"}
    # Two whom the crosswalk does not name are two people, not one called nobody.
    import_cohort("upenn-gbm", source, out, crosswalk=crosswalk(path, PAIRS[:1]))
    told = read_import(out)
    assert (told.told, set(told.people.values())) == (True, {()})


def test_the_command_says_what_is_unknown_and_with_the_crosswalk_keeps_upenn_apart_from_rsna(tmp_path: Path) -> None:
    import_cohort("rsna", rsna(tmp_path / "kaggle", ["00169"]), tmp_path / "rsna")
    rows = "".join(f"UPENN-GBM-0000{n}_11,M,60,NOS,Methylated,\n" for n in (2, 3))
    source = upenn(tmp_path / "tcia", ["UPENN-GBM-00002_11", "UPENN-GBM-00003_11"], rows)
    command = ["import", "upenn-gbm", str(source), "--apart-from", str(tmp_path / "rsna"), "--out"]
    done = CliRunner().invoke(app, [*command, str(tmp_path / "unknown")])
    assert "is unknown: import it again with --crosswalk" in done.stdout
    assert "also in BraTS 2021" not in done.stdout
    path = crosswalk(tmp_path / "c.csv", PAIRS)
    done = CliRunner().invoke(app, [*command, str(tmp_path / "known"), "--crosswalk", str(path)])
    assert "unknown" not in done.stdout
    assert "also in BraTS 2021" in done.stdout
    assert [folder.name for folder in folders_of_cases(tmp_path / "known")] == ["UPENN-GBM-00003"]
    assert "in rsna too, as BraTS2021_00169" in (tmp_path / "known" / "import.csv").read_text()
