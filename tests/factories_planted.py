"""A hospital full of identifiers: in headers, pixels, masks, labels, and in the names of files and folders."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import FileDataset, dcmread

from core.imaging.case import load_case, pixel_digest
from core.imaging.reading import LABELS_HEADER, PATIENTS_HEADER, content_digest
from core.imaging.volume import SEQUENCES
from core.study import PreprocessingSettings, Study
from fl_client.config import ComputeSettings, SiteConfig, SiteSettings
from fl_client.prepare import INDEX, prepare_cohort
from simulations.hospitals import write_cohort
from simulations.noise import SMALLEST_GRID
from tests.factories_leaks import Detector, telling_run

PATIENTS = (1, 2)
# By attribute; {n} is the patient's number. Short where DICOM allows 16 characters.
HEADER = {
    "PatientName": "Zwoelfkreuzner{n}^Änneliesöß",
    "PatientID": "ZZMRN-5501729{n}",
    "OtherPatientIDs": "ZZOTHER-88123{n}",
    "PatientBirthDate": "1947031{n}",
    "StudyDate": "2019041{n}",
    "PatientAddress": "Zaunkönigsteig {n}, Quakenbrück",
    "PatientTelephoneNumbers": "+49-5431-9917{n}",
    "PatientComments": "Zwillingsschwester von Kreszentia Q. {n}",
    "InstitutionName": "Zaubertal-Klinikum Quakenbrück {n}",
    "InstitutionAddress": "Zeppelinufer 77{n}, Quakenbrück",
    "InstitutionalDepartmentName": "Zentrum Quastenflosser {n}",
    "ReferringPhysicianName": "Zirbelnussbaum{n}^Quirin",
    "OperatorsName": "Zettelkasten{n}^Quendolin",
    "StationName": "ZZSTATION-77{n}",
    "ManufacturerModelName": "ZZMODEL-66120{n}",
    "AccessionNumber": "ZZACC-441990{n}",
    "StudyID": "ZZSTUDY-771{n}",
    "StudyDescription": "Kopf Zuweiser Quellenhuber {n}",
    "SeriesDescription": "Serie von Quittenbaumer {n}",
    "ProtocolName": "Protokoll Zinnkrautweg {n}",
    "DeviceSerialNumber": "ZZSERIAL-99417{n}",
    "StudyInstanceUID": "1.2.276.0.99.7741093{n}.1",
    "SeriesInstanceUID": "1.2.276.0.99.7741093{n}.2",
    "FrameOfReferenceUID": "1.2.276.0.99.7741093{n}.3",
    "SOPInstanceUID": "1.2.276.0.99.7741093{n}.4",
}
ELSEWHERE = {
    "private creator": "ZZPRIVATE CREATOR {n}",
    "private tag": "Zufallsbefund Quecksilber {n}",
    "preamble": "ZZPREAMBLE-QUARZUHR-{n}",
    "folder of the patient": "ZZFOLDER-0042{n}",
    "folder of the visit": "Besuch Quappendorf {n}",
    "file": "Zitronenfalter Quirlig {n}",
    "text in the mask's file": "Maske von Quastenhuber {n}",
    "person in patients.csv": "ZZPERSON-660{n}",
}
OF_THE_SITE = {
    "folder of the home": "Zollhausklinik",
    "folder of the scans": "Aufnahmen Quellenrieder",
    "folder of prepared cases": "Fertige Quellenrieder",
    "patient who is only in the labels": "ZZABSENT-00999",
}
# Burned into the slices: beside the head, and across the middle of the brain.
PIXELS = np.random.default_rng(47).integers(300, 1500, 48).astype(np.uint16)
BESIDE, ACROSS, COLUMNS = slice(2, 5), slice(60, 66), slice(40, 88)


@dataclass(frozen=True)
class PlantedHospital:
    """A hospital with planted identifiers.

    Attributes:
        home: everything of the hospital lies under it.
        config: where its scans and prepared cases lie.
        detector: finds all that was planted, and what was derived of it.
        planted: the names of what was planted.
    """

    home: Path
    config: SiteConfig
    detector: Detector
    planted: frozenset[str]

    def write_settings(self) -> Path:
        """Write site.toml and return its path."""
        path = self.home / "site.toml"
        site, compute = self.config.site, self.config.compute
        path.write_text(
            f'[site]\nname = "{site.name}"\ndata = "{site.data}"\nprepared = "{site.prepared}"\n'
            f'[preprocessing]\ngrid = {SMALLEST_GRID}\n[compute]\ndevice = "cpu"\nthreads = {compute.threads}\n'
        )
        return path

    def moved_to(self, folder: Path) -> "PlantedHospital":
        """Return a copy of all of it in another folder, to be spoiled."""
        home = folder / self.home.name
        shutil.copytree(self.home, home)
        old = self.config.site
        data, prepared = home / old.data.name, home / old.prepared.name
        config = self.config.model_copy(update={"site": old.model_copy(update={"data": data, "prepared": prepared})})
        return PlantedHospital(home, config, self.detector, self.planted)

    def cohort(self) -> dict:
        """Return the list of prepared cases."""
        return json.loads((self.config.site.prepared / INDEX).read_text("utf-8"))

    def write_cohort(self, cohort: dict) -> None:
        """Write the list of prepared cases."""
        (self.config.site.prepared / INDEX).write_text(json.dumps(cohort), "utf-8")

    def first_case(self) -> Path:
        """Return a prepared case."""
        return self.config.site.prepared / self.cohort()["cases"][0]["file"]


def a_planted_hospital(folder: Path, name: str, study: Study) -> PlantedHospital:
    """Make a hospital of synthetic patients, plant identifiers wherever one may stand, and prepare its cases.

    Args:
        folder: the hospital's folder is made in it.
        name: the site's, which the coordinator may know.
        study: is to train on the cases.
    """
    home = folder / OF_THE_SITE["folder of the home"]
    data = home / OF_THE_SITE["folder of the scans"]
    write_cohort(home, [name], len(PATIENTS), 11, coarse=True)
    (home / name).rename(data)
    labels = [",".join(LABELS_HEADER), f"{OF_THE_SITE['patient who is only in the labels']},1"]
    people = [",".join(PATIENTS_HEADER)]
    for n in PATIENTS:
        identity = _word(ELSEWHERE["folder of the patient"], n)
        plant(data, f"{n:05}", identity, n)
        labels.append(f"{identity},{n % 2}")
        people.append(f"{identity},{_word(ELSEWHERE['person in patients.csv'], n)}")
    (data / "train_labels.csv").write_text("\n".join(labels) + "\n")
    (data / "patients.csv").write_text("\n".join(people) + "\n")
    config = SiteConfig(
        site=SiteSettings(name=name, data=data, prepared=home / OF_THE_SITE["folder of prepared cases"]),
        preprocessing=PreprocessingSettings(grid=SMALLEST_GRID),
        compute=ComputeSettings(workers=1, device="cpu"),
    )
    cohort = prepare_cohort(config)
    assert not cohort.excluded, cohort.excluded
    words = {f"{where} of {n}": _word(word, n) for where, word in (HEADER | ELSEWHERE).items() for n in PATIENTS}
    words |= OF_THE_SITE
    derived, rows = {}, {}
    for entry in cohort.entries:
        assert entry.file is not None
        path = config.site.prepared / entry.file
        case = load_case(path)
        ticket = json.dumps([study.seed, name, entry.id]).encode()
        derived |= {
            f"ticket of {entry.id}": hashlib.sha256(ticket).digest(),
            f"pixels' digest of {entry.id}": bytes.fromhex(pixel_digest(case)),
            f"prepared case's digest of {entry.id}": hashlib.sha256(path.read_bytes()).digest(),
            f"scans' digest of {entry.id}": bytes.fromhex(content_digest(data / "train" / entry.id)),
        }
        words[f"prepared case's key of {entry.id}"] = path.stem.removeprefix(f"{entry.id}-")
        rows |= {f"prepared image of {entry.id}, {how}": row for how, row in _rows(case.image).items()}
    detector = Detector(parts(words), derived, {"burned-in pixels": PIXELS}, rows)
    return PlantedHospital(home, config, detector, frozenset(words))


def parts(words: dict[str, str]) -> dict[str, str]:
    """Words, and of a name of several also each part that is long enough to be told from chance."""
    found = dict(words)
    for name, word in words.items():
        for part in word.replace("^", " ").replace(",", " ").split():
            if part != word and len(part) >= 10:
                found[f"{name}, {part}"] = part
    return found


def plant(data: Path, before: str, identity: str, n: int) -> None:
    """Make one of the cohort's patients recognisable."""
    (data / "train" / before).rename(data / "train" / identity)
    visit = data / "train" / identity / _word(ELSEWHERE["folder of the visit"], n)
    visit.mkdir()
    for series, sequence in enumerate(SEQUENCES):
        folder = (data / "train" / identity / sequence).rename(visit / sequence)
        for index, path in enumerate(sorted(folder.iterdir())):
            image = dcmread(path)
            fill(image, n, f"{series}", f"{index}")
            image.save_as(folder / f"{_word(ELSEWHERE['file'], n)} {index}.dcm", enforce_file_format=True)
            path.unlink()
    mask = sitk.ReadImage(str(data / "masks" / f"{before}.nii.gz"))
    for key in ("descrip", "ITK_FileNotes"):
        mask.SetMetaData(key, _word(ELSEWHERE["text in the mask's file"], n))
    sitk.WriteImage(mask, str(data / "masks" / f"{identity}.nii.gz"), useCompression=True)
    (data / "masks" / f"{before}.nii.gz").unlink()


