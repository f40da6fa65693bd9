"""Whose file a passphrase is taken from. Beside it the commands themselves, in test_cli.py."""

from pathlib import Path

import pytest

from core.errors import AccessError
from fl_server.passphrase import VARIABLE, ask_passphrase

PASSPHRASE = "correct horse battery"


def a_file(folder: Path, mode: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(mode)
    return path


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as systemd makes it for a service that has LoadCredential=."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    return tmp_path / "credentials"


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600])
def test_a_credential_of_systemd_s_is_taken_whatever_its_group_seems_to_be_allowed(
    credentials: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.setenv(VARIABLE, str(a_file(credentials, mode)))
    assert ask_passphrase() == PASSPHRASE


@pytest.mark.parametrize("mode", [0o444, 0o442, 0o601])
def test_a_credential_that_everybody_may_use_is_refused(
    credentials: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.setenv(VARIABLE, str(a_file(credentials, mode)))
    with pytest.raises(AccessError, match="Others may read"):
        ask_passphrase()


@pytest.mark.parametrize("folder", ["elsewhere", "credentials/deeper", "credentials/../elsewhere", "."])
def test_a_file_that_lies_elsewhere_is_its_owner_s_alone_or_refused(
    credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    credentials.mkdir()
    path = a_file(tmp_path / folder, 0o440)
    monkeypatch.setenv(VARIABLE, str(path))
    with pytest.raises(AccessError, match="Others may read"):
        ask_passphrase()
    path.chmod(0o400)
    assert ask_passphrase() == PASSPHRASE


def test_a_link_among_the_credentials_counts_as_what_it_leads_to(
    credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials.mkdir()
    (credentials / "passphrase").symlink_to(a_file(tmp_path / "elsewhere", 0o440))
    monkeypatch.setenv(VARIABLE, str(credentials / "passphrase"))
    with pytest.raises(AccessError, match="Others may read"):
        ask_passphrase()


@pytest.mark.parametrize("directory", [None, ""])
def test_without_credentials_the_group_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    if directory is not None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", directory)
    monkeypatch.setenv(VARIABLE, str(a_file(tmp_path, 0o440)))
    with pytest.raises(AccessError, match="Others may read"):
        ask_passphrase()
