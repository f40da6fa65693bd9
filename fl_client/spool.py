"""The last answer to each study, kept until the next one: asked again, the trainer need not train again.

Beside it lies the checkpoint of the round under way, until its answer is kept.
"""

import re
from pathlib import Path

from core.errors import UpdateRejected
from core.files import private_folder, write_private
from fl_client.trainer_socket import head_of

_STUDY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Spool:
    """A folder with two files a study, of one trainer.

    SPOOL/<study>.answer       the answer as it goes over the trainer's socket
    SPOOL/<study>.checkpoint   see fl_client.epoch_checkpoint
    """

    def __init__(self, folder: Path) -> None:
        self.folder = private_folder(folder)
        # A trainer that is killed while it writes leaves what it had written, which nobody would ever read.
        for kind in ("answer", "checkpoint"):
            for partial in self.folder.glob(f".*.partial-*.{kind}"):
                partial.unlink(missing_ok=True)

    def keep(self, study: str, answer: bytes) -> None:
        """Write an answer in the place of the study's last one, on disk when this returns, and drop its checkpoint."""
        path, checkpoint = self._path(study, "answer"), self.checkpoint(study)
        try:
            write_private(path, answer)
        except OSError:
            # The checkpoint is the larger of the two: what fills a disk must not cost the answer.
            checkpoint.unlink(missing_ok=True)
            write_private(path, answer)
        checkpoint.unlink(missing_ok=True)

    def kept(self, study: str, key: str) -> bytes | None:
        """Return the answer to exactly this task, or None where the study's last one is to another."""
        try:
            answer = self._path(study, "answer").read_bytes()
            return answer if head_of(answer).get("key") == key else None
        except (OSError, UpdateRejected):
            return None

    def checkpoint(self, study: str) -> Path:
        """Return where a study's checkpoint lies."""
        return self._path(study, "checkpoint")

    def _path(self, study: str, kind: str) -> Path:
        if not _STUDY.fullmatch(study):
            raise UpdateRejected("The task's study has no proper name", fix="tell the coordinator")
        return self.folder / f"{study}.{kind}"
