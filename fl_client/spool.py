"""The last answer to each study, kept until the next one: asked again, the trainer need not train again."""

import re
from pathlib import Path

from core.errors import UpdateRejected
from core.files import private_folder, write_private
from fl_client.trainer_socket import head_of

_STUDY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Spool:
    """A folder with one file a study: SPOOL/<study>.answer, the answer as it goes over the trainer's socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = private_folder(folder)

    def keep(self, study: str, answer: bytes) -> None:
        """Write an answer in the place of the study's last one; it is on disk when this returns."""
        write_private(self._path(study), answer)

    def kept(self, study: str, key: str) -> bytes | None:
        """Return the answer to exactly this task, or None where the study's last one is to another."""
        try:
            answer = self._path(study).read_bytes()
            return answer if head_of(answer).get("key") == key else None
        except (OSError, UpdateRejected):
            return None

    def _path(self, study: str) -> Path:
        if not _STUDY.fullmatch(study):
            raise UpdateRejected("The task's study has no proper name", fix="tell the coordinator")
        return self.folder / f"{study}.answer"
