"""What an administrator does at the machine itself, as when nobody can sign in any more."""

import io
import json
import sys
from pathlib import Path

import pyotp
import pytest
from typer.testing import CliRunner

from core.errors import ConfigError, FLError
from core.records import audit
from core.records.db import reading
from tests.webapp.factories import PASSWORD, Server, code
from webapp import user_commands
from webapp.app import create_app
from webapp.cli import app
from webapp.serving import load_web

NEW = "another horse battery"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    registry = f'[site]\nregistry = "{tmp_path / "none"}"\n[sign_in]\nattempts_a_minute = 100000\n'
    (folder / "web.toml").write_text(registry)
    return folder


def fl_web(data: Path, *words: str, typed: str = "") -> str:
    """Run a command, and return what it printed."""
    done = CliRunner().invoke(app, [*words, "--data", str(data)], input=typed)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def created(data: Path, name: str = "ada") -> Server:
    """A server with an administrator made by the command."""
    role = "administrator" if name == "ada" else "clinician"
    made = json.loads(fl_web(data, "create-user", name, "--role", role, "--json", typed=f"{PASSWORD}\n"))
    return Server(load_web(data), create_app(load_web(data)), {name: pyotp.parse_uri(made["totp_uri"]).secret})


def test_settings_in_the_folder_need_not_say_where_the_folder_is(data: Path) -> None:
    assert load_web(data).data == data
    assert load_web(data).sign_in.attempts_a_minute == 100_000


def test_the_first_administrator_is_made_and_signs_in(data: Path) -> None:
    server = created(data)
    assert server.browser("ada").get("/users").status_code == 200
    listed = json.loads(fl_web(data, "users", "--json"))["users"]
    assert [(user["name"], user["role"], user["locked"]) for user in listed] == [("ada", "administrator", False)]


def test_who_is_locked_out_without_phone_and_password_gets_in_again(data: Path) -> None:
    server = created(data)
    for _ in range(5):
        server.browser().sign_in("ada", "000000", "wrong horse battery")
    assert fl_web(data, "users").split()[:3] == ["ada", "administrator", "locked"]
    words = ("reset-user", "ada", "--password", "--second-factor", "--json")
    made = json.loads(fl_web(data, *words, typed=f"{NEW}\n"))
    server.secrets["ada"] = pyotp.parse_uri(made["totp_uri"]).secret
    assert server.browser().sign_in("ada", code(server, "ada"), NEW).status_code == 200
    with reading(server.engine) as session:
        told = [(one.actor, one.action) for one in audit.events(session)][-5:]
    by = "user:console"
    assert told == [
        ("user:ada", "user.locked"),
        (by, "user.password-changed"),
        (by, "user.second-factor-renewed"),
        (by, "user.unlocked"),
        ("user:ada", "signed.in"),
    ]


def test_who_is_disabled_is_out_at_once_and_may_come_back(data: Path) -> None:
    created(data)
    server = created(data, "anna")
    anna = server.browser("anna")
    fl_web(data, "disable-user", "anna")
    assert anna.get("/session").status_code == 401
    assert "disabled" in fl_web(data, "users")
    fl_web(data, "enable-user", "anna")
    assert anna.get("/session").status_code == 401  # must sign in again
    assert server.browser().sign_in("anna", code(server, "anna")).status_code == 200


@pytest.mark.parametrize(
    ("words", "typed", "problem"),
    [
        (("reset-user", "nobody"), "", "no such user"),
        (("disable-user", "ada"), "", "Nobody would be administrator"),
        (("reset-user", "ada", "--password"), "short\n", "12 to 200"),
        (("reset-user", "ada", "--password"), "", "No password"),
        (("create-user", "ada", "--role", "auditor"), f"{PASSWORD}\n", "already"),
        (("create-user", "ben", "--role", "king"), f"{PASSWORD}\n", "no such role"),
    ],
)
def test_what_cannot_be_done_says_why(data: Path, words: tuple[str, ...], typed: str, problem: str) -> None:
    created(data)
    with pytest.raises(FLError, match=problem) as told:
        fl_web(data, *words, typed=typed)
    assert told.value.fix


def test_a_person_sees_the_second_factor_as_a_picture_and_a_program_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = pyotp.TOTP("A" * 32, name="ada", issuer="GlioFed").provisioning_uri()
    user_commands._show(uri)
    assert capsys.readouterr().out.splitlines()[1:] == [uri]

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    user_commands._show(uri)
    drawn = screen.getvalue().splitlines()[1:-1]
    assert len(drawn) >= 20
    assert {len(line) for line in drawn} == {len(drawn[0])}
    assert {*"".join(drawn)} <= {*"█▀▄ "}


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no folder"):
        fl_web(tmp_path / "none", "users")
