"""The resident trainer, which SIGKILL ends at a moment that its arguments name, as exactly as no one outside could.

python -m tests.fl_client.dying_trainer batch 11    once the round's eleventh batch is done
python -m tests.fl_client.dying_trainer write 3     with the third checkpoint written but not in its place
"""

import os
import signal
import sys
from pathlib import Path

from core.files import write_private
from core.progress import Report
from fl_client import epoch_checkpoint, trainer_process
from fl_client.jobs import Job
from fl_client.trainer_process import Meter, Trainer


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at_batch(number: int) -> None:
    honest = Trainer._watched

    def watched(self: Trainer, job: Job, show: Report, meter: Meter) -> Report:
        heard = honest(self, job, show, meter)

        def report(step: str, done: int, total: int) -> None:
            heard(step, done, total)
            if (step, done) == ("training", number):
                die()

        return report

    Trainer._watched = watched


def dying_at_write(number: int) -> None:
    written = 0

    def write(path: Path, content: bytes) -> None:
        nonlocal written
        written += 1
        if written == number:
            os.fsync = lambda _: die()
        write_private(path, content)

    epoch_checkpoint.write_private = write


if __name__ == "__main__":
    {"batch": dying_at_batch, "write": dying_at_write}[sys.argv[1]](int(sys.argv[2]))
    trainer_process.main()
