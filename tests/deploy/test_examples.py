"""The example files hold every setting, with its default, so that nobody has to read code to know what there is."""

import tomllib
from pathlib import Path

import pytest

from core.config import Section, load_config
from core.cost import SitePrices
from core.study import Study
from fl_client.config import SiteConfig
from fl_server.config import ServerConfig
from webapp.config import WebConfig

EXAMPLES = Path(__file__).resolve().parents[2] / "deploy" / "examples"


def settings_of(section: type[Section]) -> dict[str, object]:
    """Every setting's name, nested as in TOML; of sections to choose from, the default one's."""
    kinds = {
        name: type(field.default) if isinstance(field.default, Section) else field.annotation
        for name, field in section.model_fields.items()
    }
    return {
        name: settings_of(kind) if isinstance(kind, type) and issubclass(kind, Section) else None
        for name, kind in kinds.items()
    }


def names_in(table: dict[str, object]) -> dict[str, object]:
    return {name: names_in(value) if isinstance(value, dict) else None for name, value in table.items()}


@pytest.mark.parametrize(
    ("file", "model"),
    [("server.toml", ServerConfig), ("site.toml", SiteConfig), ("study.toml", Study), ("web.toml", WebConfig)],
)
def test_an_example_holds_every_setting_and_loads(file: str, model: type[Section]) -> None:
    load_config(model, EXAMPLES / file, {})
    expected = settings_of(model)
    if model is WebConfig:
        del expected["data"]  # the command line's
        expected["openid"]["roles"] = {}  # type: ignore[index]  # names of the hospital's own groups
    if model is ServerConfig:
        expected["prices"]["sites"] = {"north": settings_of(SitePrices)}  # type: ignore[index]  # a site's name
    assert names_in(tomllib.loads((EXAMPLES / file).read_text())) == expected


def test_the_example_study_is_the_default_study() -> None:
    assert load_config(Study, EXAMPLES / "study.toml", {}) == Study(name="example")
