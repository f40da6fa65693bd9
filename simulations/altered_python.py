"""A Python like this one with chosen modules altered once they are loaded: for what cannot be done from outside.

FOLDER/bin/python                  runs this Python with the alterations
FOLDER/site/sitecustomize.py       every Python looks for a module of this name when it starts
FOLDER/alterations/<module>.py     run in the module's own namespace
"""

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from core.files import write_atomically

_LOADER = """\
import sys
from importlib.machinery import PathFinder
from pathlib import Path

ALTERATIONS = {{path.stem: path for path in Path({folder!r}).glob("*.py")}}

class Altering:
    def find_spec(self, name, path=None, target=None):
        if name not in ALTERATIONS:
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            exec(ALTERATIONS[name].read_text(), module.__dict__)

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Altering())
"""


def altered_python(folder: Path, alterations: Mapping[str, str]) -> Path:
    """Make a Python with alterations, which what it starts with `sys.executable` has also.

    Args:
        folder: of its own.
        alterations: by a module's name, the source that is run in it.
    Returns: the program.
    """
    here = Path(sys.executable).parent
    programs = folder / "bin"
    programs.mkdir(parents=True)
    shutil.copy(here.parent / "pyvenv.cfg", folder)
    (folder / "lib").symlink_to(here.parent / "lib")
    for program in here.iterdir():
        if not program.name.startswith("python"):
            (programs / program.name).symlink_to(program)
    for name, source in alterations.items():
        write_atomically(folder / "alterations" / f"{name}.py", source)
    write_atomically(folder / "site" / "sitecustomize.py", _LOADER.format(folder=str(folder / "alterations")))
    python = programs / "python"
    name, real, site = (shlex.quote(str(path)) for path in (python, here / "python", folder / "site"))
    write_atomically(python, f'#!/bin/bash\nexport PYTHONPATH={site}\nexec -a {name} {real} "$@"\n')
    python.chmod(0o700)
    return python
