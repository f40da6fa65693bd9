"""From `fl-server init` to an approved, signed version that `fl-client predict` uses: real processes over mutual TLS.

One federation runs once for the whole module, in a network namespace whose only way out leads nowhere and is watched.
Every step is a command with nothing of the other side's in its environment, while this process's own is poisoned.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import AuditError
from core.records import audit
from core.records.db import open_database, reading
from core.records.registry import load_version
from tests.core.imaging.factories_dicom import a_case

ROOT = Path(__file__).resolve().parent.parent
SITES, ROUNDS = 2, 2


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    # Nginx works as an account of its own choice: the folder above must let it through.
    folder = tmp_path_factory.mktemp("deployed")
    assert os.geteuid() == 0, "needs a network namespace: run the tests as root, `sudo make test`"
    command = ["unshare", "--net", sys.executable, "-m", "tests.isolated", str(folder), str(SITES), str(ROUNDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr[-3000:]}\n{logs(folder)}"
    return folder / "federation", json.loads((folder / "result.json").read_text())


def logs(folder: Path) -> str:
    return "\n".join(f"== {path}\n{path.read_text()[-1500:]}" for path in sorted(folder.rglob("*.log")))


def fl(program: str, home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {"FL_HOME": str(home), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_every_round_counts_every_site_and_ends_with_an_approved_version(deployed) -> None:
    _, result = deployed
    federation = result["federation"]
    assert [(one["round"], one["sites"]) for one in federation["rounds"]] == [(1, 2), (2, 2), (3, 2)]
    assert federation["model_version"].startswith("0001-trial-")
    assert federation["audit"] == "intact"


def test_nothing_tried_to_leave_the_machine(deployed) -> None:
    assert deployed[1]["packets"] == []


def test_a_site_predicts_with_the_version_that_it_pulled(deployed, tmp_path: Path) -> None:
    folder, result = deployed
    case = a_case(tmp_path / "case")
    done = fl("fl_client", folder / "site-1", "predict", case, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model_version"] == result["federation"]["model_version"]
    other = fl("fl_client", folder / "site-2", "predict", case, "--json")
    assert json.loads(other.stdout) == json.loads(done.stdout)


def test_a_site_does_not_predict_with_a_version_that_was_changed_on_its_disk(deployed, tmp_path: Path) -> None:
    folder, result = deployed
    home = tmp_path / "home"
    for part in ("keys", "registry"):
        shutil.copytree(folder / "site-1" / part, home / part)
    card = home / "registry" / result["federation"]["model_version"] / "card.json"
    card.chmod(0o644)
    card.write_text(card.read_text().replace('"tiny"', '"small"'))
    done = fl("fl_client", home, "predict", a_case(tmp_path / "case"), "--json")
    assert done.returncode == 9
    assert done.stdout == ""
    assert "Fix:" in done.stderr


def test_each_round_cites_a_head_of_the_other_sides_log(deployed) -> None:
    folder, _ = deployed
    server = open_database(f"sqlite:///{folder / 'coordinator' / 'records.db'}")
    site = open_database(f"sqlite:///{folder / 'site-1' / 'records.db'}")
    with reading(server) as ours, reading(site) as theirs:
        closed = [json.loads(event.body) for event in audit.events(ours, action="round.closed")]
        received = [json.loads(event.body) for event in audit.events(theirs, action="task.received")]
        assert len(closed) == len(received) == ROUNDS + 1
        assert all(audit.cites(theirs, body["receipts"]["site-1"]) for body in closed)
        assert all(audit.cites(ours, body["receipt"]) for body in received)
        assert len({body["receipt"] for body in received}) == ROUNDS + 1


def test_each_side_checks_what_the_other_has_kept_of_its_log(deployed, tmp_path: Path) -> None:
    folder, _ = deployed
    coordinator, site = ("fl_server", folder / "coordinator"), ("fl_client", folder / "site-1")
    for giver, about, taker in ((coordinator, ["site-1"], site), (site, [], coordinator)):
        given = fl(*giver, "receipts", *about)
        assert given.returncode == 0, given.stderr
        assert given.stdout.count("\n") == ROUNDS + 1
        kept = tmp_path / "kept.txt"
        kept.write_text(given.stdout)
        checked = fl(*taker, "verify", "--receipts", kept)
        assert checked.returncode == 0, checked.stderr
        assert f"All {ROUNDS + 1} heads" in checked.stdout
        kept.write_text(given.stdout[:-2] + ("0" if given.stdout[-2] != "0" else "1") + "\n")
        refused = fl(*taker, "verify", "--receipts", kept)
        assert refused.returncode == AuditError.exit_code
        assert f"In round {ROUNDS + 1} of" in refused.stderr
    assert "There is no site nobody" in fl(*coordinator, "receipts", "nobody").stderr


def test_the_hash_that_a_round_keeps_is_of_what_the_site_says_it_sent(deployed) -> None:
    folder, _ = deployed
    server = open_database(f"sqlite:///{folder / 'coordinator' / 'records.db'}")
    site = open_database(f"sqlite:///{folder / 'site-2' / 'records.db'}")
    with reading(server) as ours, reading(site) as theirs:
        kept = [json.loads(event.body)["weights"]["site-2"] for event in audit.events(ours, action="round.closed")]
        sent = [json.loads(event.body)["weights_sha256"] for event in audit.events(theirs, action="update.sent")]
    assert kept[:ROUNDS] == sent[:ROUNDS]


def test_the_model_is_that_of_a_simulation_with_the_same_patients_to_the_last_bit(deployed, tmp_path: Path) -> None:
    folder, result = deployed
    script = (
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from simulations.federation import run_federation\n"
        "study, out, *sites = map(Path, sys.argv[1:])\n"
        "print(run_federation(sites, study, out).version)"
    )
    sites = [str(folder / f"site-{number}" / "site.toml") for number in (1, 2)]
    environment = os.environ | {"FL_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder / "study.toml"), str(tmp_path / "run"), *sites],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    simulated = load_version(tmp_path / "registry" / done.stdout.strip())
    deployed_version = load_version(folder / "coordinator" / "registry" / result["federation"]["model_version"])
    assert simulated.card["weights_sha256"] == deployed_version.card["weights_sha256"]


def test_no_secret_is_in_a_log_and_every_key_is_its_owners_alone(deployed) -> None:
    folder, _ = deployed
    passphrase = (folder / "passphrase").read_text()
    assert not [path for path in folder.rglob("*.log") if passphrase in path.read_text()]
    keys = list(folder.rglob("*.key"))
    assert len(keys) >= 6
    assert not [path for path in keys if path.stat().st_mode & 0o077]
    for name in ("pki/ca.key", "keys/signing.key"):
        assert "ENCRYPTED" in (folder / "coordinator" / name).read_text()
