from pathlib import Path

import pytest

from core.records.home import home


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, "/me/.local/share/gliofed"),
        ("", "/me/.local/share/gliofed"),
        ("~/x", "/me/x"),
        ("/data/fl", "/data/fl"),
        ("fl", str(Path.cwd() / "fl")),
    ],
)
def test_home_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, setting: str | None, expected: str):
    monkeypatch.setenv("HOME", "/me")
    if setting is None:
        monkeypatch.delenv("FL_HOME")
    else:
        monkeypatch.setenv("FL_HOME", setting)

    assert home() == Path(expected)
