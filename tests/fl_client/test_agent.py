import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from threading import Thread

import pytest

from core.certificates import serial_of
from core.clock import after, age_s, now
from core.errors import AuditError, ConnectionProblem
from core.hours import DAYS, HoursSettings
from core.learning.privacy import Spend
from core.records.audit import events as audit_events
from core.records.db import open_database, reading
from core.signing import load_public
from core.study import FederationSettings, ModelSettings, Study
from fl_client import agent as agent_module
from fl_client.agent import Agent, attend
from fl_client.config import PolicySettings, load_site
from fl_client.contact import read_contact
from fl_client.paths import SiteHome
from fl_client.privacy_ledger import AT_ONCE, PrivacyLedger, Request
from fl_client.progress import Progress, ProgressFile
from fl_client.traffic import Passed, Traffic
from fl_client.trainer_socket import listen, pack, serve, unpack
from tests.fl_client.factories_coordinator import ScriptedCoordinator
from tests.fl_client.factories_site import events
from tests.fl_client.factories_studies import offered

TRAINING = Progress("training", "r-1", 3, 5, 20, now(), None, "CPU", "", 1.5, 0.0, (7, 8))


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
def agent(home: SiteHome, traffic: Traffic) -> Iterator[Agent]:
    home.run.mkdir()
    attending = Agent(load_site(home), home, traffic)
    yield attending
    attending.close()


def test_the_coordinator_is_told_what_the_trainer_does_and_what_has_passed(
    coordinator: ScriptedCoordinator, home: SiteHome, traffic: Traffic, agent: Agent
) -> None:
    agent.beat()
    assert coordinator.statuses[-1]["state"] == "idle"
    ProgressFile(home.progress).show(TRAINING)
    traffic.count(7, Passed(100, 10))
    traffic.count(8, Passed(20, 2))
    traffic.count(9, Passed(7000, 7000))  # of another run
    agent.beat()
    told = coordinator.statuses[-1]
    assert (told["state"], told["run"], told["round"], told["done"], told["total"]) == ("training", "r-1", 3, 5, 20)
    assert (told["sent_bytes"], told["received_bytes"], told["cpu_s"], told["device"]) == (120, 12, 1.5, "CPU")
    assert told["receipt"] == agent.records.head() != "0" * 64


def test_how_long_a_private_task_took_is_for_this_site_alone(home: SiteHome, agent: Agent) -> None:
    ProgressFile(home.progress).show(replace(TRAINING, is_private=True, expected_end=now(), gpu_s=2.0))
    told = agent.status()
    assert (told.cpu_s, told.gpu_s, told.expected_end) == (0.0, 0.0, None)
    assert (told.state, told.run, told.round) == ("training", "r-1", 3)


@pytest.mark.parametrize("state", ["evaluating", "training"])
def test_the_steps_of_a_private_task_and_their_pace_are_for_this_site_alone(
    home: SiteHome, agent: Agent, state: str
) -> None:
    long_ago = after(-600)
    ProgressFile(home.progress).show(replace(TRAINING, state=state, is_private=True, progressed_at=long_ago))
    told = agent.status()
    assert (told.state, told.done, told.total) == ("training", 0, 0), "nor when patients are looked up before"
    assert age_s(told.progressed_at) < 60
    ProgressFile(home.progress).show(replace(TRAINING, state=state, progressed_at=long_ago))
    told = agent.status()
    assert (told.state, told.done, told.total, told.progressed_at) == (state, 5, 20, long_ago)


def test_when_a_private_task_ended_is_told_so_that_a_lost_one_is_asked_for_again(home: SiteHome, agent: Agent) -> None:
    ended = after(-600)
    ProgressFile(home.progress).show(Progress("idle", "r-1", 3, progressed_at=ended, is_private=True))
    assert agent.status().progressed_at == ended


def test_as_many_events_are_told_however_many_patients_they_name(home: SiteHome, agent: Agent) -> None:
    ledger = PrivacyLedger.of_home(home)
    before = agent.status()
    ledger.reserve(a_request(1))
    one = agent.status()
    ledger.reserve(a_request(2 * AT_ONCE + 1))
    many = agent.status()
    assert one.events - before.events == many.events - one.events == 1
    assert len({told.receipt for told in (before, one, many)}) == 3


def a_request(patients: int) -> Request:
    spend = Spend(1.0, 0.1, 5)
    return Request("tiny", "r-1", 1, tuple((f"{number:020x}",) for number in range(patients)), spend, spend)


