"""The watch over a server: the files for Prometheus, and a real one that watches real servers in real trouble."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from core.certificates import Use, certificate_text, issue, new_key
from core.clock import after, now
from core.records.db import open_database, transaction
from core.records.tables import Certificate
from tests.deploy.factories_prometheus import FOLDER, Prometheus, prometheus, promtool
from tests.webapp.factories_running import Running, coarse_cases
from tests.webapp.stage import a_coordinator, a_hospital

UNITS = FOLDER.parent / "systemd"
# Written by scripts beside the server, or by what is not in fl-web: in no scrape of it.
ELSEWHERE = {
    "gliofed_backup_last_success_seconds",
    "gliofed_drill_last_success_seconds",
    "gliofed_run_budget",
    "gliofed_run_cost",
}
# Of a federation, a machine and a model; nothing that grows with patients, users or requests.
LABELS = {
    "__name__", "instance", "job", "certificate", "currency", "direction", "folder", "outcome", "part", "run", "site",
    "state", "step", "version",
}  # fmt: skip
OF_ALERTS = {"alertname", "alertstate", "severity"}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with a_hospital(tmp_path_factory.mktemp("hospital")) as server:
        yield server


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with a_coordinator(tmp_path_factory.mktemp("coordinator")) as server:
        yield server


@pytest.fixture(scope="module")
def at_hospital(hospital: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("watch") / "hospital", hospital) as watching:
        yield watching


@pytest.fixture(scope="module")
def at_coordinator(coordinator: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("watch") / "coordinator", coordinator) as watching:
        yield watching


def verify_audit(server: Running) -> int:
    """What the timer starts every night; returns its exit code."""
    argv = [sys.executable, "-m", "webapp", "verify-audit", "--data", str(server.config.data)]
    environment = {**os.environ, "FL_HOME": str(server.home)}
    return subprocess.run(argv, env=environment, check=False, capture_output=True).returncode


def is_scraped(watching: Prometheus) -> bool:
    return any(target["health"] == "up" for target in watching.ask("targets")["activeTargets"])


def test_promtool_takes_the_configuration_and_the_rules() -> None:
    for command in (
        ("config", "--syntax-only", "prometheus.yml"),
        ("rules", "--lint=all", "--lint-fatal", "alerts.yml"),
    ):
        *options, name = command
        done = promtool("check", *options, str(FOLDER / name))
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_the_bad_case_and_not_at_its_limit() -> None:
    done = promtool("test", "rules", str(FOLDER / "alerts_test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    tested = (FOLDER / "alerts_test.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text())
    assert len(alerts) == len(set(alerts)) >= 10
    # Each is expected to fire somewhere, under its own name.
    assert {
        name for name in alerts if f'ALERTS{{alertname="{name}", alertstate="firing", severity=' not in tested
    } == set()


def test_every_alert_has_one_sentence_and_something_to_do() -> None:
    rules = (FOLDER / "alerts.yml").read_text().split("- alert: ")[1:]
    for rule in rules:
        (summary,) = re.findall(r"\n +summary: (.+)", rule)
        assert summary.strip('"').endswith("."), rule
        assert re.search(r"severity: (warning|critical) ", rule)
        assert re.search(r"fl-server|fl-web|fl-client|systemctl|du -xh", rule.partition("description:")[2]), rule


def test_nothing_is_asked_of_or_sent_to_another_machine() -> None:
    settings = "".join(line.partition("#")[0] for line in (FOLDER / "prometheus.yml").read_text().splitlines())
    targets = re.findall(r'targets: \["([^"]+)"\]', settings)
    assert targets
    assert {target.rpartition(":")[0] for target in targets} == {"127.0.0.1"}
    assert not re.search(r"remote_|_sd_configs|http:|https:/|insecure_skip_verify|credentials:", settings)


@pytest.mark.parametrize("as_hook", [True, False])
def test_the_end_of_a_certificate_that_nginx_serves_is_told_in_a_file(tmp_path: Path, as_hook: bool) -> None:
    key = new_key()
    certificate = issue("a server", key.public_key(), timedelta(days=5), Use.SERVER, key)
    (tmp_path / "fullchain.pem").write_text(certificate_text(certificate))
    told = {"TEXTFILES": str(tmp_path), "PATH": os.defpath}
    argv = [str(FOLDER / "certificate-hook.sh"), *([] if as_hook else [str(tmp_path / "fullchain.pem")])]
    if as_hook:
        told["RENEWED_LINEAGE"] = str(tmp_path)
    subprocess.run(argv, env=told, check=True)
    (file,) = tmp_path.glob("*.prom")
    ends = int(certificate.not_valid_after_utc.timestamp())
    assert file.read_text() == f'gliofed_certificate_end_time_seconds{{certificate="nginx"}} {ends}\n'
    assert file.stat().st_mode & 0o777 == 0o644
    (tmp_path / "fullchain.pem").write_text("none")
    assert subprocess.run(argv, env=told, check=False, capture_output=True).returncode != 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fullchain.pem", "gliofed-certificate.prom"]


def test_whatever_an_alert_looks_at_is_told_by_a_server_of_its_kind(
    coordinator: Running, at_hospital: Prometheus, at_coordinator: Prometheus, hospital: Running
) -> None:
    assert verify_audit(hospital) == verify_audit(coordinator) == 0
    add_certificate(coordinator, "izmir", after(80 * 86_400))
    rules = at_hospital.ask("rules")["groups"][0]["rules"]
    wanted = {name for rule in rules for name in re.findall(r"\bgliofed_\w+", rule["query"])} - ELSEWHERE
    assert len(wanted) >= 10

    def told(*watching: Prometheus) -> set[str]:
        return {name for one in watching for name in one.ask("label/__name__/values")}

    at_coordinator.until(lambda _: wanted <= told(at_hospital, at_coordinator))
    of_both = {name for name in wanted if not name.startswith(("gliofed_site", "gliofed_run", "gliofed_round"))}
    at_hospital.until(lambda _: of_both <= told(at_hospital))
    at_coordinator.until(lambda _: of_both <= told(at_coordinator))
    for watching in (at_hospital, at_coordinator):
        assert set(watching.ask("labels")) <= LABELS | OF_ALERTS


def test_a_site_whose_last_word_is_old_is_told_of_and_no_other(at_coordinator: Prometheus) -> None:
    at_coordinator.until(lambda watching: "GliofedSiteSilent" in watching.firing())
    assert {labels["site"] for labels in at_coordinator.firing()["GliofedSiteSilent"]} == {"trabzon"}
    (alert,) = [one for one in at_coordinator.ask("alerts")["alerts"] if one["labels"].get("site") == "trabzon"]
    assert re.fullmatch(r"The site trabzon was last heard of 2h \d+m \d+s ago\.", alert["annotations"]["summary"])


def test_a_paused_run_and_a_certificate_that_ends_soon_are_told_of(
    coordinator: Running, at_coordinator: Prometheus
) -> None:
    at_coordinator.until(lambda watching: "GliofedRunHalted" in watching.firing())
    assert not at_coordinator.firing().get("GliofedSiteCertificateEnds")
    add_certificate(coordinator, "ankara", after(10 * 86_400))
    at_coordinator.until(lambda watching: "GliofedSiteCertificateEnds" in watching.firing())
    (labels,) = at_coordinator.firing()["GliofedSiteCertificateEnds"]
    assert labels["site"] == "ankara"


def test_predictions_that_a_hanging_worker_leaves_waiting_are_told_of(
    hospital: Running, at_hospital: Prometheus, tmp_path: Path
) -> None:
    at_hospital.until(is_scraped)
    assert "GliofedQueueDeep" not in at_hospital.firing()
    (worker, *_) = hospital.processes("worker")
    cases = coarse_cases(tmp_path / "case")
    os.kill(worker, signal.SIGSTOP)
    try:
        with closing(hospital.client("anna")) as anna:
            for number in range(3):
                sent = {"files": (f"{number}.zip", cases.zipped(number), "application/zip")}
                answer = anna.post("/predict", files=sent, headers={"Prefer": "wait=0"})
                assert answer.status_code == 202, answer.text
        at_hospital.until(lambda watching: "GliofedQueueDeep" in watching.firing())
    finally:
        os.kill(worker, signal.SIGCONT)
    (labels,) = at_hospital.firing()["GliofedQueueDeep"]
    assert labels["state"] == "queued"


def test_a_log_that_somebody_rewrote_is_told_of_once_it_was_verified(
    coordinator: Running, at_coordinator: Prometheus
) -> None:
    assert verify_audit(coordinator) == 0
    at_coordinator.until(lambda watching: bool(watching.ask("query", query="gliofed_audit_intact == 1")["result"]))
    assert "GliofedAuditBroken" not in at_coordinator.firing()
    engine = open_database(coordinator.config.database_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_events_no_update"))
        connection.execute(text("UPDATE audit_events SET action = 'user.nothing' WHERE seq = 2"))
    engine.dispose()
    assert verify_audit(coordinator) == 11
    at_coordinator.until(lambda watching: "GliofedAuditBroken" in watching.firing())
    assert "GliofedAuditUnverified" not in at_coordinator.firing()


def test_a_token_that_ended_is_told_of(coordinator: Running, at_coordinator: Prometheus) -> None:
    at_coordinator.until(is_scraped)
    with coordinator.client() as machine:
        machine.headers["Authorization"] = f"Bearer {at_coordinator.token}"
        (token,) = [one for one in machine.get("/tokens").json()["tokens"] if one["kind"] == "token"]
        assert machine.delete(f"/tokens/{token['id']}").status_code == 204
    at_coordinator.until(lambda watching: "GliofedUnreachable" in watching.firing())


def add_certificate(server: Running, site: str, not_after: str) -> None:
    engine = open_database(server.config.database_url)
    with transaction(engine) as session:
        session.add(Certificate(serial=site, site=site, issued_at=now(), not_after=not_after, revoked_at=None))
    engine.dispose()
