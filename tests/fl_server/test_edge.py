"""Nginx as a process: whose it is, what it says in words, and what it does while others are down."""

import os
import pwd
import shutil
import ssl
from pathlib import Path

import pytest

from core.certificates import read_certificate
from core.errors import ConfigError, FederationError
from fl_server import edge as module
from fl_server.edge import check_edge, edge_process, reload_edge, write_edge
from fl_server.provisioning import renew_own
from tests.factories_ports import free_port
from tests.fl_server.factories_coordinator import (
    Coordinator,
    accepts,
    client,
    coordinator,
    edge,
    enrolled,
    running,
    wait_for,
)

FLEET = "/v1/fleet/pull-messages"


def test_while_something_behind_it_is_down_the_edge_asks_to_try_again() -> None:
    """Flower's SuperNode ends for good on a 500, and tries again on a 503."""
    with coordinator() as of:
        north = enrolled(of, "north")
        with edge(of, free_port()), client(of, north) as call:
            answer = call.post(FLEET)
            assert (answer.status_code, "try again" in answer.json()["fix"]) == (503, True)
            assert call.get("/v1/site/protocol").status_code == 200
        with running(edge_process(of.home)), client(of, north) as call:
            wait_for(lambda: accepts(of.host, of.port), "Nginx accepts connections")
            for answer in (call.post(FLEET), call.get("/v1/site/protocol")):
                assert (answer.status_code, "try again" in answer.json()["fix"]) == (503, True)


def test_a_database_that_is_down_is_no_refusal() -> None:
    with coordinator() as of:
        north = enrolled(of, "north")
        with edge(of, free_port()), client(of, north) as call:
            for path in of.home.glob("records.db*"):
                path.unlink()
            (of.home / "records.db").write_bytes(b"no database" * 1000)
            assert call.post(FLEET).status_code == 503


def test_strangers_are_slowed_down_and_sites_are_not() -> None:
    with coordinator() as of:
        north = enrolled(of, "north")
        with edge(of), client(of) as nobody, client(of, north) as site:
            answers = [nobody.get("/v1/site/ca.crt") for _ in range(60)]
            assert {answer.status_code for answer in answers} == {200, 429}
            assert answers[0].status_code == 200
            assert "wait a minute" in answers[-1].json()["fix"]
            assert {site.get("/v1/site/protocol").status_code for _ in range(200)} == {200}


def test_a_renewed_certificate_is_served_after_a_reload_without_cutting_a_connection() -> None:
    with coordinator() as of:
        north = enrolled(of, "north")
        with edge(of), client(of, north) as call:
            before = served(of)
            assert call.get("/v1/site/protocol").status_code == 200
            assert renew_own(of.authority, of.home, "fl.example.org") == ["server"]
            assert served(of) == before
            reload_edge(of.home)
            wait_for(lambda: served(of) != before, "the new certificate is served")
            assert call.get("/v1/site/protocol").status_code == 200
            assert served(of) == read_certificate((of.home / "pki" / "server.crt").read_text()).serial_number


def served(of: Coordinator) -> int:
    return read_certificate(ssl.get_server_certificate((of.host, of.port))).serial_number


def test_a_root_nginx_works_as_the_owner_of_the_home() -> None:
    with coordinator() as of:
        write_edge(of.home, of.address, 9)
        owner = pwd.getpwuid(of.home.stat().st_uid)
        if not os.geteuid():
            owner = pwd.getpwnam("nobody")
            for path in (of.home, *of.home.rglob("*")):
                shutil.chown(path, owner.pw_uid, owner.pw_gid)
            write_edge(of.home, of.address, 9)
        with running(edge_process(of.home)) as master:
            wait_for(lambda: accepts(of.host, of.port), "Nginx accepts connections")
            children = Path(f"/proc/{master.pid}/task/{master.pid}/children").read_text().split()
            assert len(children) == 2
            assert {Path(f"/proc/{child}").stat().st_uid for child in children} == {owner.pw_uid}


def test_nginx_says_in_words_what_it_cannot_use() -> None:
    with coordinator() as of:
        write_edge(of.home, of.address, 9)
        check_edge(of.home)
        (of.home / "pki" / "server.key").unlink()
        with pytest.raises(ConfigError, match=r"server\.key") as error:
            check_edge(of.home)
        assert "coordinator.listen" in error.value.fix
        with pytest.raises(FederationError, match="does not run"):
            reload_edge(of.home)


@pytest.mark.parametrize("name", ["with space", "quote'd", 'double"d', "dollar$home", "br{ce", "semi;colon"])
def test_a_home_whose_path_nginx_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot use the path"):
        write_edge(tmp_path / name, "127.0.0.1:1", 9)


def test_without_nginx_the_one_line_to_type_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda *_, **__: None)
    with pytest.raises(FederationError, match="not installed") as error:
        edge_process(tmp_path)
    assert error.value.fix == "apt install nginx-light"
