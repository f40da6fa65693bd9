"""Looking through an upload where it can do no harm: in a child process with limits."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.imaging.found import found_as_json
from core.imaging.reading import content_digest
from core.imaging.sandbox import Looked, look_apart


@dataclass(frozen=True)
class Inspected:
    """What an upload holds, as JSON and pictures.

    Attributes:
        found: as `found_from_json` reads it.
        studies, series: of it, what people are shown.
        choices: for each study, and for "" where there is but one, the best series for each sequence.
        digest: of the content, whatever its files are called.
        thumbnails: PNG of each series that can be drawn.
    """

    found: bytes
    studies: list[dict[str, Any]]
    series: list[dict[str, Any]]
    choices: dict[str, dict[str, str]]
    digest: str
    thumbnails: dict[str, bytes]


def inspect(folder: Path) -> Inspected:
    """Look through a folder.

    Raises: DataError: it holds nothing that could be a case, is not of one patient, or is damaged or hostile.
    """
    with ThreadPoolExecutor(1) as beside:  # the bytes are hashed while the other process reads what they say
        digest = beside.submit(content_digest, folder)
        looked = look_apart(folder)
        return _inspected(looked, folder, digest.result())


def _inspected(looked: Looked, folder: Path, digest: str) -> Inspected:
    found = looked.found
    choices = {study.key: found.choice(study.key) for study in found.studies}
    if not found.several:
        choices[""] = found.choice()
    kept = [
        {name: value for name, value in vars(one).items() if name not in ("rank", "voxels")}
        | {"thumbnail": one.key in looked.thumbnails}
        for one in found.series
    ]
    studies = [asdict(study) for study in found.studies]
    return Inspected(found_as_json(found, folder), studies, kept, choices, digest, looked.thumbnails)
