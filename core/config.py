"""One loader for every role's settings: TOML, then the environment, then validation."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import ConfigError


class Section(BaseModel):
    """A frozen group of settings in which an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


SettingsT = TypeVar("SettingsT", bound=Section)


def load_config(model: type[SettingsT], path: Path, environment: Mapping[str, str] | None = None) -> SettingsT:
    """Read one role's settings from TOML, overridden by `FL_SECTION__KEY` variables.

    Args:
        model: the role's settings.
        path: a TOML file.
        environment: variables to take overrides from; the process's own by default.
    Returns: the validated settings.
    Raises: ConfigError: the file is missing or not TOML, or settings are wrong: all of them in one message, each by its
        dotted name and without its value, which may be a secret.
    """
    try:
        settings = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no settings file {path}", fix="name an existing TOML file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", fix="name a TOML file you may read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", fix="mend the line it names") from None
    overlay(settings, os.environ if environment is None else environment, model)
    return validate(model, settings, str(path))


def overlay(settings: dict[str, Any], environment: Mapping[str, str], model: type[Section]) -> None:
    """Put `FL_SECTION__KEY` variables over the settings, in place, where the role has such a section.

    A section within one is named likewise: FL_STUDY__FEDERATION__ROUNDS.
    """
    for name, value in sorted(environment.items()):
        *sections, key = name.removeprefix("FL_").lower().split("__")
        if name.startswith("FL_") and sections and sections[0] in model.model_fields:
            table: Any = settings
            for section in sections:
                table = table.setdefault(section, {}) if isinstance(table, dict) else None
            if isinstance(table, dict):  # else the file is wrong, and validation says so
                table[key] = value


def validate(model: type[SettingsT], settings: Mapping[str, Any], source: str) -> SettingsT:
    """Check settings against a role's model.

    Raises: ConfigError: as `load_config`.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        problems = [_problem(e["loc"], e["msg"]) for e in error.errors(include_input=False)]
        raise ConfigError(
            f"{source} has {len(problems)} wrong setting(s): " + "; ".join(problems),
            fix="correct each setting named above",
        ) from None


def _problem(place: tuple[int | str, ...], message: str) -> str:
    """Return what is wrong where; what concerns several settings at once names them itself."""
    told = message.removeprefix("Value error, ")
    return f"{'.'.join(str(part) for part in place)}: {told}" if place else told
