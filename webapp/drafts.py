"""An upload that was looked through and not started yet: what it holds, which series is which, whose scans they are.

A draft is sealed JSON in the prediction's row; beside the upload lie its thumbnails, and where each series' voxels are:

DATA/files/<prediction>/t<series key>   PNG
DATA/files/<prediction>/found           JSON of `core.imaging.found`
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.imaging.volume import SEQUENCES
from core.records.web_tables import Prediction
from webapp.config import WebConfig
from webapp.errors import Refused
from webapp.inspection import inspect
from webapp.patients import LONGEST_RECORD_NUMBER, Identity, same_record_number
from webapp.scratch import decrypted
from webapp.sealed_files import write_sealed
from webapp.uploads import Upload
from webapp.vault import Vault

FOUND = "found"


@dataclass(frozen=True)
class Draft:
    """What is known of an upload.

    Attributes:
        names: what each stored file was called.
        studies, series: as found; JSON.
        choices: for each study, and for "" where there is but one, the series that would be taken for each sequence.
        digest: of the upload's content.
        study: the study to take, "" where there is but one, None where somebody must say.
        chosen: a series' key for each sequence.
    """

    names: dict[str, str]
    studies: list[dict[str, Any]]
    series: list[dict[str, Any]]
    choices: dict[str, dict[str, str]]
    digest: str
    study: str | None
    chosen: dict[str, str]

    @property
    def missing(self) -> list[str]:
        """Sequences that no series was chosen for."""
        return [sequence for sequence in SEQUENCES if sequence not in self.chosen]


def draft_of(config: WebConfig, upload: Upload) -> Draft:
    """Look through an upload, and keep a thumbnail of each series.

    Raises: DataError: it holds nothing that could be a case, or scans of several patients, or is unsafe.
    """
    with decrypted(config, upload.id, upload.key, upload.names) as folder:
        found = inspect(folder)
    write_sealed(upload.folder / FOUND, upload.key, found.found)
    for key, picture in found.thumbnails.items():
        write_sealed(upload.folder / f"t{key}", upload.key, picture)
    study = "" if "" in found.choices else None
    return Draft(
        names=upload.names,
        studies=found.studies,
        series=found.series,
        choices=found.choices,
        digest=found.digest,
        study=study,
        chosen=found.choices.get("", {}),
    )


def corrected(draft: Draft, study: str | None, chosen: Mapping[str, str | None] | None) -> Draft:
    """Return a draft with another study, or with other series for some sequences; None takes a series away.

    Raises: Refused: no such study, sequence or series, a series for two sequences, or one that cannot be a volume.
    """
    if study is not None and study != draft.study:
        if study not in draft.choices:
            raise Refused(422, "There is no such study in the upload", fix="name one that the draft lists")
        draft = Draft(**{**asdict(draft), "study": study, "chosen": draft.choices[study]})
    if not chosen:
        return draft
    merged = {name: key for name, key in {**draft.chosen, **chosen}.items() if key}
    able = {one["key"]: one for one in draft.series}
    for sequence, key in merged.items():
        if sequence not in SEQUENCES or key not in able:
            raise Refused(422, "There is no such sequence or series", fix="take the keys of the draft's series")
        if able[key]["wrong"]:
            raise Refused(422, f"{sequence}: {able[key]['wrong']}", fix=able[key]["fix"] or "choose another series")
        if draft.study and able[key]["study"] != draft.study:
            raise Refused(422, f"{sequence} was chosen from another study", fix="choose all four from one study")
    if len({able[key]["study"] for key in merged.values()}) > 1:
        raise Refused(422, "The chosen series are of several studies", fix="choose all four from one study")
    if len(set(merged.values())) < len(merged):
        raise Refused(422, "One series was chosen for two sequences", fix="choose another series for one of them")
    ordered = {sequence: merged[sequence] for sequence in SEQUENCES if sequence in merged}
    return Draft(**{**asdict(draft), "chosen": ordered})


def check_ready(draft: Draft) -> None:
    """Check that a draft can be started.

    Raises: Refused: a study must be named, or a sequence is missing.
    """
    if draft.study is None:
        raise Refused(
            422,
            f"The upload holds {len(draft.studies)} studies of the patient",
            fix="say which study is meant (`study`), or send one study",
        )
    if draft.missing:
        raise Refused(
            422,
            f"The case has no {' and no '.join(draft.missing)}",
            fix="choose a series for it (`chosen`), or send one that holds it",
        )


def identity_in(draft: Draft, typed: str | None) -> Identity | None:
    """Return whose scans these are, or None where neither they nor the user say.

    Args:
        draft: as found.
        typed: a record number that the user has typed.
    Raises: Refused: the user has typed another than the scans hold, or one that is too long.
    """
    told = next((one["patient_id"] for one in draft.studies if one["patient_id"]), "")
    name = next((one["patient_name"] for one in draft.studies if one["patient_name"]), "")
    typed = (typed or "").strip()
    if len(typed) > LONGEST_RECORD_NUMBER or not typed.isprintable():
        raise Refused(422, "This is no record number", fix=f"type at most {LONGEST_RECORD_NUMBER} characters")
    if typed and told and not same_record_number(typed, told):
        raise Refused(
            422,
            "The scans are of another patient than the record number says",
            fix="check the record number, or the scans",
        )
    number = typed or told.strip()
    return {"record_number": number, "name": name} if number else None


def content_of(vault: Vault, draft: Draft) -> str:
    """Return what stands for these scans and this choice: equal ones give equal answers."""
    return vault.mac("content", "\n".join([draft.digest, *(f"{name}={key}" for name, key in draft.chosen.items())]))


def sealed(vault: Vault, draft: Draft, prediction: str) -> bytes:
    """Return a draft as it is kept in its prediction's row."""
    return vault.seal_json(asdict(draft), f"predictions.draft/{prediction}")


def opened(vault: Vault, row: Prediction) -> Draft:
    """Return a prediction's draft.

    Raises: Refused: its scans were deleted.
    """
    if row.draft_sealed is None:
        raise Refused(410, "The scans of this prediction were deleted", fix="upload them again")
    return Draft(**vault.open_json(row.draft_sealed, f"predictions.draft/{row.id}"))
