from pathlib import Path

import pytest

from core.config import load_config
from core.errors import ConfigError
from core.study import Study, study_of
from fl_client.config import SiteConfig, load_site
from fl_client.paths import SiteHome, this_home
from tests.fl_client.factories_site import make_home


def test_a_site_without_a_federation_needs_no_coordinator(tmp_path: Path) -> None:
    site = load_site(make_home(tmp_path))
    assert (site.coordinator.address, site.proxy.url) == ("", "")


def test_a_proxys_password_is_never_shown(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.settings.write_text(home.settings.read_text() + '[proxy]\nurl = "http://me:secret@proxy:3128"\n')
    assert "secret" not in repr(load_site(home))
    home.settings.write_text(home.settings.read_text().replace("http:", "socks:"))
    with pytest.raises(ConfigError, match=r"proxy\.url") as refusal:
        load_site(home)
    assert "secret" not in refusal.value.problem


def test_a_variable_overrides_the_address(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    site = load_config(SiteConfig, home.settings, {"FL_COORDINATOR__ADDRESS": "fl.example.org:8443"})
    assert site.coordinator.address == "fl.example.org:8443"


def test_a_home_without_settings_says_how_to_get_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FL_HOME", str(tmp_path / "new"))
    assert this_home() == SiteHome(tmp_path / "new")
    with pytest.raises(ConfigError) as refusal:
        load_site(this_home())
    assert "fl-client join INVITE" in refusal.value.fix


def test_a_study_is_what_its_text_says_whatever_this_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FL_MODEL__PRESET", "base")
    assert study_of('name = "tiny"\n[model]\npreset = "tiny"\n').model.preset == "tiny"
    assert study_of('name = "example"') == Study(name="example")
    for text in ("name = ", 'name = "Tiny"', "seed = 3", 'name = "tiny"\nstranger = 1'):
        with pytest.raises(ConfigError):
            study_of(text)
