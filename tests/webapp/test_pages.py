"""The pages in a real browser, on real servers, worker and MariaDB: each journey of webapp/frontend/journeys."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text, update

from core.clock import now
from core.records.db import open_database, unlogged
from core.records.web_tables import Credential, User
from tests.factories_mariadb import mariadb
from tests.factories_ports import free_port
from tests.webapp.factories_drill import DURABLE
from tests.webapp.factories_provider import a_provider, openid_settings, vouch
from tests.webapp.factories_running import Running
from tests.webapp.stage import a_coordinator, a_hospital, told

FRONTEND = Path(__file__).resolve().parents[2] / "webapp" / "frontend"
JOURNEYS = sorted(path.stem for path in (FRONTEND / "journeys").glob("*.ts") if path.stem not in ("stage", "voxels"))
LIMITS = {"files": 700, "drafts": 6}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    folder = tmp_path_factory.mktemp("pages")
    with ExitStack() as stack:
        database = stack.enter_context(mariadb(*DURABLE))
        openid = openid_settings(stack.enter_context(a_provider(free_port())))
        hospital = stack.enter_context(a_hospital(folder / "hospital", database.fresh(), limits=LIMITS, openid=openid))
        coordinator = stack.enter_context(a_coordinator(folder / "coordinator", database.fresh()))
        yield {"hospital": hospital, "coordinator": coordinator}


@pytest.mark.parametrize("name", JOURNEYS)
def test_journey(servers: dict[str, Running], name: str, tmp_path: Path) -> None:
    pictures = Path(os.environ.get("GLIOFED_PICTURES", tmp_path / "pictures"))
    stage = {where: told(server, server.config.data.parent) for where, server in servers.items()}
    (tmp_path / "stage.json").write_text(json.dumps(stage | {"pictures": str(pictures)}))
    environment = {**os.environ, "GLIOFED_STAGE": str(tmp_path / "stage.json")}
    with subprocess.Popen(
        ["node", f"journeys/{name}.ts"],
        cwd=FRONTEND,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as walking:
        assert walking.stdin
        assert walking.stdout
        said = []
        for line in walking.stdout:
            if line.startswith("@ "):
                where, action, *given = json.loads(line[2:])
                ACTIONS[action](servers[where], *given)
                walking.stdin.write("done\n")
                walking.stdin.flush()
            else:
                said.append(line)
    assert walking.returncode == 0, "".join(said)


def _forget_code(server: Running, user: str) -> None:
    """That this code was used before; a person would wait half a minute for the next."""
    engine = open_database(server.config.database_url)
    with unlogged(engine) as session:
        session.execute(update(User).where(User.name == user).values(totp_step=0, failures=0, locked_until=None))
    engine.dispose()


def _vouch(server: Running, subject: str, name: str, group: str) -> None:
    """Let the hospital's own sign-on know somebody."""
    vouch(server.config.openid.issuer, subject, name, [group])


def _end_sessions(server: Running, user: str) -> None:
    """As the administrator's page would."""
    engine = open_database(server.config.database_url)
    with unlogged(engine) as session:
        session.execute(update(Credential).where(Credential.user == user).values(revoked_at=now()))
    engine.dispose()


def _falsify(server: Running, seq: str) -> None:
    """As somebody who may write to the database."""
    _tell(server, "UPDATE audit_events SET actor = CONCAT(actor, '!') WHERE seq = :seq", seq)


def _mend(server: Running, seq: str) -> None:
    _tell(server, "UPDATE audit_events SET actor = LEFT(actor, CHAR_LENGTH(actor) - 1) WHERE seq = :seq", seq)


def _tell(server: Running, statement: str, seq: str) -> None:
    engine = open_database(server.config.database_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER IF EXISTS audit_events_no_update"))
        connection.execute(text(statement), {"seq": int(seq)})
    engine.dispose()


ACTIONS = {
    "forget-code": _forget_code,
    "vouch": _vouch,
    "end-sessions": _end_sessions,
    "falsify": _falsify,
    "mend": _mend,
    "stop": Running.stop,
    "start": Running.start,
    "kill": Running.kill,
}
