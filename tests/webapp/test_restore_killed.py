"""A restore that is killed anywhere never serves half of what it was, on SQLite and on a real MariaDB."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.schema import DropTable

from core.errors import ConfigError, RecordsError
from core.records import copying
from core.records.db import connect, open_database
from core.records.migrate import revision_of
from tests.factories_mariadb import MariaDB
from tests.webapp.factories_sealed import (
    a_filled_server,
    a_new_machine,
    a_server,
    rows_of,
    sign_heads,
    tree,
)
from webapp import log, restore
from webapp.backup import make_backup
from webapp.checkpoints import head_signer
from webapp.config import WebConfig
from webapp.serving import load_web


@pytest.fixture
def config(tmp_path: Path, database: str) -> WebConfig:
    return a_server(tmp_path / "old", database)


@pytest.fixture
def file(engine: Engine, config: WebConfig, tmp_path: Path) -> Path:
    """A backup of a server with three patients."""
    a_filled_server(engine, config)
    sign_heads(engine, config)
    make_backup(config, tmp_path / "web.backup")
    return tmp_path / "web.backup"


@pytest.fixture
def empty(database: str, tmp_path: Path, mariadb_server: MariaDB) -> str:
    """The address of an empty database, of the kind that the backup was not made from."""
    return mariadb_server.fresh() if database.startswith("sqlite") else f"sqlite:///{tmp_path / 'empty.db'}"


def is_empty(url: str) -> bool:
    if url.startswith("sqlite"):
        return not Path(url.removeprefix("sqlite:///")).exists()
    return revision_of(connect(url)) == ""


def test_killed_anywhere_it_never_serves_half_of_it_and_the_next_restore_begins_anew(
    file: Path, config: WebConfig, empty: str, tmp_path: Path
) -> None:
    data, listed = a_new_machine(config, tmp_path / "new", empty), tmp_path / "lines.json"
    _in_a_process(lambda: listed.write_text(json.dumps(_restored_by_lines(file, data))))
    assert _is_whole(data)
    last = {tuple(line): number for number, line in enumerate(json.loads(listed.read_text()))}
    tries = sorted(last.values())[:: max(1, len(last) // 4)] + sorted(last.values())[-2:]
    states = []
    for number in tries:
        _clear(data, empty)
        assert _in_a_process(lambda: _restored_by_lines(file, data, kill_at=number)) == -signal.SIGKILL  # noqa: B023
        states.append(_state(data, empty))
        if states[-1] == "whole":
            with pytest.raises(ConfigError, match="is not empty"):
                restore.restore(file, data)
        else:
            restore.restore(file, data)
        assert _is_whole(data)
    assert set(states) >= {"nothing", "refused"}, states


def _state(data: Path, database: str) -> str:
    """What `fl-web run` would find: nothing, half of it and so a refusal, or everything."""
    if is_empty(database) and not (data / "files").exists():
        return "nothing"
    try:
        config = load_web(data)
        open_database(config.database_url).dispose()
    except (ConfigError, RecordsError) as error:
        assert "being restored" in error.problem
        return "refused"
    assert _is_whole(data)
    return "whole"


def _is_whole(data: Path) -> bool:
    config = load_web(data)
    engine = open_database(config.database_url)
    signer = head_signer(config)
    verified = log.verify(engine, signer.checkpoints, signer.public)
    rows = rows_of(engine)
    engine.dispose()
    files = [path for path in tree(config.files) if path.endswith("rtumor")]
    return (verified.checkpoints, len(rows["predictions"]), len(files)) == (1, 3, 3)


def _clear(data: Path, database: str) -> None:
    for name in ("files", "audit"):
        shutil.rmtree(data / name, ignore_errors=True)
    (data / ".restored").unlink(missing_ok=True)
    engine = connect(database)
    copying._drop_tables(engine)
    with engine.begin() as connection:
        connection.execute(DropTable(copying._MARK, if_exists=True))
    engine.dispose()
    if database.startswith("sqlite"):
        for path in Path(database.removeprefix("sqlite:///")).parent.glob("empty.db*"):
            path.unlink()


def _in_a_process(work: Callable[[], object]) -> int:
    process = os.fork()
    if not process:  # pragma: no cover
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _restored_by_lines(file: Path, data: Path, kill_at: int = -1) -> list[tuple[str, int]]:  # pragma: no cover
    """Restore, and return the lines that were executed, or die at one of them."""
    passed: list[tuple[str, int]] = []
    files = {restore.__file__, copying.__file__}

    def trace(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            if len(passed) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            passed.append((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    restore.restore(file, data)
    sys.settrace(None)
    return passed
