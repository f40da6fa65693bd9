"""What Prometheus is told of a server and of a federation, with values worked out by hand."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text, update
from typer.testing import CliRunner

from core.certificates import Use, certificate_text, issue, new_key
from core.clock import after
from core.errors import AuditError
from core.records import runs
from core.records.db import transaction, unlogged
from core.records.rounds import Question, close_round, open_round
from core.records.tables import AuditEvent, Certificate, Effort, Round, Run, Site
from tests.webapp.factories import Server, a_config, a_server
from webapp.cli import app as cli
from webapp.config import WebConfig
from webapp.verification import last_outcome, verify_whole

Told = dict[tuple[str, ...], float]
EARLY, LATER, LATEST = "2026-11-24T10:00:00.000000Z", "2026-11-24T11:00:00.000000Z", "2026-11-24T12:00:00.500000Z"
# `date -u -d 2026-11-24T10:00:00 +%s`
EARLY_S = 1_795_514_400.0


@pytest.fixture
def coordinator(database: str, tmp_path: Path) -> Server:
    config = a_config(tmp_path, database, site={"serves": "coordinator"})
    return a_server(config, {"ada": "administrator"})


def scrape(server: Server) -> Told:
    answer = server.browser("ada").get("/metrics")
    assert answer.status_code == 200
    families = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in families}) == answer.text.count("# TYPE")  # each described once
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def named(told: Told, name: str) -> Told:
    return {key: value for key, value in told.items() if key[0] == name}


def a_site(engine: Engine, name: str, state: str = "enrolled", seen_at: str | None = None) -> None:
    with transaction(engine) as session:
        session.add(Site(name=name, state=state, invited_at=EARLY, enrolled_at=EARLY, seen_at=seen_at))


def a_run(engine: Engine, name: str, state: str, changed_at: str, study: str = "gbm") -> None:
    runs.create_run(engine, run=name, study=study, folder="f", sites=["a"], actor="coordinator", state=state)
    with transaction(engine) as session:
        session.execute(update(Run).where(Run.id == name).values(changed_at=changed_at))


def offer(engine: Engine) -> None:
    toml = 'name = "gbm"\n[federation]\nrounds = 2\ndeadline_s = 600\ngrace_s = 60\n'
    runs.offer_study(
        engine, study="gbm", toml=toml, bundle=b"", bundle_sha256="0" * 64, sites=["a"], actor="coordinator"
    )


def closed(engine: Engine, run: str, number_of_try: int, number: int, at: str, *, counted: bool = True) -> None:
    row = Round(
        run=run, number_of_try=number_of_try, round=number, counted=counted, sites=["a"], left_out={}, loss=None,
        auc=None, seconds=1.0, closed_at=at,
    )  # fmt: skip
    close_round(engine, row, weights={}, receipts={}, aggregate="0" * 64, strategy="fedavg")


def opened(engine: Engine, run: str, at: str) -> None:
    """A round that was opened then: what the log says of its time is set, as a clock would have."""
    open_round(engine, Question(run, 1, "update", "0" * 64), sites=1, strategy="fedavg", seed=7)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER IF EXISTS audit_events_no_update"))
        last = text("SELECT MAX(seq) FROM audit_events")
        connection.execute(update(AuditEvent).where(AuditEvent.seq == connection.scalar(last)).values(at=at))


def test_an_enrolled_site_is_told_by_when_it_was_heard_and_by_when_it_enrolled_where_it_never_was(
    coordinator: Server,
) -> None:
    a_site(coordinator.engine, "north", seen_at=LATER)
    a_site(coordinator.engine, "south")
    a_site(coordinator.engine, "gone", "left", seen_at=LATER)
    a_site(coordinator.engine, "new", "invited")
    name = "gliofed_site_heard_time_seconds"
    assert named(scrape(coordinator), name) == {(name, "north"): EARLY_S + 3600, (name, "south"): EARLY_S}


def test_of_a_sites_certificates_the_newest_that_was_not_revoked_counts(coordinator: Server) -> None:
    for site, state in (("north", "enrolled"), ("gone", "revoked")):
        a_site(coordinator.engine, site, state)
    rows = (
        ("1", "north", EARLY, None),
        ("2", "north", LATER, None),
        ("3", "north", LATEST, EARLY),
        ("4", "gone", LATER, None),
    )
    with transaction(coordinator.engine) as session:
        for serial, site, not_after, revoked_at in rows:
            session.add(
                Certificate(serial=serial, site=site, issued_at=EARLY, not_after=not_after, revoked_at=revoked_at)
            )
    name = "gliofed_site_certificate_end_time_seconds"
    assert named(scrape(coordinator), name) == {(name, "north"): EARLY_S + 3600}


def test_runs_are_counted_by_state_and_told_while_they_go_on_and_a_day_longer(coordinator: Server) -> None:
    offer(coordinator.engine)
    a_run(coordinator.engine, "gbm-1", "finished", after(-86_500))
    a_run(coordinator.engine, "gbm-2", "finished", after(-86_300))
    a_run(coordinator.engine, "gbm-3", "paused", EARLY)
    a_run(coordinator.engine, "local", "paused", EARLY, study="never offered")
    told = scrape(coordinator)
    assert named(told, "gliofed_runs") == {
        ("gliofed_runs", state): {"finished": 2, "paused": 2}.get(state, 0)
        for state in ("offered", "starting", "running", "paused", "failed", "stopped", "finished")
    }
    assert set(named(told, "gliofed_run_rounds")) == {("gliofed_run_rounds", "gbm-2"), ("gliofed_run_rounds", "gbm-3")}
    assert not named(told, "gliofed_round_start_time_seconds")


def test_a_round_counts_once_whatever_the_tries_and_the_last_evaluation_is_none(coordinator: Server) -> None:
    offer(coordinator.engine)
    a_run(coordinator.engine, "gbm-1", "running", EARLY)
    assert scrape(coordinator)["gliofed_run_rounds_done", "gbm-1"] == 0
    closed(coordinator.engine, "gbm-1", 1, 1, EARLY, counted=False)
    closed(coordinator.engine, "gbm-1", 2, 1, EARLY)
    assert scrape(coordinator)["gliofed_run_rounds_done", "gbm-1"] == 1
    closed(coordinator.engine, "gbm-1", 3, 2, EARLY)
    closed(coordinator.engine, "gbm-1", 4, 3, EARLY)
    told = scrape(coordinator)
    assert (told["gliofed_run_rounds_done", "gbm-1"], told["gliofed_run_rounds", "gbm-1"]) == (2, 2)


def test_a_round_begins_with_the_run_with_the_close_of_the_one_before_or_when_it_is_opened(
    coordinator: Server,
) -> None:
    engine = coordinator.engine
    offer(engine)
    for run in ("gbm-1", "gbm-10"):
        a_run(engine, run, "running", EARLY)
    start, deadline = "gliofed_round_start_time_seconds", "gliofed_round_deadline_time_seconds"

    def times() -> tuple[float, float]:
        told = scrape(coordinator)
        assert told[start, "gbm-10"] == EARLY_S  # another's rounds are not its own
        return told[start, "gbm-1"] - EARLY_S, told[deadline, "gbm-1"] - EARLY_S

    assert times() == (0, 600)
    opened(engine, "gbm-1", "2026-11-24T10:00:05.000000Z")
    assert times() == (5, 605)
    closed(engine, "gbm-1", 1, 1, LATER)
    assert times() == (3600, 4200)
    opened(engine, "gbm-1", LATEST)
    assert times() == (7200.5, 7800.5)
    with transaction(engine) as session:  # resumed since
        session.execute(update(Run).where(Run.id == "gbm-1").values(changed_at="2026-11-24T13:00:00.000000Z"))
    assert times() == (10_800, 11_400)


def test_what_a_run_costs_is_the_sum_over_its_sites(coordinator: Server) -> None:
    offer(coordinator.engine)
    a_run(coordinator.engine, "gbm-1", "running", EARLY)
    with unlogged(coordinator.engine) as session:
        for site, sent in (("a", 2**40), ("b", 3)):
            session.add(Effort(run="gbm-1", site=site, sent_bytes=sent, received_bytes=7, cpu_s=1.0, gpu_s=0.25))
    told = scrape(coordinator)
    assert told["gliofed_run_gpu_seconds_total", "gbm-1"] == 0.5
    assert told["gliofed_run_bytes_total", "sent", "gbm-1"] == 2**40 + 3
    assert told["gliofed_run_bytes_total", "received", "gbm-1"] == 14


def test_a_server_tells_its_parts_its_disk_and_the_end_of_its_own_certificate(tmp_path: Path) -> None:
    server = a_server(a_config(tmp_path), {"ada": "administrator"})
    write_certificate(server.config.data / "tls" / "certificate.pem", timedelta(days=2))
    told = scrape(server)
    assert named(told, "gliofed_ready") == {
        ("gliofed_ready", part): part != "worker"
        for part in ("database", "durability", "keys", "disk", "model", "worker")
    }
    assert told["gliofed_disk_size_bytes", "data"] == shutil.disk_usage(tmp_path).total
    assert 0 < told["gliofed_disk_free_bytes", "data"] < told["gliofed_disk_size_bytes", "data"]
    ends = told["gliofed_certificate_end_time_seconds", "web"]
    assert abs(ends - (datetime.now(UTC) + timedelta(days=2)).timestamp()) < 600
    assert not [name for name, *_ in told if name.startswith(("gliofed_site", "gliofed_run", "gliofed_round"))]


def test_a_coordinator_tells_of_its_authority_and_both_its_servers_and_passes_over_a_damaged_file(
    coordinator: Server,
) -> None:
    pki = coordinator.config.home / "pki"
    for name, days in (("ca.crt", 3650), ("server.crt", 398), ("superlink.crt", 397)):
        write_certificate(pki / name, timedelta(days=days))
    (coordinator.config.data / "tls").mkdir()
    (coordinator.config.data / "tls" / "certificate.pem").write_text("none")
    told = scrape(coordinator)
    name = "gliofed_certificate_end_time_seconds"
    assert set(named(told, name)) == {(name, "authority"), (name, "edge"), (name, "superlink")}
    assert told[name, "authority"] - told[name, "edge"] == pytest.approx((3650 - 398) * 86_400, abs=60)
    assert named(told, "gliofed_disk_free_bytes").keys() == {
        ("gliofed_disk_free_bytes", "data"),
        ("gliofed_disk_free_bytes", "home"),
    }


def test_the_last_verification_is_told_be_it_of_the_command_or_of_an_auditor(tmp_path: Path) -> None:
    server = a_server(a_config(tmp_path), {"ada": "administrator", "otto": "auditor"})
    assert not named(scrape(server), "gliofed_audit_intact")
    assert server.browser("otto").post("/log/verify").json["intact"] is True
    told = scrape(server)
    assert told["gliofed_audit_intact",] == 1
    assert told["gliofed_audit_check_time_seconds",] == pytest.approx(datetime.now(UTC).timestamp(), abs=600)
    break_log(server.engine)
    assert scrape(server)["gliofed_audit_intact",] == 1  # nobody has looked since
    with pytest.raises(AuditError):
        verify_whole(server.engine, server.config)
    assert scrape(server)["gliofed_audit_intact",] == 0


def test_the_command_keeps_what_it_found_for_this_account_alone(tmp_path: Path) -> None:
    server = a_server(a_config(tmp_path, home=tmp_path / "home"), {"ada": "administrator"})
    done = CliRunner(env={"FL_HOME": str(tmp_path / "home")}).invoke(
        cli, ["verify-audit", "--data", str(server.config.data)]
    )
    assert done.exit_code == 0
    outcome = last_outcome(server.config)
    assert outcome is not None
    assert outcome.intact
    assert (server.config.data / "audit" / "verified.json").stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_written_down_hides_no_broken_log_and_a_note_that_cannot_be_read_is_none(
    tmp_path: Path,
) -> None:
    server = a_server(a_config(tmp_path), {"ada": "administrator"})
    note = noted(server.config)
    note.mkdir(parents=True)  # a folder where the note should be
    with pytest.raises(OSError, match="directory"):
        verify_whole(server.engine, server.config)
    break_log(server.engine)
    with pytest.raises(AuditError):
        verify_whole(server.engine, server.config)
    assert last_outcome(server.config) is None
    note.rmdir()
    for text_ in ("", "{}", "[]", '{"at": 1}', "\x00"):
        note.write_text(text_)
        assert last_outcome(server.config) is None


def noted(config: WebConfig) -> Path:
    return config.data / "audit" / "verified.json"


def break_log(engine: Engine) -> None:
    """What somebody does who owns the database."""
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER IF EXISTS audit_events_no_update"))
        connection.execute(text("UPDATE audit_events SET actor = 'user:nobody' WHERE seq = 1"))


def write_certificate(path: Path, valid_for: timedelta) -> None:
    key = new_key()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(certificate_text(issue("a server", key.public_key(), valid_for, Use.SERVER, key)))
