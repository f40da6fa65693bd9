from pathlib import Path

import pytest
from pydantic import SecretStr, model_validator

from core.config import Section, load_config
from core.errors import ConfigError


class Tuning(Section):
    batch_size: int = 4
    learning_rate: float = 0.1


class Access(Section):
    token: SecretStr = SecretStr("")


class Role(Section):
    name: str
    tuning: Tuning = Tuning()
    access: Access = Access()


def settings(folder: Path, text: str) -> Path:
    path = folder / "role.toml"
    path.write_text(text)
    return path


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = settings(tmp_path, 'name = "north"\n[tuning]\nbatch_size = 8')
    config = load_config(Role, path, {"FL_TUNING__BATCH_SIZE": "2", "FL_HOME": "/x", "TUNING__BATCH_SIZE": "3"})
    assert (config.name, config.tuning.batch_size, config.tuning.learning_rate) == ("north", 2, 0.1)


def test_the_environment_reaches_a_section_within_one(tmp_path: Path) -> None:
    class Study(Section):
        role: Role

    path = settings(tmp_path, '[role]\nname = "north"\n[role.tuning]\nlearning_rate = 0.5')
    study = load_config(Study, path, {"FL_ROLE__TUNING__BATCH_SIZE": "2", "FL_ROLE__NAME": "south"})
    assert (study.role.name, study.role.tuning) == ("south", Tuning(batch_size=2, learning_rate=0.5))


def test_a_variable_for_another_role_is_left_alone(tmp_path: Path) -> None:
    assert load_config(Role, settings(tmp_path, 'name = "n"'), {"FL_DATABASE__URL": "x"}).name == "n"


def test_all_wrong_settings_are_told_at_once_by_dotted_name_and_without_their_values(tmp_path: Path) -> None:
    path = settings(tmp_path, 'nome = "x"\n[tuning]\nbatch_size = "sesame"\n[access]\ntoken = ["hunter2"]')
    with pytest.raises(ConfigError) as raised:
        load_config(Role, path, {})
    text = raised.value.problem
    assert "4 wrong setting(s)" in text
    assert all(name in text for name in ("name", "nome", "tuning.batch_size", "access.token"))
    assert "sesame" not in text
    assert "hunter2" not in text


def test_settings_that_do_not_go_together_are_told_in_our_words(tmp_path: Path) -> None:
    class Band(Section):
        low: int
        high: int

        @model_validator(mode="after")
        def _rises(self) -> "Band":
            if self.low >= self.high:
                raise ValueError("low must be below high")
            return self

    path = settings(tmp_path, "low = 3\nhigh = 2")
    with pytest.raises(ConfigError) as raised:
        load_config(Band, path, {})
    assert raised.value.problem == f"{path} has 1 wrong setting(s): low must be below high"


@pytest.mark.parametrize(
    "make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("= 3"), lambda p: p.write_bytes(b"\xff\xfe")]
)
def test_what_is_not_a_settings_file_is_refused_with_a_fix(tmp_path: Path, make) -> None:
    path = tmp_path / "role.toml"
    make(path)
    with pytest.raises(ConfigError) as raised:
        load_config(Role, path, {})
    assert raised.value.fix


def test_settings_cannot_be_changed_once_read(tmp_path: Path) -> None:
    config = load_config(Role, settings(tmp_path, 'name = "n"'), {})
    with pytest.raises(ValueError, match="frozen"):
        config.name = "m"


def test_a_variable_over_what_should_have_been_a_section_is_no_crash(tmp_path: Path) -> None:
    for variable in ("FL_TUNING__BATCH_SIZE", "FL_TUNING__BATCH_SIZE__MOST"):
        with pytest.raises(ConfigError, match="tuning"):
            load_config(Role, settings(tmp_path, 'name = "n"\ntuning = 3'), {variable: "2"})
