"""A cohort that was imported, dealt out to the sites of a scenario, and whom its models are measured on."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError, DataError, FLError
from core.imaging.reading import folders_of_cases, read_labels
from simulations.cohorts import ImportedCohort
from simulations.imported import hold_out, make_imported, one_scan_each
from simulations.public_import import import_cohort
from tests.simulations.factories_public import crosswalk, rsna, ucsf, upenn

# The first is RSNA's 00003, the third has no label.
UCSF = (
    "UCSF-PDGM-001,M,4,positive,,BraTS2021_00003\n"
    "UCSF-PDGM-002,M,4,negative,,\n"
    "UCSF-PDGM-003,M,4,unknown,,\n"
    "UCSF-PDGM-004,M,4,negative,,BraTS2021_00777\n"
    "UCSF-PDGM-005,M,4,positive,,\n"
)


# Somebody of UPenn's whom no test downloads.
NOT_OURS = [("UPENN-GBM-00600_11", "BraTS2021_00010")]


def an_import(at: Path, patients: int = 12) -> Path:
    """An RSNA folder of patients 00000, 00001 ...; every second one is methylated."""
    import_cohort("rsna", rsna(at / "kaggle", [f"{n:05}" for n in range(patients)]), at / "rsna")
    return at / "rsna"


def an_import_of_ucsf(at: Path) -> Path:
    names = [f"UCSF-PDGM-{number:04}" for number in range(1, 6)]
    import_cohort("ucsf-pdgm", ucsf(at / "tcia", names, UCSF), at / "ucsf")
    return at / "ucsf"


def dealt(out: Path) -> dict[str, list[str]]:
    return {site.name: [folder.name for folder in folders_of_cases(site)] for site in sorted(out.iterdir())}


@pytest.mark.parametrize("way", ["iid", "label", "quantity"])
def test_every_patient_trains_at_one_site_or_is_held_out(tmp_path: Path, way: str) -> None:
    cohort = ImportedCohort(source="imported", folder=an_import(tmp_path), split=way, sites=2, held_out=0.34, alpha=5)
    made = make_imported(cohort, tmp_path / "out")
    sites = dealt(tmp_path / "out")
    assert made.sites == ("site-1", "site-2")
    assert Counter(id_ for ids in sites.values() for id_ in ids) == Counter(f"{n:05}" for n in range(12))
    # A third of six is two of each label, and blank labels are none.
    assert sorted(read_labels(tmp_path / "out" / "outside" / "train_labels.csv").values()) == [0, 0, 1, 1]
    one = Path("train", sites["outside"][0], "T1w")
    for path in (tmp_path / "rsna" / one).iterdir():
        assert path.samefile(tmp_path / "out" / "outside" / one / path.name)
    assert made.ceiling is None
    assert f"with {len(sites['site-1'])} and {len(sites['site-2'])} real patients of RSNA-MICCAI" in made.trained


def test_the_same_patients_are_held_out_however_the_others_are_dealt_out(tmp_path: Path) -> None:
    folder = an_import(tmp_path)
    held_out = []
    for way, sites in (("iid", 2), ("iid", 3), ("label", 2), ("quantity", 2)):
        out = tmp_path / f"{way}-{sites}"
        make_imported(ImportedCohort(source="imported", folder=folder, split=way, sites=sites, alpha=50), out)
        held_out.append(dealt(out)["outside"])
    assert all(ids == held_out[0] for ids in held_out)
    make_imported(ImportedCohort(source="imported", folder=folder, sites=2, seed=8), tmp_path / "other")
    assert dealt(tmp_path / "other")["outside"] != held_out[0]


@given(st.integers(2, 60), st.integers(2, 60), st.integers(0, 9), st.floats(0.01, 0.89), st.integers(0, 99))
def test_a_share_of_each_label_is_held_out_and_some_of_each_train(
    ones: int, zeros: int, blank: int, share: float, seed: int
) -> None:
    kinds = [1] * ones + [0] * zeros + [None] * blank
    labels = {f"{n:03}": kind for n, kind in enumerate(kinds)}
    apart = Counter(labels[id_] for id_ in hold_out(labels, share, seed))
    for label, members in ((1, ones), (0, zeros)):
        assert 1 <= apart[label] < members
        assert abs(apart[label] - share * members) <= 1
    assert apart[None] == 0


def test_who_shares_a_name_is_one_person_also_by_way_of_a_third() -> None:
    people = {"a": ("x",), "b": ("x", "y"), "c": ("y",), "d": (), "e": ("z",)}
    assert one_scan_each(people) == ["a", "d", "e"]
    assert one_scan_each(people, {"q": ("y",)}) == ["d", "e"]
    assert one_scan_each(people, {"d": ("z",)}) == ["a"]


def test_the_external_cohort_tests_without_whom_it_shares_and_whom_it_has_no_label_of(tmp_path: Path) -> None:
    cohort = ImportedCohort(
        source="imported", folder=an_import(tmp_path), sites=3, held_out=0, external=an_import_of_ucsf(tmp_path)
    )
    made = make_imported(cohort, tmp_path / "out")
    sites = dealt(tmp_path / "out")
    assert sites.pop("outside") == ["UCSF-PDGM-0002", "UCSF-PDGM-0004", "UCSF-PDGM-0005"]
    assert sorted(id_ for ids in sites.values() for id_ in ids) == [f"{n:05}" for n in range(12)]
    assert (tmp_path / "out" / "outside" / "masks" / "UCSF-PDGM-0002.nii.gz").is_file()
    assert made.tested == "of UCSF-PDGM, without those known to be in RSNA-MICCAI too"
    assert made.notes == (
        "1 patient(s) of UCSF-PDGM are in RSNA-MICCAI too, or there twice: left out.",
        "1 patient(s) of UCSF-PDGM have no methylation label: left out.",
    )


def test_it_is_said_where_nobody_knows_whom_two_cohorts_share(tmp_path: Path) -> None:
    source = upenn(tmp_path / "tcia", ["UPENN-GBM-00001_11"], "UPENN-GBM-00001_11,M,60,Wildtype,Methylated,90\n")
    import_cohort("upenn-gbm", source, tmp_path / "upenn")
    cohort = ImportedCohort(
        source="imported", folder=an_import(tmp_path), sites=2, held_out=0, external=tmp_path / "upenn"
    )
    made = make_imported(cohort, tmp_path / "out")
    (note,) = made.notes
    assert note.startswith("Who of UPenn-GBM is in BraTS 2021 too, as patients of RSNA-MICCAI may be, is unknown")
    assert note.endswith("To make it known, import it again with --crosswalk BraTS2021_MappingToTCIA.csv.")
    assert made.tested == "of UPenn-GBM, some of whom may have trained"
    # The one who is there turns out to be in nobody's cohort but his own.
    import_cohort("upenn-gbm", source, tmp_path / "upenn", crosswalk=crosswalk(tmp_path / "c.csv", NOT_OURS))
    made = make_imported(cohort, tmp_path / "out")
    assert (made.notes, made.tested) == ((), "of UPenn-GBM, without those known to be in RSNA-MICCAI too")


def test_upenns_patients_whom_the_crosswalk_finds_in_rsna_do_not_test(tmp_path: Path) -> None:
    names = [f"UPENN-GBM-0000{n}_11" for n in range(1, 6)]
    rows = "".join(f"{name},M,60,Wildtype,{('Methylated', 'Unmethylated')[n % 2]},90\n" for n, name in enumerate(names))
    source = upenn(tmp_path / "tcia", names, rows)
    # The first and, by the number alone, the fourth are RSNA's; the second is BraTS's but not of RSNA's twelve.
    pairs = [(names[0], "BraTS2021_00003"), (names[1], "BraTS2021_00777"), (names[3][:-3], "00011"), *NOT_OURS]
    import_cohort("upenn-gbm", source, tmp_path / "upenn", crosswalk=crosswalk(tmp_path / "c.csv", pairs))
    cohort = ImportedCohort(
        source="imported", folder=an_import(tmp_path), sites=2, held_out=0, external=tmp_path / "upenn"
    )
    made = make_imported(cohort, tmp_path / "out")
    sites = dealt(tmp_path / "out")
    assert sites.pop("outside") == ["UPENN-GBM-00002", "UPENN-GBM-00003", "UPENN-GBM-00005"]
    assert sorted(id_ for ids in sites.values() for id_ in ids) == [f"{n:05}" for n in range(12)]
    assert made.notes == ("2 patient(s) of UPenn-GBM are in RSNA-MICCAI too, or there twice: left out.",)
    assert made.tested == "of UPenn-GBM, without those known to be in RSNA-MICCAI too"


def test_those_held_out_train_nowhere_even_where_others_test(tmp_path: Path) -> None:
    folder = an_import(tmp_path)
    make_imported(ImportedCohort(source="imported", folder=folder, sites=2), tmp_path / "own")
    external = an_import_of_ucsf(tmp_path)
    make_imported(ImportedCohort(source="imported", folder=folder, sites=2, external=external), tmp_path / "out")
    own, sites = dealt(tmp_path / "own"), dealt(tmp_path / "out")
    assert own.pop("outside") != sites.pop("outside")
    assert own == sites


def test_a_csv_says_who_goes_where_and_who_is_held_out_stays_apart(tmp_path: Path) -> None:
    folder = an_import(tmp_path)
    table = tmp_path / "sites.csv"
    table.write_text("BraTS21ID,site\n" + "".join(f"{n:05},{('east', 'west')[n % 2]}\n" for n in range(12)))
    made = make_imported(
        ImportedCohort(source="imported", folder=folder, split=str(table), held_out=0.1), tmp_path / "out"
    )
    sites = dealt(tmp_path / "out")
    assert made.sites == ("east", "west")
    assert [len(sites[site]) for site in ("east", "outside", "west")] == [5, 2, 5]
    table.write_text("BraTS21ID,site\n" + "".join(f"{n:05},{('outside', 'west')[n % 2]}\n" for n in range(12)))
    with pytest.raises(ConfigError, match="calls a site outside"):
        make_imported(ImportedCohort(source="imported", folder=folder, split=str(table)), tmp_path / "other")


def test_what_was_dealt_out_is_kept_and_another_split_needs_another_folder(tmp_path: Path) -> None:
    cohort = ImportedCohort(source="imported", folder=an_import(tmp_path), sites=2)
    made = make_imported(cohort, tmp_path / "out")
    before = (tmp_path / "out" / "site-1").stat()
    assert make_imported(cohort, tmp_path / "out") == made
    assert (tmp_path / "out" / "site-1").stat() == before
    with pytest.raises(ConfigError, match="dealt out otherwise"):
        make_imported(cohort.model_copy(update={"seed": 8}), tmp_path / "out")


def test_where_nobody_outside_is_wanted_all_train_but_those_held_out(tmp_path: Path) -> None:
    folder = an_import(tmp_path)
    cohort = ImportedCohort(source="imported", folder=folder, held_out=0, external=tmp_path / "on another disk")
    make_imported(cohort, tmp_path / "all", outside=False)
    sites = dealt(tmp_path / "all")
    assert sorted(sites) == ["site-1", "site-2", "site-3"]
    assert sum(map(len, sites.values())) == 12
    cohort = ImportedCohort(source="imported", folder=folder)
    apart = make_imported(cohort, tmp_path / "most", outside=False)
    assert sum(map(len, dealt(tmp_path / "most").values())) == 10
    assert make_imported(cohort, tmp_path / "most") == apart
    assert sorted(dealt(tmp_path / "most")) == ["outside", "site-1", "site-2", "site-3"]


@pytest.mark.parametrize("outside_first", [True, False])
def test_a_call_with_and_one_without_patients_outside_share_a_folder(tmp_path: Path, outside_first: bool) -> None:
    """As `run --external` and `cross-validate` of one scenario do; the latter knows of no external cohort."""
    without = ImportedCohort(source="imported", folder=an_import(tmp_path), sites=2, held_out=0)
    external = without.model_copy(update={"external": an_import_of_ucsf(tmp_path)})
    out, inodes = tmp_path / "out", []
    for wanted in (outside_first, not outside_first):
        make_imported(external if wanted else without, out, outside=wanted)
        inodes.append((out / "site-1" / "train_labels.csv").stat().st_ino)
    assert inodes[0] == inodes[1]
    sites = dealt(out)
    assert sites.pop("outside") == ["UCSF-PDGM-0002", "UCSF-PDGM-0004", "UCSF-PDGM-0005"]
    assert sorted(id_ for ids in sites.values() for id_ in ids) == [f"{n:05}" for n in range(12)]
    assert [path.name for path in tmp_path.glob(".*")] == []
    # Who trains is still compared, and who is outside where somebody is wanted there.
    with pytest.raises(ConfigError, match="dealt out otherwise"):
        make_imported(without.model_copy(update={"sites": 3}), out, outside=False)
    (out / "site-1").rename(out / "site-3")
    with pytest.raises(ConfigError, match="dealt out otherwise"):
        make_imported(without, out, outside=False)
    (out / "site-3").rename(out / "site-1")
    (out / "outside" / "train_labels.csv").write_text("BraTS21ID,MGMT_value\n")
    make_imported(without, out, outside=False)
    with pytest.raises(ConfigError, match="dealt out otherwise"):
        make_imported(external, out)
    (out / "thesis.txt").write_text("keep")
    with pytest.raises(ConfigError, match="dealt out otherwise"):
        make_imported(without, out, outside=False)


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of imports: a whole one, and what else one may name by mistake."""
    at = tmp_path_factory.mktemp("imports")
    an_import(at)
    few = rsna(at / "few", ["00000", "00001", "00002"])
    for name in ("one", "interrupted", "damaged"):
        import_cohort("rsna", few, at / name)
    (at / "interrupted" / "train_labels.csv").unlink()
    (at / "damaged" / "import.csv").write_text("BraTS21ID\n00000\n")
    return at


