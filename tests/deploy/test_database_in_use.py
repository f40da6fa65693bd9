"""The work of hospital and coordinator with the application's account: tests of the programs, on such a database."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from core.records import audit, runs
from core.records.db import open_database
from core.records.rounds import rounds_of
from tests.core.records.test_decisions import (  # noqa: F401
    records,
    test_a_decision_settles_what_was_wished_and_names_who_wished,
)
from tests.core.records.test_rounds import close_round, open_round
from tests.deploy.factories_database import Deployment
from tests.fl_server.test_sites import (  # noqa: F401
    of,
    test_a_revoked_site_is_out_for_good_with_all_its_certificates_and_invitations,
    test_seen_is_when_a_site_called_last,
)
from tests.webapp.conftest import prepared_once  # noqa: F401
from tests.webapp.factories import Server
from tests.webapp.factories_sealed import sign_heads
from tests.webapp.test_erasure import (  # noqa: F401
    home,
    server,
    test_an_erased_patient_is_gone_the_others_stay_and_the_chain_is_whole,
)
from tests.webapp.test_rotation import (  # noqa: F401
    config,
    test_everything_is_sealed_with_the_new_key_and_the_old_one_is_gone,
)
from tests.webapp.test_sessions import test_signing_out_ends_the_session_and_no_other  # noqa: F401
from webapp.cli import app
from webapp.retention import clear_away


@pytest.fixture
def database(deployed: Deployment) -> str:
    """The address for the application, of a database whose tables are the owner's."""
    return deployed.filled().application


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = open_database(database)
    yield engine
    engine.dispose()


def test_what_is_kept_no_longer_goes_and_the_log_verifies_on_the_command_line(
    server: Server,  # noqa: F811
    database: str,
) -> None:
    clear_away(server.engine, server.config)
    sign_heads(server.engine, server.config)
    environment = {"FL_SITE__DATABASE": database}
    done = CliRunner().invoke(app, ["verify-audit", "--data", str(server.config.data)], env=environment)
    assert done.exit_code == 0, done.output
    assert "\nIntact: 5 events, 1 signed heads, " in done.output


def test_a_runs_rounds_are_kept(engine: Engine) -> None:
    runs.create_run(engine, run="r", study="s", folder="/r", sites=["north"], actor="coordinator", state="running")
    open_round(engine)
    close_round(engine)
    assert [one.round for one in rounds_of(engine, "r")] == [1]
    assert audit.verify(engine, None, None).events == 3
