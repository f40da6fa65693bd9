"""What the coordinator asks of Flower's SuperLink, through the public `flwr` command and its JSON answers alone."""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from core.errors import AccessError, FederationError
from fl_server.superlink import CONNECTION, flower_environment, script

# A start of the command takes 2 seconds of CPU; a busy machine makes it many.
TIMEOUT_S = 120.0
_START_IT = "start the coordinator with fl-server start, and look into logs/superlink.log"


def register_node(home: Path, public_key: str, site: str) -> str:
    """Make a site's node known to SuperLink.

    Args:
        home: the coordinator's home.
        public_key: the node's, OpenSSH, on a NIST curve.
        site: the name that rounds will know the node by.
    Returns: the node's id.
    Raises:
        AccessError: SuperLink knows this key already, and takes each only once, for ever.
        FederationError: SuperLink cannot be asked, or does not take the key.
    """
    with tempfile.TemporaryDirectory(dir=home / "flower") as folder:
        path = Path(folder) / "node.pub"
        path.write_text(public_key, "ascii", "replace")
        try:
            answer = _flwr(home, "supernode", "register", str(path), CONNECTION, "--name", site)
        except FederationError as error:
            if "already in use" in error.problem:
                raise AccessError(
                    "The node key was registered before", fix="join again with fl-client, which makes a new one"
                ) from None
            raise
    return str(answer["node-id"])


def unregister_node(home: Path, node_id: str) -> None:
    """Make SuperLink refuse a node from now on.

    Raises: FederationError: SuperLink cannot be asked, or does not know the node.
    """
    _flwr(home, "supernode", "unregister", _number(node_id), CONNECTION)


def start_run(home: Path, bundle: Path, run: str) -> str:
    """Let Flower start a ServerApp.

    Args:
        home: the coordinator's home.
        bundle: folder of the study's app.
        run: our name for the run, the only thing that the run-config tells.
    Returns: Flower's name for it.
    Raises: FederationError: SuperLink cannot be asked, or the app cannot be built.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", run):
        raise FederationError("This is no name for a run", fix="use letters, digits, dots and hyphens")
    answer = _flwr(home, "run", str(bundle.absolute()), CONNECTION, "--run-config", f'run="{run}"')
    return str(answer["run-id"])


def stop_run(home: Path, flower_run: str) -> None:
    """Let Flower stop a run.

    Raises: FederationError: SuperLink cannot be asked, does not know the run, or it has ended.
    """
    _flwr(home, "stop", _number(flower_run), CONNECTION)


def build_bundle(home: Path, folder: Path) -> Path:
    """Build the app bundle of a study, byte for byte what `start_run` sends.

    Args:
        home: the coordinator's home.
        folder: of the study's app; its name has no underscore.
    Returns: the bundle, beside the folder: its name with .fab.
    Raises: FederationError: Flower does not take the app.
    """
    target = folder.absolute().with_name(f"{folder.name}.fab")
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent) as scratch:
        done = _command(home, "build", "--app", str(folder.absolute()), cwd=Path(scratch))
        built = list(Path(scratch).glob("*.fab"))
        if done.returncode or len(built) != 1:
            raise FederationError(
                f"Flower does not build {folder.name}: {_last_line(done.stderr)}", fix="launch the study again"
            )
        built[0].replace(target)
    return target


def _flwr(home: Path, *arguments: str) -> dict[str, Any]:
    done = _command(home, *arguments, "--format", "json", cwd=home / "flower")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    if done.returncode or not isinstance(answer, dict) or not answer.get("success"):
        message = answer.get("error-message") if isinstance(answer, dict) else None
        raise FederationError(
            f"Flower's `{arguments[0]}` failed: {_last_line(str(message or done.stderr))}", fix=_START_IT
        )
    return answer


def _command(home: Path, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603 (our own command line)
            [str(script("flwr")), *arguments],
            env=flower_environment(home),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FederationError(f"Flower's `{arguments[0]}` took over {TIMEOUT_S:.0f} seconds", fix=_START_IT) from None
    except OSError as error:
        raise FederationError(f"Flower's command cannot run ({error.strerror})", fix="install GlioFed anew") from None


def _number(text: str) -> str:
    if not text.isdigit():  # also keeps an option out of the command line
        raise FederationError("This is no number of Flower's", fix="see `fl-server sites` and `fl-server status`")
    return text


def _last_line(text: str) -> str:
    lines = [line.strip(" │╭╮╰╯─") for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith("For more information")]
    return (said or ["it said nothing"])[-1][:300]