def fill(image: FileDataset, n: int, series: str, index: str) -> None:
    """Write a patient's identifiers into a slice's header, and burn the pattern into its pixels."""
    for keyword, word in HEADER.items():
        setattr(image, keyword, _word(word, n))
    image.SeriesInstanceUID += f".{series}"
    image.SOPInstanceUID += f".{series}.{index}"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    block = image.private_block(0x0099, _word(ELSEWHERE["private creator"], n), create=True)
    block.add_new(0x01, "LO", _word(ELSEWHERE["private tag"], n))
    image.preamble = _word(ELSEWHERE["preamble"], n).encode().ljust(128, b"\0")
    pixels: NDArray[np.uint16] = np.frombuffer(image.PixelData, "<u2").reshape(image.Rows, image.Columns).copy()
    pixels[BESIDE, COLUMNS] = PIXELS
    if pixels[64, 64] > pixels[:20, :20].mean() * 3:
        pixels[ACROSS, COLUMNS] = PIXELS
    image.PixelData = pixels.tobytes()


def _word(word: str, n: int) -> str:
    return word.format(n=n)


def _rows(image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return of each channel a line along each axis, as near to the middle as there is one with contrast."""
    found = {}
    middle = image.shape[-1] // 2
    near = sorted(np.ndindex(image.shape[2:]), key=lambda place: np.abs(np.subtract(place, middle)).sum())
    for channel, axis in np.ndindex(len(image), 3):
        lines = np.moveaxis(image[channel], axis, -1)
        found[f"{channel} along {axis}"] = next(lines[at] for at in near if telling_run(lines[at]) is not None)
    return found
