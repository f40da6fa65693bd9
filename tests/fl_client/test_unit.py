import configparser
from pathlib import Path

import pytest

from core.errors import ConfigError
from fl_client import unit
from fl_client.config import SiteConfig, load_site
from fl_client.paths import SiteHome
from fl_client.unit import NAME, install_service, unit_text
from tests.fl_client.factories_site import make_home


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    return make_home(tmp_path / "a home, 100 %")


@pytest.fixture
def site(home: SiteHome) -> SiteConfig:
    return load_site(home)


def parsed(text: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None, strict=True)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string(text)
    return read


def test_a_systems_unit_runs_as_the_homes_owner_who_may_write_nothing_else(site: SiteConfig, home: SiteHome) -> None:
    service = parsed(unit_text(site, home, "gliofed"))["Service"]
    assert service["User"] == "gliofed"
    assert service["ProtectSystem"] == "strict"
    # systemd reads `%` as a specifier and a space as the end of a path.
    escaped = str(home.root).replace("%", "%%")
    assert service["ReadWritePaths"] == f'"{escaped}" "{escaped}/prepared"'
    assert service["Environment"] == f'"FL_HOME={escaped}"'
    assert service["ExecStart"].endswith("-m fl_client start")
    assert service["CapabilityBoundingSet"] == ""
    assert (service["Restart"], service["NoNewPrivileges"], service["UMask"]) == ("always", "yes", "0077")


def test_a_users_unit_asks_for_nothing_that_a_user_cannot_have(site: SiteConfig, home: SiteHome) -> None:
    text = unit_text(site, home)
    assert "User=" not in text
    assert "Protect" not in text
    assert parsed(text)["Install"]["WantedBy"] == "default.target"


def test_the_unit_that_install_sh_brought_is_left_alone(
    site: SiteConfig, home: SiteHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "SYSTEMS", tmp_path)
    shipped = (Path(__file__).resolve().parents[2] / "deploy" / "systemd" / NAME).read_text()
    (tmp_path / NAME).write_text(shipped)
    with pytest.raises(ConfigError, match="has that service already") as refusal:
        install_service(site, home)
    assert refusal.value.fix == f"systemctl start {NAME}"
    assert (tmp_path / NAME).read_text() == shipped


def test_where_systemd_does_not_run_it_writes_the_unit_and_says_what_to_type(
    site: SiteConfig, home: SiteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "systemd_runs", lambda: False)
    installed = install_service(site, home)
    assert installed.path == home.root / NAME
    assert installed.commands[0].startswith(f"cp {installed.path} ")
    assert installed.commands[-1].endswith(f"enable --now {NAME}")


def test_where_systemd_runs_the_unit_is_written_and_enabled(
    site: SiteConfig, home: SiteHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed: list[list[str]] = []

    class Done:
        returncode, stderr = 0, ""

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(unit, "systemd_runs", lambda: True)
    monkeypatch.setattr(unit.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(unit.subprocess, "run", lambda command, **_: typed.append(command) or Done())
    installed = install_service(site, home)
    assert installed.path == tmp_path / ".config/systemd/user" / NAME
    assert installed.path.read_text() == unit_text(site, home)
    assert not installed.commands
    assert [command[0] for command in typed] == ["loginctl", "systemctl", "systemctl"]
    assert typed[-1] == ["systemctl", "--user", "enable", "--now", NAME]
    Done.returncode, Done.stderr = 1, "Failed to connect to bus"
    with pytest.raises(ConfigError, match="Failed to connect to bus") as refusal:
        install_service(site, home)
    assert str(installed.path) in refusal.value.fix