def test_a_head_that_the_coordinator_has_seen_and_this_log_never_had_is_an_event_and_stays_known(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent
) -> None:
    coordinator.orders["seen"] = agent.records.head()
    agent.beat()
    coordinator.orders["seen"] = "f" * 64
    for _ in range(2):
        with pytest.raises(AuditError, match="lost events"):
            agent.beat()
    coordinator.orders["seen"] = ""
    agent.beat()
    assert "lost events" in coordinator.statuses[-1]["cause"]
    with reading(open_database(home.records)) as session:
        assert len(audit_events(session, action="log.lost")) == 1
    with pytest.raises(AuditError, match="lost events"):
        PrivacyLedger.of_home(home).read()


def test_bytes_of_a_run_are_counted_on_over_a_restart_of_the_gate(home: SiteHome, agent: Agent) -> None:
    ProgressFile(home.progress).show(TRAINING)
    agent.traffic.count(7, Passed(100, 10))
    assert agent.status().sent_bytes == 100
    fresh = Traffic()
    restarted = Agent(load_site(home), home, fresh)
    assert restarted.status().sent_bytes == 100
    fresh.count(7, Passed(5, 1))
    assert (restarted.status().sent_bytes, restarted.status().received_bytes) == (105, 11)


def test_a_stopped_run_is_told_to_the_trainer_at_every_beat(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent
) -> None:
    coordinator.orders["cancel"] = ["r-1"]
    agent.beat()  # without a trainer there is nothing to stop
    told: list[dict] = []
    with listen(home.trainer) as listener:
        Thread(
            target=serve, args=(listener, lambda asked: told.append(unpack(asked)[0]) or pack({})), daemon=True
        ).start()
        agent.beat()
        agent.beat()
        coordinator.orders["cancel"] = []
        agent.beat()
    assert [request["runs"] for request in told] == [["r-1"], ["r-1"], []]


def test_new_offers_are_fetched_when_the_coordinator_says_that_there_are_some(
    coordinator: ScriptedCoordinator, agent: Agent
) -> None:
    agent.beat()
    assert coordinator.calls.count("GET offers") == 1
    agent.beat()
    assert coordinator.calls.count("GET offers") == 1
    coordinator.offer('name = "tiny"\n')
    coordinator.orders["pending_offers"] = ["tiny"]
    agent.beat()
    assert [offer.study for offer in agent.records.offers()] == ["tiny"]
    agent.beat()
    assert coordinator.calls.count("GET offers") == 2


LENIENT = PolicySettings(
    approve="by-rule", max_rounds=10, max_epochs_per_round=1, models=("tiny",), require_differential_privacy=False
)


def a_short_study(rounds: int = 10) -> Study:
    return Study(name="tiny", model=ModelSettings(preset="tiny"), federation=FederationSettings(rounds=rounds))


def ruled_by(agent: Agent, policy: PolicySettings = LENIENT) -> Agent:
    agent.site = agent.site.model_copy(update={"policy": policy})
    return agent


def state_of(agent: Agent) -> str:
    (offer,) = agent.records.offers()
    return offer.state


def ask_again(coordinator: ScriptedCoordinator, agent: Agent) -> None:
    """Let the agent look for offers at its next beat, as it does every minute."""
    agent._offers.done = float("-inf")
    agent.beat()


def test_a_study_that_keeps_to_the_rules_is_approved_and_the_log_has_the_rules(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent
) -> None:
    toml = offered(coordinator, home.root / "app", a_short_study())
    ruled_by(agent).beat()
    agent.records.check_approved("tiny", toml)
    assert coordinator.answers["tiny"]["state"] == "approved"
    assert coordinator.answers["tiny"]["bundle_sha256"] == coordinator.offers[0]["bundle_sha256"]
    with reading(open_database(home.records)) as session:
        (event,) = audit_events(session, action="study.approved")
        actor, body = event.actor, json.loads(event.body)
    assert (actor, body["reason"]) == ("policy", "by this site's policy")
    assert body["rules"] == [
        "10 rounds are at most 10",
        "1 epoch a round is at most 1",
        "the model tiny is among tiny",
        "differential privacy is not required here",
        "its bundle holds no unexpected file",
        "a person here refused no version of it",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"approve": "never"},
        {"max_rounds": 9},
        {"max_epochs_per_round": 0},
        {"models": ("base",)},
        {"require_differential_privacy": True},
    ],
    ids=str,
)
def test_one_rule_that_does_not_hold_leaves_it_to_a_person(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent, change: dict[str, object]
) -> None:
    offered(coordinator, home.root / "app", a_short_study())
    ruled_by(agent, LENIENT.model_copy(update=change)).beat()
    assert state_of(agent) == "pending"
    assert not coordinator.answers


