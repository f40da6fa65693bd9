"""What a scan's headers tell of patient and scanner, by which a model's errors are looked at group by group.

Ages are kept in bands of ten years, the oldest together, as the HIPAA safe harbor wants it for 90 and over: here from
80 on. All of it stays at the site, beside the prepared cases.

Source: DICOM PS3.3 C.7.1.1 (PatientSex), C.7.2.2 (PatientAge), PS3.5 6.2 (age strings); 45 CFR 164.514(b)(2)(i)(C).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from core.imaging.dicom import files_under
from core.imaging.headers import image_headers

OLDEST = 80
_SEXES = {"F": "female", "M": "male", "O": "other"}
_AGE = re.compile(r"(\d{3})([DWMY])")


@dataclass(frozen=True)
class Traits:
    """What is known of a case; empty where it is not.

    Attributes:
        sex: `female`, `male` or `other`.
        age_band: as `age_band` writes it.
        scanner: manufacturer and model.
    """

    sex: str = ""
    age_band: str = ""
    scanner: str = ""


def read_traits(folder: Path) -> Traits:
    """Return what the first DICOM image in a patient's folder tells.

    Raises: DataError: a file or folder cannot be read, or is damaged.
    """
    header = next((header for path in files_under(folder) for header in image_headers(path)), None)
    if header is None:
        return Traits()
    age = _AGE.fullmatch(str(header.get("PatientAge") or ""))
    parts = (str(header.get(name) or "").strip() for name in ("Manufacturer", "ManufacturerModelName"))
    return Traits(
        _SEXES.get(str(header.get("PatientSex") or ""), ""),
        age_band(int(age[1]) if age[2] == "Y" else 0) if age else "",
        " ".join(part for part in parts if part),
    )


def age_band(years: int) -> str:
    """Return an age's band, such as `60 to 69`; the last is `80 and over`."""
    first = years // 10 * 10
    return f"{OLDEST} and over" if first >= OLDEST else f"{first} to {first + 9}"
