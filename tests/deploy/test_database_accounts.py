"""The database's accounts and settings: what the application may do is enough for it, and nothing else works."""

import os
import pwd
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest
from sqlalchemy import make_url, select, text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from core.errors import RecordsError
from core.records import audit, web_tables
from core.records.db import connect, open_database, reading, transaction
from core.records.migrate import HEAD
from core.records.tables import AuditEvent
from tests.core.records.test_db_tls import write_certificate
from tests.deploy.factories_database import DEPLOY, Database, Deployment
from webapp.cli import app

# Access denied: to a database, to files, to a table, to a column, for want of a global right, to a routine.
DENIED = {1044, 1045, 1142, 1143, 1227, 1370}
# Linux accounts that every Debian has, in the place of GlioFed's own.
STRANGERS = ("www-data", "daemon")


def append(url: str, actor: str = "it") -> None:
    engine = open_database(url)
    with transaction(engine) as session:
        audit.append(session, actor, "a.b")
    engine.dispose()


@pytest.fixture(scope="module")
def shared(deployed: Deployment) -> Database:
    """A database with an event, which the tests of what is denied leave as it is."""
    made = deployed.filled()
    append(made.application)
    return made


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'nobody'",
        "UPDATE audit_events SET seq = seq + 1 WHERE seq > 5",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "DROP TABLE audit_events",
        "RENAME TABLE audit_events TO other",
        "ALTER TABLE audit_events ADD COLUMN spare INT",
        "ALTER TABLE audit_events DROP PRIMARY KEY",
        "CREATE INDEX spare ON audit_events (actor)",
        "REPLACE INTO audit_events SELECT * FROM audit_events",
        "INSERT INTO audit_events SELECT * FROM audit_events ON DUPLICATE KEY UPDATE actor = 'nobody'",
        "CREATE TRIGGER other BEFORE INSERT ON audit_events FOR EACH ROW SET NEW.actor = 'nobody'",
        "DROP TRIGGER audit_events_no_update",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head VALUES (2, 0, '', 0)",
        "UPDATE log_entries SET user = 'nobody'",
        "DELETE FROM log_entries",
        "DELETE FROM predictions",
        "UPDATE alembic_version SET version_num = '0001'",
        "CREATE TABLE other (x INT)",
        "CREATE VIEW other AS SELECT 1",
        "CREATE FUNCTION other() RETURNS INT RETURN 1",
        "GRANT SELECT ON sites TO CURRENT_USER",
        "CREATE USER other",
        "SELECT * FROM mysql.global_priv",
        "SELECT 1 INTO OUTFILE '/tmp/never'",
        "LOAD DATA INFILE '/etc/hostname' INTO TABLE sites",
        "SET GLOBAL innodb_flush_log_at_trx_commit = 0",
        "SET SESSION sql_log_bin = 0",
        "SHOW BINARY LOGS",
    ],
)
def test_the_application_is_denied(shared: Database, statement: str) -> None:
    engine = connect(shared.application)
    with pytest.raises(DBAPIError) as caught, engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    assert caught.value.orig.args[0] in DENIED, caught.value.orig  # type: ignore[union-attr]
    assert "append-only" not in str(caught.value)  # it does not come to the trigger


def test_the_owners_account_meets_the_trigger(shared: Database) -> None:
    engine = connect(shared.owner)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_events"))
    engine.dispose()


def test_every_table_has_its_line_and_no_more(deployed: Deployment, shared: Database) -> None:
    grants = "\n".join(str(row[0]) for row in deployed.as_root(f"SHOW GRANTS FOR {shared.account}"))
    rights = {table: granted for granted, table in re.findall(r"GRANT (.+) ON `\w+`\.`(\w+)` TO", grants)}
    assert rights.keys() == web_tables.Base.metadata.tables.keys()
    assert (rights["audit_events"], rights["audit_head"]) == ("INSERT", "UPDATE")
    assert {table for table, granted in rights.items() if "DELETE" in granted} == {"credentials", "patients"}
    assert set(", ".join(rights.values()).split(", ")) == {"INSERT", "UPDATE", "DELETE"}
    whole = re.findall(r"GRANT (.+) ON (\S+\.\*) TO", grants)
    assert whole == [("USAGE", "*.*"), ("SELECT", f"`{shared.name.replace('_', chr(92) + '_')}`.*")]
    assert "GRANT OPTION" not in grants


def test_run_again_it_gives_the_same_and_takes_back_what_was_added(deployed: Deployment, made: Database) -> None:
    grants = sorted(deployed.as_root(f"SHOW GRANTS FOR {made.account}"))
    deployed.as_root(f"GRANT ALL ON {made.name}.audit_events TO {made.account}")
    append(made.application)
    deployed.make_accounts(made.name)
    assert sorted(deployed.as_root(f"SHOW GRANTS FOR {made.account}")) == grants  # with the password's hash
    append(made.application)


def test_passwords_are_files_of_roots_and_in_no_binary_log(deployed: Deployment, made: Database) -> None:
    files = sorted((deployed.folder / "secrets").glob(f"{made.name}_*.password"))
    assert [path.name.removeprefix(made.name) for path in files] == [
        "_app.password",
        "_backup.password",
        "_owner.password",
    ]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    passwords = {path.read_text().strip() for path in files}
    assert len(passwords) == 3
    assert {len(password) for password in passwords} == {32}
    logs = b"".join(path.read_bytes() for path in (deployed.server.folder / "data").glob("binlog.0*"))
    assert made.name.encode() in logs
    assert not [password for password in passwords if password.encode() in logs]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [((), {"DATABASE": "x`; DROP"}), ((), {"APPLICATION": "x'@'%"}), (("db.example.org",), {}), (("10.0.0.1'",), {})],
)
def test_a_name_that_is_none_is_refused(
    deployed: Deployment, arguments: tuple[str, ...], names: dict[str, str]
) -> None:
    done = deployed.accounts(*arguments, **names)
    assert done.returncode == 1
    assert "' is no " in done.stderr


