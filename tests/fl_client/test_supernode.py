"""Flower's real programs, as a site starts them, behind a real gate."""

import signal
import tomllib
from collections import Counter
from pathlib import Path
from threading import Event

import httpx
import pytest
from cryptography.hazmat.primitives.serialization.ssh import load_ssh_private_key, load_ssh_public_key
from flwr.proto.runtime_pb2 import AcquireTaskRequest

from core.files import private_folder
from fl_client import gate as gates
from fl_client.paths import SiteHome
from fl_client.relay import Answer
from fl_client.supernode import command, environment, make_node_key, prepare, superexec_command
from fl_client.traffic import Traffic
from tests.factories_ports import free_port
from tests.fl_client.factories_fleet import Call, as_superlink, coordinator, make_pki
from tests.fl_client.factories_gate import gate
from tests.fl_client.factories_processes import started

NOT_LET_IN = Answer(412, "application/json", b'{"code": 2004, "detail": "Failed to activate SuperNode."}')


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    home = SiteHome(tmp_path)
    make_pki(private_folder(tmp_path / "pki"))
    make_node_key(home.node_key, home.node_public)
    prepare(home, {"trainer": str(home.trainer)})
    return home


def test_a_real_supernode_survives_what_would_end_it_and_is_seen_again(
    home: SiteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused at first like one that has crashed; then 500, 413 and cut connections, on its loop and its heartbeat."""
    monkeypatch.setattr(gates, "HOLD_S", 0.0)  # every failure reaches SuperNode
    failures: dict[str, list[Answer | None]] = {
        "activate-node": [NOT_LET_IN, None, Answer(500, "", b"")],
        "send-node-heartbeat": [Answer(500, "", b""), None],
        "pull-messages": [Answer(500, "", b""), Answer(413, "", b""), None, Answer(404, "", b"")],
    }
    seen_again = Event()
    fine: Counter[str] = Counter()

    def answering(call: Call) -> Answer:
        if failures.get(call.name):
            failure = failures[call.name].pop(0)
            if failure is None:
                raise ConnectionResetError
            return failure
        fine[call.name] += 1
        if fine["pull-messages"] >= 2 and fine["send-node-heartbeat"] >= 1:
            seen_again.set()
        return as_superlink(call)

    traffic = Traffic()
    with (
        coordinator(home.root / "pki", answering) as there,
        gate(home.root / "pki", there.address, traffic=traffic) as port,
    ):
        with started(*command(home, port, free_port()), home.root) as process:
            assert seen_again.wait(120)
            assert process.poll() is None
            assert traffic.polled_at
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        assert "deactivate-node" in there.names()
        assert {call.site for call in there.calls} == {"north"}


def test_nobody_takes_a_task_from_supernode_without_the_secret(home: SiteHome) -> None:
    asked = Event()

    def answering(call: Call) -> Answer:
        if call.name == "pull-messages":
            asked.set()
        return as_superlink(call)

    runtime = free_port()
    body = AcquireTaskRequest(supported_task_types=["clientapp"]).SerializeToString()
    with (
        coordinator(home.root / "pki", answering) as there,
        gate(home.root / "pki", there.address) as port,
        started(*command(home, port, runtime), home.root),
    ):
        assert asked.wait(60)
        answer = httpx.post(
            f"http://127.0.0.1:{runtime}/v1/runtime/acquire-task",
            content=body,
            headers={"content-type": "application/protobuf", "accept": "application/protobuf"},
            trust_env=False,
        )
        assert answer.status_code == 401


def test_command_lines_and_variables_hold_no_secret(home: SiteHome) -> None:
    secrets = [path.read_text() for path in (home.node_key, home.key, home.run / "superexec.secret")]
    for argv, variables in (command(home, 1, 2), superexec_command(home, 2)):
        for text in [*argv, *variables.values()]:
            assert not any(secret in text or text in secret for secret in secrets if len(text) > 20)


def test_what_is_secret_is_for_this_account_alone(home: SiteHome) -> None:
    for path in (home.node_key, home.run / "node.toml", home.run / "superexec.secret", home.root / "pki" / "gate.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert home.run.stat().st_mode & 0o777 == 0o700


def test_flower_finds_our_shims_first_and_no_proxy(home: SiteHome, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "SSLKEYLOGFILE", "FL_DATABASE__URL"):
        monkeypatch.setenv(name, "http://elsewhere.example")
    variables = environment(home)
    assert "elsewhere" not in str(variables)
    assert variables["PATH"].split(":")[0] == str(home.run / "shims")
    assert (variables["FLWR_TELEMETRY_ENABLED"], variables["FLWR_DISABLE_UPDATE_CHECK"]) == ("0", "1")
    assert variables["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"


def test_the_nodes_configuration_is_read_back_as_it_was(home: SiteHome) -> None:
    awkward = {"trainer": '/srv/a "b"\\c/ü\t.sock', "empty": ""}
    prepare(home, awkward)
    assert tomllib.loads((home.run / "node.toml").read_text("utf-8")) == awkward


def test_the_nodes_keys_are_a_pair_that_flower_reads(home: SiteHome) -> None:
    private = load_ssh_private_key(home.node_key.read_bytes(), None)
    public = load_ssh_public_key(home.node_public.read_bytes())
    assert private.public_key() == public
    assert private.curve.name == "secp384r1"
    assert home.node_public.read_text().startswith("ecdsa-sha2-nistp384 ")
