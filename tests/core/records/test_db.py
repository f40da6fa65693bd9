"""A side's database, on SQLite and on a real MariaDB."""

import os
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, make_url, select, text
from sqlalchemy.exc import DataError, IntegrityError

from core.errors import RecordsError
from core.records.db import default_url, open_database, reading, transaction
from core.records.tables import Certificate, Site
from tests.factories_mariadb import MariaDB

AT = "2026-11-24T21:55:19.123456Z"


def a_site(name: str, **changes: object) -> Site:
    return Site(**{"name": name, "state": "invited", "invited_at": AT, "protocol": 0, **changes})


def names(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return sorted(session.scalars(select(Site.name)))


def test_a_transaction_is_all_or_nothing(engine: Engine) -> None:
    with transaction(engine) as session:
        session.add_all([a_site("north"), a_site("south")])
    with pytest.raises(ZeroDivisionError), transaction(engine) as session:
        session.add(a_site("east"))
        session.flush()
        raise ZeroDivisionError
    assert names(engine) == ["north", "south"]


def test_who_reads_can_change_nothing(engine: Engine) -> None:
    with pytest.raises(RecordsError), reading(engine) as session:
        session.add(a_site("north"))
        session.flush()
    with transaction(engine) as session:  # the same connection, taken from the pool again, may
        session.add(a_site("south"))
    assert names(engine) == ["south"]


def test_who_reads_sees_one_state_while_others_write(engine: Engine) -> None:
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(Site)) == 0
        with transaction(engine) as writer:
            writer.add(a_site("north"))
        assert session.scalar(select(func.count()).select_from(Site)) == 0
    assert names(engine) == ["north"]


def count_up(engine: Engine) -> None:
    with transaction(engine) as session:
        session.get_one(Site, "north").protocol += 1


def test_what_a_transaction_has_read_stays_true_until_it_commits(engine: Engine) -> None:
    """Another that reads, adds one and writes it waits at its beginning, without having asked for a lock."""
    with transaction(engine) as session:
        session.add(a_site("north"))
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as session:
            site = session.get_one(Site, "north")
            later = pool.submit(count_up, engine)
            assert not wait([later], timeout=0.3).done
            site.protocol += 1
        later.result()
    with reading(engine) as session:
        assert session.get_one(Site, "north").protocol == 2


def test_names_are_compared_byte_by_byte(engine: Engine) -> None:
    with transaction(engine) as session:
        session.add_all([a_site("north"), a_site("North"), a_site("nörth")])
    assert names(engine) == ["North", "north", "nörth"]


def test_a_certificate_belongs_to_a_site_that_there_is(engine: Engine) -> None:
    with pytest.raises(IntegrityError), transaction(engine) as session:
        session.add(Certificate(serial="a1", site="nowhere", issued_at=AT, not_after=AT))


def test_a_text_that_is_too_long_is_refused_and_not_cut(mariadb_server: MariaDB) -> None:
    engine = open_database(mariadb_server.fresh())
    with pytest.raises(DataError), transaction(engine) as session:
        session.add(a_site("north", state="s" * 21))
    engine.dispose()


def test_by_default_the_records_lie_in_the_sides_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FL_HOME", "/data/fl")
    assert default_url() == "sqlite:////data/fl/records.db"


def test_no_other_account_may_read_the_file(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path / 'new' / 'records.db'}").dispose()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
    assert modes == {"records.db": 0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://it:a-secret@127.0.0.1/records",
        "mysql+nothing://it:a-secret@127.0.0.1/records",
        "mysql+pymysql://it:a-secret@127.0.0.1",
        "mysql+pymysql://it:a-secret@127.0.0.1:port/records",
        "mysql+pymysql://it:a-secret@127.0.0.1/records?ssl_check_hostname=false",
        "mysql+pymysql://it:a-secret@127.0.0.1/records?ssl_ca=/no/such/file",
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_password(url: str) -> None:
    refused(url)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(os.urandom(8192))
    assert "records.db cannot be used" in refused(f"sqlite:///{tmp_path / 'records.db'}").problem


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be used" in refused(f"sqlite:///{tmp_path / 'file' / 'records.db'}").problem


def test_a_server_that_is_down_is_told_without_its_password() -> None:
    assert "records at 127.0.0.1:9 cannot" in refused("mysql+pymysql://it:a-secret@127.0.0.1:9/records").problem


def test_what_the_server_refuses_is_told_with_what_to_do(mariadb_server: MariaDB) -> None:
    url = make_url(mariadb_server.fresh())

    def fix(changed: dict[str, str]) -> str:
        return refused(url.set(**changed).render_as_string(hide_password=False)).fix

    assert "check the account" in fix({"password": "another-a-secret"})
    assert "check the account" in fix({"database": "mysql"})
    root = {"username": "root", "password": ""}
    assert "CREATE DATABASE" in fix({"database": "absent", **root})
    with mariadb_server.root.begin() as connection:
        connection.execute(text(f"REVOKE TRIGGER ON {url.database}.* FROM {url.username}@localhost"))
    assert "upgrade-database" in fix({})


def test_a_database_that_goes_away_is_told(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'records.db'}")
    engine.dispose()
    (tmp_path / "records.db").unlink()
    (tmp_path / "records.db").mkdir()
    for block in (reading, transaction):
        with pytest.raises(RecordsError, match="cannot be used"), block(engine) as session:
            session.scalars(select(Site.name)).all()


def refused(url: str) -> RecordsError:
    with pytest.raises(RecordsError) as caught:
        open_database(url)
    assert caught.value.fix
    assert "a-secret" not in caught.value.problem + caught.value.fix
    assert caught.value.__cause__ is None
    return caught.value


def test_a_database_without_room_says_so(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'records.db'}")
    with (
        pytest.raises(RecordsError, match=r"records\.db cannot be used \(SQLITE_FULL\)"),
        transaction(engine) as session,
    ):
        pages = session.scalar(text("PRAGMA page_count"))
        session.execute(text(f"PRAGMA max_page_count={pages}"))
        session.execute(text("CREATE TABLE one_more (a)"))