def test_a_bundle_with_an_unexpected_file_is_left_to_a_person(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent
) -> None:
    offered(coordinator, home.root / "app", a_short_study(), **{"gliofed_study/more.py": "import os"})
    ruled_by(agent).beat()
    assert state_of(agent) == "pending"


def test_a_changed_study_is_judged_anew(coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent) -> None:
    offered(coordinator, home.root / "app", a_short_study(rounds=3))
    ruled_by(agent).beat()
    assert state_of(agent) == "approved"
    offered(coordinator, home.root / "app", a_short_study(rounds=11))
    ask_again(coordinator, agent)
    assert state_of(agent) == "pending"
    offered(coordinator, home.root / "app", a_short_study(rounds=4))
    ask_again(coordinator, agent)
    assert state_of(agent) == "approved"


def test_what_a_person_refused_is_never_approved_by_rule_until_a_person_approves_it(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent
) -> None:
    offered(coordinator, home.root / "app", a_short_study(rounds=3))
    ruled_by(agent).beat()
    agent.records.answer("tiny", "refused", "the ethics vote is open")
    ask_again(coordinator, agent)
    assert state_of(agent) == "refused"
    offered(coordinator, home.root / "app", a_short_study(rounds=4))
    ask_again(coordinator, agent)
    assert state_of(agent) == "pending"
    agent.records.answer("tiny", "approved", "")
    offered(coordinator, home.root / "app", a_short_study(rounds=5))
    ask_again(coordinator, agent)
    assert state_of(agent) == "approved"


def test_a_study_that_waited_already_is_judged_by_new_rules(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent
) -> None:
    offered(coordinator, home.root / "app", a_short_study())
    agent.beat()
    assert state_of(agent) == "pending"
    ask_again(coordinator, ruled_by(agent))
    assert state_of(agent) == "approved"


def test_a_certificate_is_renewed_in_time_and_shown_from_then_on(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent
) -> None:
    agent.beat()
    assert "POST renew" not in coordinator.calls
    before = serial_of(home.certificate.read_text())
    home.renew_at.write_text(now())
    agent.beat()
    agent.beat()
    assert coordinator.calls.count("POST renew") == 1
    assert serial_of(home.certificate.read_text()) != before
    assert events(home, "certificate.renewed") == ["certificate.renewed"]


def test_a_renewal_that_is_refused_is_not_asked_for_at_every_beat(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent
) -> None:
    home.renew_at.write_text(now())
    coordinator.scripted["POST renew"] = (403, {"problem": "too many", "fix": "ask"})
    for _ in range(3):
        agent_module._beat(agent)
    assert coordinator.calls.count("POST renew") == 1
    assert len(coordinator.statuses) == 3


def test_the_head_of_the_audit_log_is_signed_outside_the_database(home: SiteHome, agent: Agent) -> None:
    agent.beat()
    assert len(home.checkpoints.read_text().splitlines()) == 1
    verified = agent.records.verify(home.checkpoints, load_public(home.audit_public))
    assert (verified.events, verified.checkpoints) == (1, 1)


def test_the_site_asks_more_often_while_something_is_under_way(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent
) -> None:
    assert agent.beat() == agent_module.IDLE_S
    coordinator.orders["active"] = ["r-1"]
    before = agent.traffic.idle_s()
    assert agent.beat() == agent_module.BUSY_S
    assert agent.traffic.idle_s() < before + 60
    coordinator.orders["active"] = []
    ProgressFile(home.progress).show(TRAINING)
    assert agent.beat() == agent_module.BUSY_S


