"""The edge of every command: how a failure is told to the person at the terminal."""

from collections.abc import Callable
from typing import NoReturn

import typer

from core.errors import FLError


def run(app: Callable[[], object]) -> None:
    """Run a command line; an expected failure becomes its problem and its fix on standard error, and its exit code."""
    try:
        app()
    except FLError as error:
        _tell(error)
    except OSError as error:
        problem = f"{error.strerror or type(error).__name__}: {error.filename or 'a file'}"
        _tell(FLError(problem, fix="check that the path exists, may be used and has room"))


def _tell(error: FLError) -> NoReturn:
    typer.echo(f"Problem: {error.problem}\nFix: {error.fix}", err=True)
    raise SystemExit(error.exit_code) from None
