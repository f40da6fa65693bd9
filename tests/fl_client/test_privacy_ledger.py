"""The ledger counts too much or right, never too little: for each patient, over runs, crashes, races and backups."""

import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import AuditError, PrivacySpent, UpdateRejected
from core.learning.privacy import PrivacyBudget, Spend, epsilon_of
from core.signing import load_key
from fl_client.config import SitePrivacySettings
from fl_client.paths import SiteHome
from fl_client.privacy_ledger import PatientKey, PrivacyLedger
from fl_client.privacy_report import privacy_report, report_lines
from tests.fl_client.factories_ledger import DELTA, ROUND, a_home, a_ledger, a_request, people, records_of

ROOT = Path(__file__).resolve().parents[2]
NO_NOISE = Spend(0.0, 1.0, 1)


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    return a_home(tmp_path)


@pytest.fixture
def ledger(home: SiteHome) -> PrivacyLedger:
    return a_ledger(home)


def rounds_spent(count: int) -> float:
    """What so many rounds on the same patient come to, from the accountant itself."""
    return epsilon_of([Spend(ROUND.noise, 1.0, ROUND.steps * count)], DELTA)


def spent_by(ledger: PrivacyLedger, *names: str) -> list[int]:
    """How many rounds were set aside for each of these people."""
    ledger.read()
    return [len(history) for history in ledger.spends_of(people(ledger, *names))]


def test_every_round_of_every_run_adds_up_for_the_same_patients(ledger: PrivacyLedger) -> None:
    north = people(ledger, "a", "b")
    first = ledger.reserve(a_request(north))
    again = ledger.reserve(a_request(north, number=2))
    other = ledger.reserve(a_request(north, run="another"))
    assert (first, again, other) == pytest.approx((rounds_spent(1), rounds_spent(2), rounds_spent(3)))


def test_one_more_patient_opens_no_fresh_budget(ledger: PrivacyLedger) -> None:
    ledger.reserve(a_request(people(ledger, "a", "b")))
    assert ledger.reserve(a_request(people(ledger, "a", "b", "c"), run="s")) == pytest.approx(rounds_spent(2))
    assert spent_by(ledger, "a", "b", "c", "d") == [2, 2, 1, 0]


def test_nor_does_another_name_for_the_same_scan_nor_a_chain_of_them(ledger: PrivacyLedger) -> None:
    ledger.reserve(a_request(people(ledger, "a=x")))
    ledger.reserve(a_request(people(ledger, "b=x"), run="s"))
    # b's new scan is known by b's name, which is known by the scan that was a's.
    assert ledger.reserve(a_request(people(ledger, "b=y"), run="t")) == pytest.approx(rounds_spent(3))
    assert spent_by(ledger, "a=x", "c=y", "z=z") == [3, 3, 0]


def test_strangers_do_not_pay_for_one_another(ledger: PrivacyLedger) -> None:
    ledger.reserve(a_request(people(ledger, "a")))
    assert ledger.reserve(a_request(people(ledger, "b"), run="s")) == pytest.approx(rounds_spent(1))


def test_what_would_exceed_the_budget_is_refused_and_costs_nothing(ledger: PrivacyLedger) -> None:
    north, budget = people(ledger, "a"), rounds_spent(2)
    ledger.reserve(a_request(north, budget=budget))
    ledger.reserve(a_request(north, number=2, budget=budget))
    with pytest.raises(PrivacySpent, match="all studies of this site"):
        ledger.reserve(a_request(north, number=3, budget=budget))
    assert spent_by(ledger, "a") == [2]


def test_a_run_that_could_not_be_finished_does_not_begin(ledger: PrivacyLedger) -> None:
    north, budget = people(ledger, "a"), rounds_spent(3)
    with pytest.raises(PrivacySpent):
        ledger.reserve(a_request(north, rounds=4, budget=budget))
    ledger.reserve(a_request(north, rounds=3, budget=budget))
    # One that has begun goes on as long as its next round fits.
    ledger.reserve(a_request(north, number=2, rounds=3, budget=budget))
    assert spent_by(ledger, "a") == [2]


def test_a_study_that_is_launched_again_goes_on_with_what_was_approved_once(ledger: PrivacyLedger) -> None:
    north, limit = people(ledger, "a"), (PrivacyBudget(rounds_spent(2), DELTA),)
    ledger.reserve(a_request(north, of_study=limit, budget=100))
    ledger.reserve(a_request(north, run="again", of_study=limit, budget=100))
    with pytest.raises(PrivacySpent, match="the study"):
        ledger.reserve(a_request(north, run="and again", of_study=limit, budget=100))


