"""A study as one Flower app bundle: a stub for each side and study.toml, so that one SHA-256 covers every setting.

The stub's module is named unlike our packages, which it would hide; it brings no dependencies, so nothing is installed.
"""

from pathlib import Path

import tomli_w

from core.files import write_atomically
from core.study import Study, settings_to_share

MODULE = "gliofed_study"
CLIENT = '''"""This hospital's side of the study: GlioFed's own app with the settings beside this file."""

from pathlib import Path

from fl_client.client_app import make_client_app

app = make_client_app(Path(__file__).parent / "study.toml")
'''
SERVER = '''"""The coordinator's side of the study: GlioFed's own app with the settings beside this file."""

from pathlib import Path

from fl_server.server_app import make_server_app

app = make_server_app(Path(__file__).parent / "study.toml")
'''


def write_bundle(study: Study, folder: Path) -> str:
    """Write a study's app folder, which Flower builds its bundle from.

    Args:
        study: every setting; defaults are written out, so that a later release's others do not change it.
        folder: made if missing.
    Returns: the text of its study.toml.
    """
    settings = tomli_w.dumps(settings_to_share(study))
    app = {
        "project": {
            "name": f"gliofed-{study.name}",
            "version": "1.0.0",
            "description": f"The GlioFed study {study.name}",
            "license": "Apache-2.0",
            "dependencies": [],
        },
        "tool": {
            "flwr": {
                "app": {
                    "publisher": "gliofed",
                    "components": {"serverapp": f"{MODULE}.server:app", "clientapp": f"{MODULE}.client:app"},
                    "config": {"run": ""},
                }
            }
        },
    }
    write_atomically(folder / "pyproject.toml", tomli_w.dumps(app))
    for name, text in (("__init__.py", ""), ("client.py", CLIENT), ("server.py", SERVER), ("study.toml", settings)):
        write_atomically(folder / MODULE / name, text)
    return settings