@contextmanager
def linux_account(name: str) -> Iterator[None]:
    """Let what connects in the block be of another Linux account."""
    os.seteuid(pwd.getpwnam(name).pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


def test_over_the_socket_a_linux_account_is_the_databases_and_nobody_else(deployed: Deployment) -> None:
    assert os.geteuid() == 0, "becomes other Linux accounts: run the tests as root, `sudo make test`"
    application, owner = STRANGERS
    names = {"DATABASE": "over_socket", "APPLICATION": application, "OWNER": owner, "BACKUP": "backup"}
    done = deployed.accounts(**names)
    assert done.returncode == 0, done.stderr
    assert "passwords" not in done.stdout
    address = f"mysql+pymysql://{{}}@localhost/over_socket?unix_socket={deployed.server.folder / 'socket'}"
    with linux_account(owner):
        open_database(address.format(owner)).dispose()
    with linux_account(application):
        append(address.format(application))
        with pytest.raises(RecordsError, match="1698"):
            open_database(address.format(owner))
    with pytest.raises(RecordsError, match="1698"):
        open_database(address.format(application))


def test_with_tables_of_this_release_the_application_starts(made: Database) -> None:
    append(made.application)


@pytest.mark.parametrize("revision", ["", "0005"])
def test_without_them_it_says_what_to_do_and_has_changed_nothing(deployed: Deployment, revision: str) -> None:
    made = deployed.filled() if revision else deployed.empty()
    if revision:
        deployed.as_root(
            f"UPDATE {made.name}.alembic_version SET version_num = '{revision}'",
            f"ALTER TABLE {made.name}.rounds DROP COLUMN by_site",
        )
    with pytest.raises(RecordsError) as caught:
        open_database(made.application)
    state = f"are of revision {revision}, this release needs {HEAD}," if revision else "are not there yet"
    assert caught.value.problem == (
        f"The tables of the database {made.name} {state} and this account may not change them"
    )
    assert "fl-web upgrade-database" in caught.value.fix

    done = CliRunner().invoke(app, ["upgrade-database"], env={"FL_OWNER_DATABASE": made.owner})
    assert done.exit_code == 0, done.output
    assert done.output == f"The tables of {made.name} are of revision {HEAD}, which this release needs.\n"
    append(made.application)


def test_a_plain_connection_is_refused(deployed: Deployment, made: Database) -> None:
    address = make_url(made.application)
    account = {"user": address.username, "password": address.password, "database": address.database}
    where = {"host": "127.0.0.1", "port": deployed.server.port, "ssl_disabled": True}
    refused = pytest.raises(pymysql.OperationalError, match="1045")
    with refused:
        pymysql.connect(**where, **account)
    deployed.as_root(f"ALTER USER {made.account} REQUIRE NONE")
    with refused:  # by the server, whoever it is
        pymysql.connect(**where, **account)
    deployed.as_root("SET GLOBAL require_secure_transport = OFF")
    try:
        pymysql.connect(**where, **account).close()
        deployed.as_root(f"ALTER USER {made.account} REQUIRE SSL")
        with refused:  # by the account
            pymysql.connect(**where, **account)
    finally:
        deployed.as_root("SET GLOBAL require_secure_transport = ON")


def test_over_tls_the_server_must_be_the_one_that_was_meant(
    deployed: Deployment, made: Database, tmp_path: Path
) -> None:
    engine = open_database(made.application)
    with engine.connect() as connection:
        assert connection.execute(text("SHOW STATUS LIKE 'Ssl_version'")).one()[1] in ("TLSv1.2", "TLSv1.3")
    engine.dispose()
    other = write_certificate(tmp_path, "other", "127.0.0.1")
    with pytest.raises(RecordsError, match="cannot be used"):
        open_database(deployed.url(made.name, f"{made.name}_app", other))


def test_a_character_of_four_bytes_comes_back_as_it_was(deployed: Deployment, made: Database) -> None:
    append(made.application, "🧠 Ödem ğ")
    engine = open_database(made.application)
    with reading(engine) as session:
        assert session.scalars(select(AuditEvent.actor)).one() == "🧠 Ödem ğ"
    engine.dispose()
    assert deployed.as_root(f"SELECT hex(left(actor, 1)) FROM {made.name}.audit_events") == [("F09FA7A0",)]
    created = deployed.as_root(f"SHOW CREATE DATABASE {made.name}")[0][1]
    assert "utf8mb4" in str(created)


def test_the_server_runs_with_the_settings_that_losing_nothing_needs(deployed: Deployment) -> None:
    names = "innodb_flush_log_at_trx_commit sync_binlog log_bin binlog_format require_secure_transport local_infile"
    query = "SELECT {}".format(", ".join(f"@@{name}" for name in names.split()))
    assert deployed.as_root(query) == [(1, 1, 1, "ROW", 1, 0)]
    assert "STRICT_ALL_TABLES" in str(deployed.as_root("SELECT @@global.sql_mode")[0][0])


def test_every_setting_says_why() -> None:
    for path in (DEPLOY / "mariadb").glob("*.cnf"):
        block: list[str] = []
        for line in path.read_text().splitlines():
            block = [*block, line] if line else []
            assert not re.match(r"\w+ = ", line) or any(one.startswith("#") for one in block), f"{path.name}: {line}"