def test_a_study_keeps_within_the_stricter_of_the_study_s_limit_and_the_site_s_floor(ledger: PrivacyLedger) -> None:
    north = people(ledger, "a")
    study, floor = PrivacyBudget(8.0, DELTA), PrivacyBudget(rounds_spent(1), DELTA)
    for limits in ((study, floor), (floor, study)):
        study_ = f"study {limits.index(floor)}"
        ledger.reserve(replace(a_request(north, of_study=limits, budget=100), study=study_))
        with pytest.raises(PrivacySpent, match=study_):
            ledger.reserve(replace(a_request(north, number=2, of_study=limits, budget=100), study=study_))


def test_a_run_without_noise_is_entered_once_and_as_infinite(ledger: PrivacyLedger) -> None:
    north = people(ledger, "a")
    for _ in range(3):
        assert math.isinf(ledger.reserve(a_request(north, spend=NO_NOISE, budget=math.inf)))
    assert spent_by(ledger, "a") == [1]
    with pytest.raises(PrivacySpent):
        ledger.reserve(a_request(people(ledger, "a", "b"), run="s"))
    ledger.reserve(a_request(people(ledger, "b"), run="s"))


@pytest.mark.parametrize("limits", [{"budget": 8.0}, {"budget": math.inf, "of_study": (PrivacyBudget(3.0, DELTA),)}])
def test_a_site_with_a_limit_trains_nothing_without_noise(ledger: PrivacyLedger, limits: dict[str, object]) -> None:
    with pytest.raises(PrivacySpent, match="without any bound"):
        ledger.reserve(a_request(people(ledger, "a"), spend=NO_NOISE, **limits))  # type: ignore[arg-type]
    assert spent_by(ledger, "a") == [0]


def test_a_round_whose_update_has_left_is_never_drawn_again(home: SiteHome, ledger: PrivacyLedger) -> None:
    north = people(ledger, "a")
    ledger.reserve(a_request(north))
    ledger.reserve(a_request(north))  # a training that was killed is charged again
    assert spent_by(ledger, "a") == [2]
    records_of(home).append("gate", "update.sent", study="study", run="r", round=1, bytes=1, weights_sha256="0" * 64)
    with pytest.raises(UpdateRejected, match="second draw"):
        ledger.reserve(a_request(north))
    ledger.reserve(a_request(north, number=2))


def test_patients_are_in_the_log_under_keyed_names_alone(home: SiteHome, ledger: PrivacyLedger) -> None:
    ledger.reserve(a_request(people(ledger, "a patient")))
    rows = sqlite3.connect(home.root / "records.db").execute("SELECT body FROM audit_events").fetchall()
    assert ledger.key.handle("patient", "a patient") in str(rows)
    assert "a patient" not in str(rows)
    assert PatientKey(home.root / "another.key").handle("patient", "a patient") not in str(rows)


def test_a_large_cohort_takes_several_events_and_is_one_cohort(ledger: PrivacyLedger) -> None:
    names = [str(number) for number in range(1201)]
    ledger.reserve(a_request(people(ledger, *names)))
    assert spent_by(ledger, *names) == [1] * 1201


def test_a_lost_key_is_noticed_before_anybody_gets_a_fresh_budget(home: SiteHome, ledger: PrivacyLedger) -> None:
    ledger.reserve(a_request(people(ledger, "a")))
    home.patients_key.unlink()
    with pytest.raises(AuditError, match="another key"):
        a_ledger(home).read()


def edit(home: SiteHome, statement: str) -> None:
    """What somebody with the file can do: the triggers do not stop them."""
    with sqlite3.connect(home.root / "records.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET body = replace(body, '\"steps\":5', '\"steps\":1') WHERE action = 'privacy.reserved'",
        "DELETE FROM audit_events WHERE seq = 2",
    ],
    ids=["a smaller spend", "none at all"],
)
def test_an_edited_ledger_decides_nothing(home: SiteHome, ledger: PrivacyLedger, statement: str) -> None:
    ledger.reserve(a_request(people(ledger, "a")))
    ledger.reserve(a_request(people(ledger, "a"), number=2))
    edit(home, statement)
    with pytest.raises(AuditError):
        a_ledger(home).reserve(a_request(people(ledger, "a"), number=3))


def test_a_database_from_a_backup_is_noticed_by_its_signed_heads(home: SiteHome, tmp_path: Path) -> None:
    ledger, backup = a_ledger(home), tmp_path / "backup.db"
    ledger.reserve(a_request(people(ledger, "a")))
    with sqlite3.connect(home.root / "records.db") as source, sqlite3.connect(backup) as copy:
        source.backup(copy)
    ledger.reserve(a_request(people(ledger, "a"), number=2))
    records_of(home).sign_head(load_key(home.audit_key), home.checkpoints)
    for file in home.root.glob("records.db*"):
        file.unlink()
    shutil.copy(backup, home.root / "records.db")
    with pytest.raises(AuditError, match="removed"):
        a_ledger(home).reserve(a_request(people(ledger, "a"), number=3))