@pytest.mark.parametrize(
    ("settings", "error", "problem"),
    [
        ({"folder": None}, ConfigError, "does not say where its cohort is"),
        ({"folder": "absent"}, ConfigError, "There is no folder"),
        ({"folder": "kaggle"}, ConfigError, "holds no finished import"),
        ({"folder": "interrupted"}, ConfigError, "is not over, or damaged"),
        ({"folder": "damaged"}, ConfigError, "is not over, or damaged"),
        ({"external": "kaggle"}, ConfigError, "holds no finished import"),
        ({"external": "rsna"}, DataError, "no patient with a methylation label who is not in the other cohort"),
        ({"held_out": 0}, ConfigError, "Nobody is left to measure the models on"),
        ({"sites": 11}, ConfigError, "10 patients cannot make 11 sites"),
        ({"sites": 6}, DataError, "would have 1 patient"),
        ({"split": "scan"}, ConfigError, "No way to split is called scan"),
        ({"split": "absent.csv"}, ConfigError, "There is no file absent.csv"),
        ({"folder": "one"}, DataError, "1 methylated patient"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused_with_a_fix_and_leaves_nothing(
    tmp_path: Path, imports: Path, settings: dict[str, object], error: type[FLError], problem: str
) -> None:
    paths = {name: imports / str(at) for name, at in settings.items() if name in ("folder", "external") and at}
    given = {"source": "imported", "folder": imports / "rsna", "sites": 2} | settings | paths
    with pytest.raises(error, match=problem) as refused:
        make_imported(ImportedCohort.model_validate(given), tmp_path / "out")
    assert refused.value.fix
    assert not (tmp_path / "out").exists()
