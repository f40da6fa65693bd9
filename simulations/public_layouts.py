"""How public cohorts of gliomas look when downloaded: names of folders, files and tables, and what is known of them.

rsna        RSNA-MICCAI 2021 (Kaggle): train/<5 digits>/<sequence>/*.dcm
brats       BraTS 2021, and 2023's glioma cohort: one folder a patient; skull-stripped NIfTI in the space of SRI24.
            Of BraTS 2024's, nobody: its scans were taken after treatment, and its masks have a label of their own
upenn-gbm   UPenn-GBM (TCIA): images_structural/, images_segm/; skull-stripped NIfTI
ucsf-pdgm   UCSF-PDGM (TCIA): one folder an examination; skull-stripped NIfTI

Source: Baid et al. 2021, arXiv:2107.02314 (RSNA, BraTS); Bakas et al. 2022, doi:10.1038/s41597-022-01560-7 (UPenn);
    Calabrese et al. 2022, doi:10.1148/ryai.220058 (UCSF). All three write tumor masks with BraTS's labels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

FOLLOW_UP = "a follow-up: a patient counts once, by the first scan"
_TREATED = "taken after treatment, as BraTS 2024 numbers visits: only scans from before it count"
_BROKEN = "its organizers took it out: images are blank or broken"

# Two of BraTS 2021's numbers are patients who are in it already, days later. Source: the column `BraTS21 ID` of
# UCSF-PDGM-metadata_v5.csv, where UCSF-PDGM-0429_FU003d is 00557 and UCSF-PDGM-0433_FU007d is 00758.
_SAME_PATIENTS = {"00557": "a follow-up of 00639", "00758": "a follow-up of 00626"}
# What UCSF-PDGM called its follow-ups before version 3, with the patient of each.
_EARLIER = {"0138": "0429", "0175": "0396", "0181": "0409", "0278": "0431", "0289": "0391", "0315": "0433"}


@dataclass(frozen=True)
class Layout:
    """One cohort, as downloaded.

    Attributes:
        title: what people call it.
        folder: an examination's folder: groups `stem` (its files begin so), `patient`, `number`, perhaps `visit`.
        endings: by sequence, what may follow `stem` in a file's name; none where each sequence has a folder.
        mask: what may follow `stem` in the name of a tumor mask.
        first: visits that may be a patient's first.
        table: the labels' file, as a pattern.
        columns: of that table, the identifier's and the methylation's.
        row: an identifier in it: groups `number`, perhaps `visit`.
        words: what the table calls methylated (1), unmethylated (0) and unknown (None), in lower case.
        required: whether nothing is brought without labels.
        known: by number, why a patient is left out.
        digits: of a number.
        earlier: what a number that was a follow-up's was called later: its patient's number.
        later: why the other visits are left out.
        crosswalk: how the patients' names begin in TCIA's crosswalk of BraTS 2021; empty where no import takes it.
        told_by: what makes known who is in BraTS 2021 too, where that is not known.
    """

    title: str
    folder: re.Pattern[str]
    endings: Mapping[str, tuple[str, ...]]
    mask: tuple[str, ...]
    first: re.Pattern[str]
    table: str
    columns: tuple[str, str]
    row: re.Pattern[str]
    words: Mapping[str, int | None]
    required: bool = True
    known: Mapping[str, str] = field(default_factory=dict)
    digits: int = 5
    earlier: Mapping[str, str] = field(default_factory=dict)
    later: str = FOLLOW_UP
    crosswalk: str = ""
    told_by: str = ""


_RSNA_WORDS = {"1": 1, "0": 0, "1.0": 1, "0.0": 0}
_RSNA_COLUMNS = ("BraTS21ID", "MGMT_value")

LAYOUTS: dict[str, Layout] = {
    "rsna": Layout(
        title="RSNA-MICCAI",
        folder=re.compile(r"(?P<stem>(?P<patient>(?P<number>\d{5})))"),
        endings={},
        mask=(),
        first=re.compile(""),
        table="train_labels.csv",
        columns=_RSNA_COLUMNS,
        row=re.compile(r"(?P<number>\d{1,5})"),
        words=_RSNA_WORDS,
        known={**dict.fromkeys(("00109", "00123", "00709"), _BROKEN), **_SAME_PATIENTS},
    ),
    "brats": Layout(
        title="BraTS",
        folder=re.compile(
            r"(?P<stem>(?P<patient>BraTS2021_(?P<number>\d{5})))"
            r"|(?P<stem23>(?P<patient23>BraTS-GLI-\d{5})-(?P<visit>\d{3}))"
        ),
        endings={
            "T1w": ("_t1", "-t1n"),
            "T1wCE": ("_t1ce", "-t1c"),
            "T2w": ("_t2", "-t2w"),
            "FLAIR": ("_flair", "-t2f"),
        },
        mask=("_seg", "-seg"),
        first=re.compile(r"(0\d\d)?"),
        table="train_labels.csv",
        columns=_RSNA_COLUMNS,
        row=re.compile(r"(BraTS2021_)?(?P<number>\d{1,5})"),
        words=_RSNA_WORDS,
        required=False,
        known=_SAME_PATIENTS,
        later=_TREATED,
        told_by="import BraTS 2021 in the place of BraTS 2023",
    ),
    "upenn-gbm": Layout(
        title="UPenn-GBM",
        folder=re.compile(r"(?P<stem>(?P<patient>UPENN-GBM-(?P<number>\d{5}))_(?P<visit>\d{2}))"),
        endings={"T1w": ("_T1",), "T1wCE": ("_T1GD",), "T2w": ("_T2",), "FLAIR": ("_FLAIR",)},
        mask=("_segm",),
        first=re.compile("11"),
        table="UPENN-GBM_clinical_info_v*.csv",
        columns=("ID", "MGMT"),
        row=re.compile(r"UPENN-GBM-(?P<number>\d{1,5})(_(?P<visit>\d{2}))?"),
        words={"methylated": 1, "unmethylated": 0, "indeterminate": None, "not available": None},
        crosswalk="UPENN-GBM",
        told_by="import it again with --crosswalk BraTS2021_MappingToTCIA.csv",
    ),
    "ucsf-pdgm": Layout(
        title="UCSF-PDGM",
        folder=re.compile(r"(?P<stem>(?P<patient>UCSF-PDGM-(?P<number>\d{4}))(_(?P<visit>FU\d+d))?)_nifti"),
        endings={"T1w": ("_T1",), "T1wCE": ("_T1c",), "T2w": ("_T2",), "FLAIR": ("_FLAIR",)},
        mask=("_tumor_segmentation",),
        first=re.compile(""),
        table="UCSF-PDGM-metadata_v*.csv",
        columns=("ID", "MGMT status"),
        row=re.compile(r"UCSF-PDGM-(?P<number>\d{1,4})(_(?P<visit>FU\d+d))?"),
        words={"positive": 1, "negative": 0, "indeterminate": None, "unknown": None},
        known={old: f"a follow-up of UCSF-PDGM-{patient}" for old, patient in _EARLIER.items()},
        digits=4,
        earlier=_EARLIER,
        told_by="import it again with a table that has the column BraTS21 ID",
    ),
}
