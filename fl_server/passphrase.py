"""Where the passphrase that opens the coordinator's keys comes from: a file that only it may read, or the keyboard."""

import os
import sys
from pathlib import Path

import typer

from core.errors import AccessError

VARIABLE = "FL_PASSPHRASE_FILE"
SHORTEST = 12


def ask_passphrase(*, new: bool = False) -> str:
    """Return the passphrase from the file that `$FL_PASSPHRASE_FILE` names, or ask at the terminal.

    Args:
        new: whether it is being set: then it is typed twice and has a least length.
    Raises: AccessError: there is neither a file nor a terminal, or it is too short.
    """
    path = os.environ.get(VARIABLE)
    if path:
        passphrase = _read(Path(path))
    elif sys.stdin.isatty():
        passphrase = typer.prompt("Passphrase of the coordinator's keys", hide_input=True, confirmation_prompt=new)
    else:
        raise AccessError(
            "The coordinator's keys are encrypted and there is nobody to ask for their passphrase",
            fix=f"name a file that holds it in {VARIABLE}; systemd's LoadCredential= makes one",
        )
    if new and len(passphrase) < SHORTEST:
        raise AccessError(f"The passphrase has {len(passphrase)} characters", fix=f"use {SHORTEST} or more")
    return passphrase


def _read(path: Path) -> str:
    try:
        mode, text = path.stat().st_mode, path.read_text("utf-8").rstrip("\n")
    except OSError as error:
        raise AccessError(
            f"The passphrase file {path} cannot be read ({error.strerror})", fix=f"mend {VARIABLE} or the file's rights"
        ) from None
    # systemd's newer credentials are root's and let the service in by an ACL, whose mask shows as the group's bits.
    if mode & (0o007 if _is_credential(path) else 0o077):
        raise AccessError(f"Others may read the passphrase file {path}", fix=f"chmod 600 {path}")
    return text


def _is_credential(path: Path) -> bool:
    """Say whether a file lies directly in the folder of systemd's credentials, which only this service may enter."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return folder != "" and path.resolve().parent == Path(folder).resolve()
