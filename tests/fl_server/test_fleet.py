"""What the coordinator asks of a real SuperLink, which runs with its secret, known nodes only and its state on disk."""

import hashlib
import json
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from core.errors import AccessError, FederationError
from core.study import Study
from fl_server import fleet
from fl_server.bundle import write_bundle
from fl_server.fleet import build_bundle, register_node, start_run, stop_run, unregister_node
from fl_server.superlink import (
    CONNECTION,
    flower_environment,
    script,
    superexec_process,
    superlink_process,
    write_flower,
)
from tests.factories_ports import free_port
from tests.fl_server.factories_coordinator import (
    Coordinator,
    accepts,
    coordinator,
    node_key,
    running,
    wait_for,
)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def of(port: int) -> Iterator[Coordinator]:
    with coordinator() as made:
        write_flower(made.home, port)
        with running(superlink_process(made.home, port)):
            wait_for(lambda: accepts("127.0.0.1", port), "SuperLink listens")
            yield made


@pytest.fixture(scope="module")
def app(of: Coordinator) -> Path:
    write_bundle(Study(name="glioma"), of.home / "studies" / "glioma")
    return of.home / "studies" / "glioma"


def runs(home: Path) -> dict[str, dict[str, str]]:
    command = [str(script("flwr")), "ls", CONNECTION, "--format", "json"]
    said = subprocess.run(command, env=flower_environment(home), capture_output=True, check=True).stdout
    return {run["run-id"]: run for run in json.loads(said)["runs"]}


def test_a_node_is_registered_once_and_forgotten_once(of: Coordinator) -> None:
    key = node_key()
    node = register_node(of.home, key, "north")
    assert node.isdigit()
    with pytest.raises(AccessError, match="registered before") as error:
        register_node(of.home, key, "north")
    assert "new one" in error.value.fix
    unregister_node(of.home, node)
    with pytest.raises(FederationError, match="not found"):
        unregister_node(of.home, node)
    with pytest.raises(AccessError, match="registered before"):  # also a forgotten key stays known
        register_node(of.home, key, "north")


def test_a_run_ships_byte_for_byte_the_bundle_that_was_built_and_reviewed(of: Coordinator, app: Path) -> None:
    bundle = build_bundle(of.home, app)
    assert bundle == app.with_name("glioma.fab")
    before = {path: path.read_bytes() for path in app.rglob("*") if path.is_file()}
    run = start_run(of.home, app, "glioma-1")
    assert runs(of.home)[run]["fab-hash"] == hashlib.sha256(bundle.read_bytes()).hexdigest()
    assert {path: path.read_bytes() for path in app.rglob("*") if path.is_file()} == before
    assert build_bundle(of.home, app).read_bytes() == bundle.read_bytes()


def test_a_run_is_stopped_once(of: Coordinator, app: Path) -> None:
    run = start_run(of.home, app, "glioma-2")
    stop_run(of.home, run)
    assert runs(of.home)[run]["status"] == "finished:stopped"
    with pytest.raises(FederationError, match="already finished"):
        stop_run(of.home, run)


def test_superexec_starts_the_server_app_where_it_finds_this_home(of: Coordinator, app: Path, port: int) -> None:
    seen = of.home / "seen.json"
    (app / "gliofed_study" / "server.py").write_text(
        "import json, os\nfrom pathlib import Path\nfrom flwr.serverapp import ServerApp\napp = ServerApp()\n"
        "@app.main()\ndef main(grid, context):\n"
        "    told = {'home': os.environ['FL_HOME'], 'run': context.run_config['run'], 'path': os.environ['PATH'],\n"
        "        'secret': os.environ.get('FL_PASSPHRASE_FILE')}\n"
        "    Path(os.environ['FL_HOME'], 'seen.json').write_text(json.dumps(told))\n"
    )
    with running(superexec_process(of.home, port)):
        start_run(of.home, app, "glioma-3")
        wait_for(lambda: seen.exists() and bool(seen.read_text()), "the ServerApp has run")
    told = json.loads(seen.read_text())
    assert (told["home"], told["run"], told["secret"]) == (str(of.home), "glioma-3", None)
    assert told["path"].startswith(f"{script('flwr').parent}:")


def test_a_task_is_handed_to_nobody_without_the_secret(of: Coordinator, port: int) -> None:
    """With Flower's default isolation whoever reached this call could take a ServerApp's place."""
    ca = ssl.create_default_context(cafile=str(of.home / "pki" / "ca.crt"))
    protobuf = {"Content-Type": "application/protobuf"}
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=ca, trust_env=False, headers=protobuf) as local:
        runtime = [path for path in local.get("/openapi.json").json()["paths"] if path.startswith("/v1/runtime/")]
        assert len(runtime) == 22
        assert {path: local.post(path).status_code for path in runtime} == dict.fromkeys(runtime, 401)


def test_a_name_or_number_that_is_none_never_reaches_a_command_line(of: Coordinator, app: Path) -> None:
    for run in ("", "a b", 'a" x="1', "../x", "-x", "x" * 81):
        with pytest.raises(FederationError, match="no name"):
            start_run(of.home, app, run)
    for number in ("", "--help", "1; rm", "-1"):
        with pytest.raises(FederationError, match="no number"):
            unregister_node(of.home, number)
        with pytest.raises(FederationError, match="no number"):
            stop_run(of.home, number)


def test_an_app_that_flower_does_not_take_is_said(of: Coordinator, tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="does not build"):
        build_bundle(of.home, tmp_path / "nothing-there")
    assert not list(tmp_path.iterdir())


def test_a_superlink_that_is_down_is_said_with_what_to_do(app: Path) -> None:
    with coordinator() as of:
        write_flower(of.home, free_port())
        with pytest.raises(FederationError, match="unavailable") as error:
            start_run(of.home, app, "glioma-4")
        assert "fl-server start" in error.value.fix


def test_a_command_that_hangs_is_given_up(of: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "TIMEOUT_S", 0.01)
    with pytest.raises(FederationError, match="took over"):
        unregister_node(of.home, "1")


def test_flowers_processes_get_what_they_need_and_no_more(of: Coordinator) -> None:
    given = {
        "FL_HOME": "/another",
        "FL_DATABASE__URL": "mysql+pymysql://u:p@h/d",
        "FL_PASSPHRASE_FILE": "/run/passphrase",
        "HTTPS_PROXY": "http://proxy:3128",
        "AWS_SECRET": "x",
        "LANG": "C.UTF-8",
        "PATH": "/evil",
    }
    environment = flower_environment(of.home, given)
    assert environment["FL_HOME"] == str(of.home)
    assert environment["FL_DATABASE__URL"] == given["FL_DATABASE__URL"]
    assert environment["LANG"] == "C.UTF-8"
    assert (environment["FLWR_TELEMETRY_ENABLED"], environment["FLWR_DISABLE_UPDATE_CHECK"]) == ("0", "1")
    assert not {"FL_PASSPHRASE_FILE", "HTTPS_PROXY", "AWS_SECRET"} & set(environment)
    assert "/evil" not in environment["PATH"]


def test_the_secret_is_this_accounts_alone_in_no_command_line_and_kept(of: Coordinator, port: int) -> None:
    secret = of.home / "flower" / "superexec.secret"
    text = secret.read_text()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(text) == 64
    write_flower(of.home, port)
    assert secret.read_text() == text
    for process in (superlink_process(of.home, port), superexec_process(of.home, port)):
        assert text not in " ".join(process.argv) + " ".join(process.environment.values())
    assert "--host=127.0.0.1" in superlink_process(of.home, port).argv
