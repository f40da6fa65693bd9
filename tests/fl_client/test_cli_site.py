"""A hospital's three commands and the rest, against a coordinator on loopback."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from core.errors import AccessError, ConfigError, ConnectionProblem, FederationError, FLError
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of, named
from core.records.registry import add_version, approve_version, retire_version
from core.study import ModelSettings, Study
from fl_client.cli import main
from fl_client.config import load_site
from fl_client.coordinator import Coordinator
from fl_client.offers import fetch_offers
from fl_client.paths import SiteHome
from fl_client.progress import Progress, ProgressFile
from fl_client.site_records import SiteRecords
from fl_client.spool import Spool
from tests.fl_client.factories_coordinator import ScriptedCoordinator
from tests.fl_client.factories_site import events

TOML = 'name = "tiny"\n'


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


class Command(Protocol):
    def __call__(self, *arguments: str | Path, home: Path) -> Done: ...


def as_process(*arguments: str | Path, home: Path) -> Done:
    command = [sys.executable, "-m", "fl_client", *map(str, arguments)]
    environment = {"FL_HOME": str(home), "PATH": "", "TERM": "dumb", "COLUMNS": "120"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def fl_client(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process, which has imported everything already."""

    def run(*arguments: str | Path, home: Path) -> Done:
        monkeypatch.setenv("FL_HOME", str(home))
        monkeypatch.setattr(sys, "argv", ["fl-client", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Done(int(ended.value.code or 0), told.out, told.err)

    return run


def test_help_teaches_with_an_example(fl_client: Command, tmp_path: Path) -> None:
    commands = ["join", "check", "start", "status", "approve", "refuse", "ledger", "leave", "verify"]
    for command in (*commands, "models pull"):
        done = fl_client(*command.split(), "--help", home=tmp_path)
        assert done.returncode == 0
        assert f"Example: fl-client {command}" in done.stdout


def test_a_site_joins_answers_looks_and_leaves(
    fl_client: Command, coordinator: ScriptedCoordinator, tmp_path: Path
) -> None:
    home = SiteHome(tmp_path / "home")
    joined = as_process("join", coordinator.invite(), "--data", "/scans", home=home.root)
    assert joined.returncode == 0, joined.stderr
    assert "Enrolled as north" in joined.stdout
    assert load_site(home).site.data == Path("/scans")
    again = as_process("join", coordinator.invite(), home=home.root)
    assert (again.returncode, again.stderr.startswith("Problem: ")) == (ConfigError.exit_code, True)

    coordinator.offer(TOML)
    approved = fl_client("approve", "tiny", "--yes", home=home.root)  # fetched at once, though nothing has been started
    assert approved.returncode == 0, approved.stderr
    assert coordinator.answers["tiny"]["state"] == "approved"
    refused = fl_client("refuse", "tiny", "--reason", "the ethics vote is open", home=home.root)
    assert refused.returncode == 0
    assert coordinator.answers["tiny"]["reason"] == "the ethics vote is open"
    assert fl_client("approve", "other", "--yes", home=home.root).returncode == FederationError.exit_code

    verified = fl_client("verify", home=home.root)
    assert verified.returncode == 0, verified.stderr
    assert verified.stdout.startswith("Intact: 4 events, 0 signed heads")
    left = fl_client("leave", home=home.root)
    assert left.returncode == 0, left.stderr
    assert not home.certificate.exists()
    assert fl_client("check", home=home.root).returncode == ConfigError.exit_code


def test_refusals_come_with_problem_fix_and_their_own_exit_code(
    fl_client: Command, coordinator: ScriptedCoordinator, home: SiteHome, tmp_path: Path
) -> None:
    stale = fl_client("join", coordinator.invite(token="x" * 40), home=tmp_path / "other")
    assert stale.returncode == AccessError.exit_code
    assert "Fix: ask for a new invitation" in stale.stderr
    assert "x" * 40 not in stale.stdout + stale.stderr
    unfit = fl_client("join", "hello", home=tmp_path / "other")
    assert (unfit.returncode, unfit.stderr.count("\n")) == (ConfigError.exit_code, 2)
    coordinator.offer(TOML)
    coordinator.scripted["GET offers"] = (502, b"")
    assert fl_client("approve", "tiny", "--yes", home=home.root).returncode == ConnectionProblem.exit_code
    for command in (["status"], ["start"], ["verify"], ["leave"], ["models", "pull"]):
        nowhere = fl_client(*command, home=tmp_path / "nowhere")
        assert nowhere.returncode == ConfigError.exit_code, command
        assert "fl-client join INVITE" in nowhere.stderr


def test_status_tells_what_runs_what_left_and_what_waits(
    fl_client: Command, coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    empty = json.loads(fl_client("status", "--json", home=home.root).stdout)
    assert (empty["site"], empty["processes"], empty["sent"], empty["offers"]) == ("north", [], [], [])
    assert empty["progress"]["state"] == "idle"
    assert "No answer has left the building" in fl_client("status", home=home.root).stdout
    records = SiteRecords("north", home.records)
    sent = {"study": "tiny", "run": "tiny-run-1", "weights_sha256": "0" * 64, "bytes": 1000}
    records.append("trainer", "update.sent", round=1, **sent)
    records.append("trainer", "evaluation.sent", round=2, **sent)
    Spool(home.spool)
    home.carried.write_text(json.dumps({"tiny-run-1": [33_000_000, 66_000_000]}))
    ProgressFile(home.progress).show(
        Progress("training", "tiny-run-1", 3, 5, 20, "2026-01-01T00:00:00.000000Z", None, "CPU")
    )
    coordinator.offer(TOML)
    assert fl_client("refuse", "tiny", "--reason", "no", home=home.root).returncode == 0
    coordinator.offer('name = "second"\n', "second")
    with Coordinator(load_site(home), home) as reached:
        fetch_offers(reached, records, home)
    told = fl_client("status", home=home.root).stdout
    for line in (
        "north at 127.0.0.1:",
        "Not running: `fl-client start`",
        "Coordinator not reached yet",
        "Trainer training on CPU: run tiny-run-1, round 3, 5 of 20 steps; last progress ",
        "Answers that left the building:",
        "  tiny-run-1: 2 answers up to round 2; 33.0 MB out, 66.0 MB in",
        "Study second WAITS for an answer: `fl-client approve second`, or refuse",
        "  asked: north, south; a round: 2 of 2 sites within 1 hour, else wait 10 minutes more, then pause and keep",
        f"  read first: the card that it shows, or every setting in {home.studies / 'second' / 'study.toml'}",
        '  not approved by rule: every study is left to a person ([policy] approve = "never" in site.toml)',
        "(no)",
    ):
        assert line in told
    as_json = json.loads(fl_client("status", "--json", home=home.root).stdout)
    assert as_json["progress"]["age_s"] > 1000
    assert {offer["study"]: offer["state"] for offer in as_json["offers"]} == {"tiny": "refused", "second": "pending"}


def test_check_tells_each_line_and_ends_with_the_first_problems_code(
    fl_client: Command, coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    home.settings.write_text(home.settings.read_text().replace("grid = 48", "grid = 16"))
    done = fl_client("check", "--json", home=home.root)
    told = json.loads(done.stdout)
    wrong = [check for check in told["checks"] if not check["ok"]]
    assert [check["name"] for check in wrong] == ["data", "prepared"]
    assert (told["ok"], done.returncode) == (False, wrong[0]["exit_code"])
    assert "profile" not in told
    trace = home.root / "trace.json"
    in_words = fl_client("check", "--profile", trace, home=home.root).stdout
    assert "Slowest in a training step: " in in_words
    assert trace.is_file()
    assert "ok       certificate  valid until" in in_words
    assert "PROBLEM  prepared" in in_words
    assert "Fix: run `fl-client prepare`" in in_words


@pytest.fixture
def published(coordinator: ScriptedCoordinator, tmp_path: Path) -> str:
    """A version that the coordinator has approved, as it hands it out."""
    registry = tmp_path / "registry"
    study = Study(name="tiny", model=ModelSettings(preset="tiny"))
    model = build_model(study.model, 0)
    name = add_version(registry, "tiny", named(manifest_of(model), flatten(model)), {"study": {}}, {})
    approve_version(registry, name, coordinator.signing)
    coordinator.versions[name] = {
        "card.json": (registry / name / "card.json").read_bytes(),
        "weights.safetensors": (registry / name / "weights.safetensors").read_bytes(),
        "calibration.json": (registry / name / "calibration.json").read_bytes(),
        "approval.json": (registry / f"{name}.approval.json").read_bytes(),
    }
    return name


def test_approved_models_are_pulled_once(
    fl_client: Command, coordinator: ScriptedCoordinator, home: SiteHome, published: str
) -> None:
    first = fl_client("models", "pull", home=home.root)
    assert first.returncode == 0, first.stderr
    assert published in first.stdout
    assert fl_client("models", "list", home=home.root).stdout == f"{published}\n"
    coordinator.calls.clear()
    assert "here already" in fl_client("models", "pull", home=home.root).stdout
    assert coordinator.calls == ["GET models"]
    assert events(home, "version.pulled") == ["version.pulled"]


def test_a_version_that_the_coordinator_has_retired_is_used_no_more(
    fl_client: Command, coordinator: ScriptedCoordinator, home: SiteHome, published: str, tmp_path: Path
) -> None:
    fl_client("models", "pull", home=home.root)
    registry = tmp_path / "registry"
    retire_version(registry, published, coordinator.signing)
    coordinator.versions[published]["approval.json"] = (registry / f"{published}.approval.json").read_bytes()
    coordinator.retired = [published]
    assert fl_client("models", "pull", home=home.root).returncode == 0
    assert fl_client("models", "list", home=home.root).stdout == ""
    assert events(home, "version.retired") == ["version.retired"]
    fl_client("models", "pull", home=home.root)
    assert events(home, "version.retired") == ["version.retired"]


@pytest.mark.parametrize("file", ["weights.safetensors", "card.json", "calibration.json", "approval.json"])
def test_a_model_that_was_changed_on_its_way_is_not_kept(
    fl_client: Command, coordinator: ScriptedCoordinator, home: SiteHome, published: str, file: str
) -> None:
    content = bytearray(coordinator.versions[published][file])
    content[len(content) // 2] ^= 1
    coordinator.versions[published][file] = bytes(content)
    done = fl_client("models", "pull", home=home.root)
    assert done.returncode != 0
    assert "Problem: The " in done.stderr
    assert fl_client("models", "list", home=home.root).stdout == ""
    assert not (home.registry / published).exists()


def test_a_model_whose_file_is_cut_is_not_kept(
    fl_client: Command, coordinator: ScriptedCoordinator, home: SiteHome, published: str
) -> None:
    coordinator.scripted[f"GET models/{published}/card.json"] = (200, b"{}")
    assert fl_client("models", "pull", home=home.root).returncode == ConnectionProblem.exit_code
    assert not (home.registry / published).exists()


def test_the_hospitals_page_has_a_line_for_every_exit_code() -> None:
    def tree(kind: type[FLError]) -> list[type[FLError]]:
        return [kind, *(below for child in kind.__subclasses__() for below in tree(child))]

    page = (Path(__file__).resolve().parents[2] / "docs" / "hospital.md").read_text("utf-8")
    table = page.partition("| code |")[2].partition("\n\n")[0]
    codes = {int(code) for first in re.findall(r"^\| ([0-9, ]+) \|", table, re.MULTILINE) for code in first.split(",")}
    assert codes == {kind.exit_code for kind in tree(FLError)}
