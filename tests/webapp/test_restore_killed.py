"""A restore that is killed anywhere never serves half of what it was, on SQLite and on a real MariaDB."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from sqlalchemy.schema import DropTable

from core.errors import ConfigError, RecordsError
from core.records import copying
from core.records.db import connect, open_database
from tests.killed import Line, in_a_process, lines_in
from tests.webapp.factories_sealed import (
    a_new_machine,
    is_empty,
    rows_of,
    tree,
)
from webapp import log, restore
from webapp.checkpoints import head_signer
from webapp.config import WebConfig
from webapp.serving import load_web


def test_killed_anywhere_it_never_serves_half_of_it_and_the_next_restore_begins_anew(
    file: Path, config: WebConfig, empty: str, tmp_path: Path
) -> None:
    data, listed = a_new_machine(config, tmp_path / "new", empty), tmp_path / "lines.json"
    in_a_process(lambda: listed.write_text(json.dumps(_restored_by_lines(file, data))))
    assert _is_whole(data)
    last = {tuple(line): number for number, line in enumerate(json.loads(listed.read_text()))}
    tries = sorted(last.values())[:: max(1, len(last) // 4)] + sorted(last.values())[-2:]
    states = []
    for number in tries:
        _clear(data, empty)
        assert in_a_process(lambda: _restored_by_lines(file, data, kill_at=number)) == -signal.SIGKILL  # noqa: B023
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


def _restored_by_lines(file: Path, data: Path, kill_at: int = -1) -> list[Line]:  # pragma: no cover
    """Restore, and return the lines that were executed, or die at one of them."""
    with lines_in({restore.__file__, copying.__file__}, kill_at) as passed:
        restore.restore(file, data)
    return passed
