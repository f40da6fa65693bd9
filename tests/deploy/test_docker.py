"""What can be said of image and trial without a Docker engine: how closed they are, and that what they type exists."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.x509 import DNSName, SubjectAlternativeName, load_pem_x509_certificate
from typer.main import get_command

import fl_client.cli
import fl_server.cli
import simulations.cli
import webapp.cli
from core.config import load_config
from core.study import Study
from fl_client.config import SiteConfig
from fl_client.policy import reasons_against

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "deploy" / "docker"
TRIAL = DOCKER / "trial"
PROGRAMS = {
    "fl-client": fl_client.cli.app,
    "fl-server": fl_server.cli.app,
    "fl-simulate": simulations.cli.app,
    "fl-web": webapp.cli.app,
}
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SIDES = ("patients", "coordinator", "study", "north", "south")
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))


def side_of(name: str) -> str:
    (side,) = [side for side in SIDES if name == side or name.startswith(f"{side}-")]
    return "coordinator" if side == "study" else side


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = shutil.which("hadolint")
    assert hadolint, "hadolint is missing: make test installs it"
    done = subprocess.run([hadolint, DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_names_no_registry_and_runs_as_a_number() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    assert re.findall(r"https?://[^\s\"]+", "\n".join(lines)) == []
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001", "USER 0", "USER 10001:10001"]
    # What a build without a target makes is the stage that has become an ordinary account's.
    assert [line for line in lines if line.startswith("FROM")][-1] == "FROM runtime"


def test_the_trials_image_is_built_once_and_never_pulled() -> None:
    assert {(service["image"], service["pull_policy"]) for service in SERVICES.values()} == {("gliofed:trial", "never")}
    built = [service["build"] for service in SERVICES.values() if "build" in service]
    assert [(DOCKER / build["context"] / build["dockerfile"]).resolve() for build in built] == [DOCKER / "Dockerfile"]


@each_service
def test_a_container_can_do_no_more_than_an_account_without_rights(service: dict[str, Any]) -> None:
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"][0].startswith("/tmp:")
    assert service["mem_limit"] and service["cpus"] and service["pids_limit"]
    opened = {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode", "secrets", "configs", "env_file"}
    assert not opened & service.keys()


@each_service
def test_a_port_is_published_on_loopback_only(service: dict[str, Any]) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@each_service
def test_no_secret_is_in_the_environment(service: dict[str, Any]) -> None:
    environment = service.get("environment", {})
    assert environment.keys() <= {"FL_HOME", "FL_PASSPHRASE_FILE", "FL_SITE__NAME", "FL_SITE__SERVES"}
    assert environment.get("FL_PASSPHRASE_FILE", "/srv/passphrase/passphrase") == "/srv/passphrase/passphrase"


@each_service
def test_a_service_that_others_wait_for_can_be_waited_for(service: dict[str, Any]) -> None:
    for name, how in service.get("depends_on", {}).items():
        other = SERVICES[name]
        if how["condition"] == "service_healthy":
            assert other["restart"] == "unless-stopped" and other["healthcheck"]["test"]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert other["restart"] == "no"


def test_each_hospital_reaches_the_coordinator_and_nothing_else() -> None:
    members = defaultdict(set)
    for name, service in SERVICES.items():
        # Without either a container is on a network that all share, and that leads out.
        assert (service.get("network_mode") == "none") != bool(service.get("networks")), name
        for network in service.get("networks", []):
            members[network].add(name)
    assert members == {
        "north": {"coordinator", "north-join", "north", "north-models"},
        "south": {"coordinator", "south-join", "south"},
        "outside": {"coordinator"},
        "north-desks": {"north-pages", "north-visit"},
        "coordinator-desks": {"coordinator-pages"},
    }
    assert members.keys() == COMPOSE["networks"].keys()
    closed = {name for name, network in COMPOSE["networks"].items() if network and network.get("internal")}
    assert closed == {"north", "south"}


def test_a_volume_that_two_sides_share_hands_over_scans_or_an_invitation() -> None:
    sides, writers = defaultdict(set), defaultdict(set)
    for name, service in SERVICES.items():
        for volume in service["volumes"]:
            source, _, how = volume.partition(":")
            sides[source].add(side_of(name))
            if not how.endswith(":ro"):
                writers[source].add(side_of(name))
    # Only named volumes: no folder of the machine, and no socket of its engine, is in a container.
    assert sides.keys() == COMPOSE["volumes"].keys()
    assert {source: found for source, found in sides.items() if len(found) > 1} == {
        "north-scans": {"patients", "north"},
        "south-scans": {"patients", "south"},
        "east-scans": {"patients", "north"},
        "north-invitation": {"coordinator", "north"},
        "south-invitation": {"coordinator", "south"},
    }
    assert not [source for source, found in writers.items() if len(found) > 1]


def typed_in(path: Path) -> list[list[str]]:
    """The commands of ours in a script: up to where the shell takes over, or as a Python file calls them."""
    if path.suffix == ".py":
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        of_server = [one for one in calls if isinstance(one.func, ast.Name) and one.func.id == "fl_server"]
        return [
            ["fl-server", *(word.value if isinstance(word, ast.Constant) else "x" for word in one.args)]
            for one in of_server
        ]
    found = []
    for line in path.read_text().splitlines():
        words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
        starts = [number for number, word in enumerate(words) if word in PROGRAMS]
        for start in starts:
            ends = [number for number, word in enumerate(words) if number > start and set(word) <= set("<>|&;()")]
            found.append(words[start : (ends or [len(words)])[0]])
    return found


def test_every_command_of_ours_that_the_trial_types_exists_with_its_options() -> None:
    typed = [service["command"] for service in SERVICES.values() if service["command"][0] in PROGRAMS]
    for path in [*DOCKER.rglob("*.py"), *DOCKER.rglob("*.sh")]:
        typed += typed_in(path)
    named = {(words[0], words[1]) for words in typed}
    assert len(named) >= 14
    for program, *arguments in typed:
        command: Any = get_command(PROGRAMS[program])
        while hasattr(command, "commands"):
            name, *arguments = arguments
            command = command.commands[name]
        command.make_context(command.name, arguments)


def test_every_file_that_the_trial_names_is_in_it() -> None:
    texts = [(DOCKER / "compose.yaml").read_text(), *(path.read_text() for path in DOCKER.rglob("*.sh"))]
    named = {name for text in texts for name in re.findall(r"/trial/([a-z.]+)", text)}
    assert named == {path.name for path in TRIAL.iterdir()}


@pytest.mark.parametrize("name", ["north", "south"])
def test_a_hospital_of_the_trial_approves_its_study_by_rule(name: str) -> None:
    site = load_config(SiteConfig, TRIAL / "site.toml", {"FL_SITE__NAME": name})
    study = load_config(Study, TRIAL / "study.toml", {})
    assert site.site.name == name
    assert site.preprocessing == study.preprocessing
    assert reasons_against(study, site.policy, ()) == []
    assert study.federation.quorum == 2


def test_the_certificate_of_the_trials_pages_stands_for_the_name_that_a_visitor_types(tmp_path: Path) -> None:
    shutil.copy(TRIAL / "web.toml", tmp_path)
    subprocess.run([sys.executable, TRIAL / "certificate.py", tmp_path], cwd=ROOT, check=True)
    certificate = load_pem_x509_certificate((tmp_path / "tls" / "certificate.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    assert names.get_values_for_type(DNSName) == ["localhost", "web"]
    assert SERVICES["north-pages"]["networks"]["north-desks"]["aliases"] == ["web"]
    assert SERVICES["north-visit"]["command"][-1] == "https://web:8443"
