"""`fl-simulate` where only a site's program is installed."""

import sys

import pytest

from core.errors import ConfigError
from simulations import cli


def test_without_its_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["fl-simulate", "split", "a", "b"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == ConfigError.exit_code
    assert "gliofed[simulation]" in capsys.readouterr().err
