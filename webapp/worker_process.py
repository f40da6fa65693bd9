"""The worker as a process of its own, started by `fl-web run` or `fl-web worker`."""

import os
import signal
from pathlib import Path

from core.records.db import open_database
from core.terminal import run
from webapp.checkpoints import head_signer
from webapp.request_log import log_to_stderr
from webapp.serving import DATA, SERVER, load_web
from webapp.vault import Vault
from webapp.worker import Worker


def work() -> None:
    """Work until told to stop."""
    config = load_web(Path(os.environ[DATA]))
    config.files.mkdir(mode=0o700, exist_ok=True)
    engine, server = open_database(config.database_url), os.environ.get(SERVER, "")
    worker = Worker(engine, config, Vault(config.keys_path), head_signer(config), server)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: worker.stopping.set())
    worker.run()


if __name__ == "__main__":
    log_to_stderr()
    run(work)
