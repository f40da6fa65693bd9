"""A researcher approves what a simulation trained, with a key of this home's own, so that it can be predicted with."""

from sqlalchemy import Engine

from core.errors import AccessError
from core.files import private_folder
from core.records.decisions import decide_version
from core.records.home import home, registry_folder
from core.records.registry import approve_version, approved_versions
from core.signing import load_key, make_key


def approve_here(records: Engine, version: str) -> None:
    """Approve and sign a version of this home's registry; one that is approved already stays as it is.

    Raises: AccessError: this home is a real coordinator's, whose key is encrypted.
    """
    keys = private_folder(home() / "keys")
    private, public = keys / "signing.key", keys / "signing.pub"
    if not private.exists():
        make_key(private, public)
    try:
        key = load_key(private)
    except AccessError:
        raise AccessError(
            f"{home()} is a coordinator's home, whose approvals are not for simulations",
            fix="set FL_HOME to another folder for simulations",
        ) from None
    if version not in approved_versions(registry_folder(), key.public_key()):
        approve_version(registry_folder(), version, key)
        decide_version(records, version, "approved", actor="researcher")
