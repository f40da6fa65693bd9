"""What an import says no to, with the problem and the fix."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import ConfigError, DataError, FLError, NotACaseError
from core.files import only_process
from core.imaging.reading import read_labels
from simulations.cli import app
from simulations.public_import import import_cohort
from simulations.public_layouts import LAYOUTS
from tests.simulations.factories_public import brats, rsna, ucsf, upenn

UPENN = "UPENN-GBM-00001_11,M,60,Wildtype,Methylated,90\n"
UCSF = "UCSF-PDGM-0004,M,4,negative,0,\n"


def small(kind: str, at: Path) -> Path:
    """One patient of a cohort."""
    made = {
        "rsna": lambda: rsna(at, ["00000"]),
        "brats": lambda: brats(at, ["BraTS2021_00000"]),
        "upenn-gbm": lambda: upenn(at, ["UPENN-GBM-00001_11"], UPENN),
        "ucsf-pdgm": lambda: ucsf(at, ["UCSF-PDGM-0004"], UCSF),
    }
    return made[kind]()


@pytest.mark.parametrize("other", LAYOUTS)
@pytest.mark.parametrize("kind", LAYOUTS)
def test_another_cohorts_folder_is_recognised(tmp_path: Path, kind: str, other: str) -> None:
    source = small(other, tmp_path / "download")
    if kind == other:
        assert len(import_cohort(kind, source, tmp_path / "out")) == 1
        return
    with pytest.raises(NotACaseError, match="holds no scans as") as refused:
        import_cohort(kind, source, tmp_path / "out")
    assert f"fl-simulate import {other} {source}" in refused.value.fix
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", LAYOUTS)
def test_an_empty_and_an_absent_folder_are_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotACaseError, match="holds no scans as") as refused:
        import_cohort(kind, tmp_path / "empty", tmp_path / "out")
    assert refused.value.fix.startswith("name the")
    with pytest.raises(ConfigError, match="There is no folder"):
        import_cohort(kind, tmp_path / "absent", tmp_path / "out")


@pytest.mark.parametrize("kind", [kind for kind in LAYOUTS if kind != "brats"])
def test_a_cohort_that_has_labels_is_not_brought_without_them(tmp_path: Path, kind: str) -> None:
    source = small(kind, tmp_path / "download")
    (table,) = source.glob("*.csv")
    moved = table.rename(tmp_path / "elsewhere.csv")
    with pytest.raises(DataError, match="There is no") as refused:
        import_cohort(kind, source, tmp_path / "out")
    assert "--labels" in refused.value.fix
    import_cohort(kind, source, tmp_path / "out", moved)
    assert len(read_labels(tmp_path / "out" / "train_labels.csv")) == 1


def refused(
    kind: str, source: Path, tmp_path: Path, kind_of_error: type[FLError], problem: str, **also: object
) -> None:
    with pytest.raises(kind_of_error, match=problem):
        import_cohort(kind, source, tmp_path / "out", **also)  # type: ignore[arg-type]
    assert not (tmp_path / "out" / "train_labels.csv").exists()


def test_tables_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    source = small("upenn-gbm", tmp_path / "download")
    table = source / "UPENN-GBM_clinical_info_v2.1.csv"
    text = table.read_text()
    for content, problem in [
        (text.replace("MGMT", "Methylation"), "no column ID or no column MGMT"),
        ("", "no column ID"),
        (text.replace("00001", "00009"), "names none of the 1 patients"),
        (text + UPENN.replace("Methylated", "Unmethylated"), "line 3 gives a patient another label"),
        (text + '"', "cannot be read"),
    ]:
        table.write_text(content)
        refused("upenn-gbm", source, tmp_path, DataError, problem)
    table.write_text(text)
    (source / "UPENN-GBM_clinical_info_v1.0.csv").write_text(text)
    refused("upenn-gbm", source, tmp_path, DataError, "There are 2 files of labels")
    refused("upenn-gbm", source, tmp_path, ConfigError, "There is no file", labels=tmp_path / "absent.csv")


def test_rsnas_labels_are_not_joined_to_brats_of_2023(tmp_path: Path) -> None:
    source = brats(tmp_path / "gli", ["BraTS-GLI-00000-000"])
    (tmp_path / "train_labels.csv").write_text("BraTS21ID,MGMT_value\n00000,1\n")
    refused("brats", source, tmp_path, DataError, "names none", labels=tmp_path / "train_labels.csv")


def test_a_word_for_methylation_that_is_not_the_cohorts_is_told_and_taken_for_unknown(tmp_path: Path) -> None:
    source = ucsf(tmp_path / "tcia", ["UCSF-PDGM-0004"], UCSF.replace("negative", "partly"))
    (line,) = import_cohort("ucsf-pdgm", source, tmp_path / "out")
    assert line.mgmt is None
    assert line.note == "methylation is `partly`, which is taken for unknown"


def test_one_examination_twice_and_two_editions_are_refused(tmp_path: Path) -> None:
    source = brats(tmp_path / "synapse", ["BraTS2021_00000"])
    brats(source / "copy", ["BraTS2021_00000"])
    refused("brats", source, tmp_path, DataError, "BraTS2021_00000 is there 2 times")
    mixed = brats(tmp_path / "mixed", ["BraTS2021_00000", "BraTS-GLI-00000-000"])
    refused("brats", mixed, tmp_path, DataError, "largely the same patients")


def test_folders_that_are_not_the_imports_own_are_left_alone(tmp_path: Path) -> None:
    source = rsna(tmp_path / "kaggle", ["00000", "00002"])
    labels = (source / "train_labels.csv").read_bytes()
    for out in (source, tmp_path):
        with pytest.raises(ConfigError, match="holds the downloaded cohort itself"):
            import_cohort("rsna", source, out)
    assert (source / "train_labels.csv").read_bytes() == labels
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep")
    with pytest.raises(ConfigError, match="is not an empty folder"):
        import_cohort("rsna", source, tmp_path / "mine")
    import_cohort("rsna", source, tmp_path / "out")
    with pytest.raises(ConfigError, match="was made from another cohort"):
        import_cohort("brats", brats(tmp_path / "synapse", ["BraTS2021_00000"]), tmp_path / "out")
    with pytest.raises(ConfigError, match="holds 2 patients whom"):
        import_cohort("rsna", rsna(tmp_path / "more", ["00005"]), tmp_path / "out")


def test_two_imports_into_one_folder_do_not_meet(tmp_path: Path) -> None:
    source = rsna(tmp_path / "kaggle", ["00000"])
    import_cohort("rsna", source, tmp_path / "out")
    with (
        only_process(tmp_path / "out" / ".import", ConfigError("taken", fix="wait")),
        pytest.raises(ConfigError, match="is being imported into"),
    ):
        import_cohort("rsna", source, tmp_path / "out")


def test_a_cohort_to_keep_apart_from_must_have_been_imported_and_someone_must_be_left(tmp_path: Path) -> None:
    source = rsna(tmp_path / "kaggle", ["00000"])
    refused("rsna", source, tmp_path, ConfigError, "holds no finished import", apart_from=[source])
    import_cohort("brats", brats(tmp_path / "synapse", ["BraTS2021_00000"]), tmp_path / "brats")
    refused("rsna", source, tmp_path, DataError, "No patient of .* in brats too", apart_from=[tmp_path / "brats"])


def test_the_command_ends_with_the_problem_and_the_fix(tmp_path: Path) -> None:
    source = small("brats", tmp_path / "download")
    done = CliRunner().invoke(app, ["import", "rsna", str(source), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, NotACaseError)
    assert CliRunner().invoke(app, ["import", "lumiere", str(source), "--out", str(tmp_path / "out")]).exit_code == 2