def test_a_database_that_goes_back_under_a_running_trainer_is_noticed(home: SiteHome, ledger: PrivacyLedger) -> None:
    for number in (1, 2, 3):
        ledger.reserve(a_request(people(ledger, "a"), number=number))
    edit(home, "DELETE FROM audit_events WHERE seq = 4")
    edit(home, "UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit_events WHERE seq = 3)")
    with pytest.raises(AuditError):
        ledger.reserve(a_request(people(ledger, "a"), number=4))


def test_a_torn_write_leaves_the_ledger_as_before_or_as_after(home: SiteHome, tmp_path: Path) -> None:
    ledger = a_ledger(home)
    ledger.reserve(a_request(people(ledger, "a")))
    wal = home.root / "records.db-wal"
    before = wal.stat().st_size
    ledger.reserve(a_request(people(ledger, "a"), number=2))
    whole = wal.read_bytes()
    database = (home.root / "records.db").read_bytes()
    seen = set()
    for cut in [*range(before, len(whole), 997), len(whole)]:
        torn = SiteHome(tmp_path / f"torn-{cut}")
        shutil.copytree(home.root / "keys", torn.root / "keys")
        (torn.root / "records.db").write_bytes(database)
        (torn.root / "records.db-wal").write_bytes(whole[:cut])
        after = a_ledger(torn)
        seen.add(spent_by(after, "a")[0])
        after.reserve(a_request(people(after, "a"), number=3))
    assert seen == {1, 2}


def test_wherever_it_is_killed_what_began_is_counted(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fl_client.killed_ledger", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["tries"]) > 100
    assert all(one["ended"] == -signal.SIGKILL for one in told["tries"])
    assert not [one for one in told["tries"] if one["began"] and not one["counted"]]
    counted = [one["counted"] for one in told["tries"]]
    assert {True, False} == set(counted), "killed before it is written, and after"


RACE = """
import sys
from dataclasses import replace
from pathlib import Path
from core.errors import PrivacySpent
from fl_client.paths import SiteHome
from tests.fl_client.factories_ledger import a_ledger, a_request, people
folder, number, budget = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
ledger = a_ledger(SiteHome(folder))
print("ready", flush=True)
sys.stdin.readline()
won = 0
for turn in range(4):
    try:
        ledger.reserve(a_request(people(ledger, "a"), run=f"r{number}", number=turn + 1, budget=budget))
        won += 1
    except PrivacySpent:
        pass
print(won)
"""


def test_four_processes_that_race_for_the_last_of_the_budget_spend_it_once(home: SiteHome) -> None:
    budget, ledger = rounds_spent(6), a_ledger(home)
    ledger.reserve(a_request(people(ledger, "a")))
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(home.root), str(number), str(budget)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for racer in racers:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [int(racer.communicate(timeout=120)[0]) for racer in racers]
    assert sum(won) == 5, "six rounds fit, and one was spent before"
    assert spent_by(ledger, "a") == [6]


def test_a_report_says_what_was_spent_what_is_left_and_by_whom(ledger: PrivacyLedger) -> None:
    ledger.reserve(a_request(people(ledger, "a", "b"), run="first"))
    ledger.reserve(a_request(people(ledger, "b", "c"), run="second"))
    report = privacy_report(ledger, SitePrivacySettings(budget=8.0))
    assert (report.patients, report.unprotected) == (3, 0)
    assert report.epsilon == pytest.approx(rounds_spent(2))
    assert report.left == pytest.approx(8.0 - rounds_spent(2))
    assert [(one.run, one.trainings, one.epsilon) for one in report.runs] == [
        ("first", 1, pytest.approx(rounds_spent(1))),
        ("second", 1, pytest.approx(rounds_spent(1))),
    ]
    lines = "\n".join(report_lines(report))
    assert f"Left of the budget: {8.0 - rounds_spent(2):.2f}." in lines


def test_a_report_says_who_has_no_protection(ledger: PrivacyLedger) -> None:
    ledger.reserve(a_request(people(ledger, "a"), spend=NO_NOISE, budget=math.inf))
    ledger.reserve(a_request(people(ledger, "b"), run="s"))
    report = privacy_report(ledger, SitePrivacySettings())
    assert (report.patients, report.unprotected, report.left) == (2, 1, None)
    told = report.as_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["epsilon"], told["unbounded"]) == (None, True)
    lines = report_lines(report)
    assert any("no bound" in line for line in lines)
    assert lines[-1] == "No budget is set: [privacy] budget in site.toml."
