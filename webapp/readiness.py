"""Whether everything is there that predictions need."""

import shutil
import time
from collections.abc import Callable

from sqlalchemy import Engine, select, text

from core.errors import FLError
from core.records.db import reading
from core.records.tables import AuditHead
from core.records.web_tables import Tally
from webapp.config import WebConfig
from webapp.models import current
from webapp.vault import read_keys

# A worker says that it lives every few seconds; its name follows.
SEEN = "seen:"
_SILENT_S = 60
_LEAST_FREE = 2**30


def unready(engine: Engine, config: WebConfig) -> list[str]:
    """Return which parts are lacking, as `readiness` names them."""
    return [name for name, is_there in readiness(engine, config).items() if not is_there]


def readiness(engine: Engine, config: WebConfig) -> dict[str, bool]:
    """Say of `database`, `durability`, `keys`, `disk`, and where scans are taken `model` and `worker`, if it is there.

    `durability`: MariaDB or MySQL is set to answer before a commit is on disk, and may lose events when power fails.
    """
    looks: dict[str, Callable[[], bool]] = {
        "database": lambda: _database(engine),
        "durability": lambda: _is_durable(engine),
        "keys": lambda: bool(read_keys(config.keys_path)),
        "disk": lambda: shutil.disk_usage(config.data).free > _LEAST_FREE,
    }
    if config.predicts:
        looks |= {"model": lambda: bool(current(config)), "worker": lambda: _worker(engine)}
    return {name: _is_there(look) for name, look in looks.items()}


def _is_there(look: Callable[[], bool]) -> bool:
    try:
        return look()
    except (FLError, OSError):
        return False


def _database(engine: Engine) -> bool:
    with reading(engine) as session:
        return session.scalar(select(AuditHead.seq)) is not None


def _is_durable(engine: Engine) -> bool:
    if engine.dialect.name == "sqlite":  # opened with synchronous=FULL
        return True
    with reading(engine) as session:
        return bool(session.scalar(text("SELECT @@innodb_flush_log_at_trx_commit")) == 1)


def _worker(engine: Engine) -> bool:
    alive = Tally.name.startswith(SEEN), Tally.value > time.time() - _SILENT_S
    with reading(engine) as session:
        return session.scalar(select(Tally.name).where(*alive).limit(1)) is not None