def test_an_upload_lasts_as_long_as_something_leaves(
    home: SiteHome, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(agent_module.time, "monotonic", lambda: clock[0])
    handed_over = "2026-01-01T00:00:00.000000Z"  # long ago
    ProgressFile(home.progress).show(Progress("uploading", "r-1", 3, progressed_at=handed_over, flower_runs=(7,)))
    agent.traffic.count(7, Passed(10, 0))
    assert agent.status().state == "uploading"
    clock[0] += 9
    agent.traffic.count(7, Passed(10, 0))
    assert agent.status().state == "uploading"
    clock[0] += 9
    assert agent.status().state == "uploading"
    clock[0] += 2
    assert agent.status().state == "idle"
    ProgressFile(home.progress).show(Progress("uploading", "r-1", 4, progressed_at=now(), flower_runs=(7,)))
    assert agent.status().state == "uploading"


def test_the_cause_is_the_process_that_ended_else_the_way_out_else_the_last_task(
    home: SiteHome, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.supervision import ProcessState

    ProgressFile(home.progress).show(Progress(progressed_at=now(), cause="the cohort is not prepared"))
    assert agent.status().cause == "the cohort is not prepared"
    agent.traffic.fail("The connection is refused", "ask")
    assert agent.status().cause == "The connection is refused"
    ended = ProcessState("trainer", None, now(), 3, -9)
    monkeypatch.setattr(agent_module, "states_of", lambda _: [ended])
    assert agent.status().cause == "the process trainer ended with exit code -9 and is started again"


def test_a_coordinator_that_is_away_is_logged_once_and_so_is_its_return(
    coordinator: ScriptedCoordinator, home: SiteHome, agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="fl_client.agent")
    agent_module._beat(agent)
    reached_at = read_contact(home.contact).reached_at
    coordinator.scripted["POST status"] = (502, b"")
    for _ in range(4):
        assert agent_module._beat(agent) == agent_module.AWAY_S
    contact = read_contact(home.contact)
    assert (contact.reached_at, contact.problem) == (reached_at, "The coordinator's service does not answer (HTTP 502)")
    coordinator.scripted["POST status"] = (403, {"problem": "The site north is suspended", "fix": "ask"})
    for _ in range(3):
        assert agent_module._beat(agent) == agent_module.REFUSED_S
    coordinator.scripted.clear()
    for _ in range(3):
        agent_module._beat(agent)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "The coordinator's service does not answer (HTTP 502)",
        "The site north is suspended",
        "All is well again with the coordinator",
    ]
    assert read_contact(home.contact).problem == ""


def test_nothing_ends_the_agent(
    coordinator: ScriptedCoordinator, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An expected failure, a bug, then an answer; each is followed by the next beat."""
    monkeypatch.setattr(agent_module, "AWAY_S", 0.0)
    monkeypatch.setattr(agent_module, "REFUSED_S", 0.0)
    honest, troubles = agent.beat, [ConnectionProblem("away", fix="wait"), ZeroDivisionError("a bug")]

    def troubled() -> float:
        if troubles:
            raise troubles.pop(0)
        return honest()

    monkeypatch.setattr(agent, "beat", troubled)

    async def until_answered() -> None:
        attending = asyncio.create_task(attend(agent))
        while not coordinator.statuses:
            await asyncio.sleep(0.01)
        attending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attending

    asyncio.run(until_answered())
    assert "a bug" in caplog.text


def test_nothing_that_is_told_can_hold_more_than_the_protocol_lets_it(home: SiteHome, agent: Agent) -> None:
    agent.traffic.fail("x" * 5000, "y")
    ProgressFile(home.progress).show(TRAINING)
    assert len(agent.status().cause) == 500
    assert json.loads(agent.status().model_dump_json())["cause"] == "x" * 500


def elsewhen() -> HoursSettings:
    """Hours that do not begin before the day after tomorrow."""
    day = DAYS[(datetime.now(UTC).weekday() + 2) % 7]
    return HoursSettings(windows=(f"{day} 10:00-11:00",))


def test_outside_its_hours_a_site_tells_until_when_it_waits_whatever_its_trainer_was_at(
    home: SiteHome, agent: Agent
) -> None:
    agent.site = agent.site.model_copy(update={"hours": elsewhen()})
    ProgressFile(home.progress).show(replace(TRAINING, is_private=True))
    told = agent.status()
    assert (told.state, told.run, told.round) == ("idle", "r-1", 3)
    assert told.expected_end is not None
    assert told.expected_end > now()
    until = told.expected_end[:16].replace("T", " ")
    assert told.cause == f"waits until {until} UTC: the site's own hours"
    ProgressFile(home.progress).show(replace(TRAINING, state="uploading"))
    assert agent.status().state == "uploading", "what is done may leave at any time"


def test_what_is_wrong_at_a_site_goes_before_its_hours(home: SiteHome, agent: Agent) -> None:
    agent.site = agent.site.model_copy(update={"hours": elsewhen()})
    ProgressFile(home.progress).show(replace(TRAINING, state="idle", cause="no room"))
    assert agent.status().cause == "no room"
