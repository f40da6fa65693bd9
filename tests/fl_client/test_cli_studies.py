"""Approving, refusing and the ledger at the command line, against a coordinator on loopback."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from core.errors import ConfigError, FederationError
from core.study import FederationSettings, ModelSettings, Study
from fl_client.cli import main
from fl_client.config import load_site
from fl_client.coordinator import Coordinator
from fl_client.offers import fetch_offers
from fl_client.paths import SiteHome
from fl_client.site_records import SiteRecords
from tests.fl_client.factories_coordinator import ScriptedCoordinator
from tests.fl_client.factories_site import events
from tests.fl_client.factories_studies import offered

STUDY = Study(name="tiny", model=ModelSettings(preset="tiny"), federation=FederationSettings(rounds=3))


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


class Terminal(io.StringIO):
    """A person who types this; what is to happen before they do, happens first."""

    before: Callable[[], object] = staticmethod(lambda: None)

    def isatty(self) -> bool:
        return True

    def readline(self, size: int = -1, /) -> str:
        self.before()
        return super().readline(size)


@pytest.fixture
def fl_client(
    home: SiteHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    def run(*arguments: str, typed: io.StringIO | None = None) -> Done:
        monkeypatch.setenv("FL_HOME", str(home.root))
        monkeypatch.setattr(sys, "argv", ["fl-client", *arguments])
        monkeypatch.setattr(sys, "stdin", typed or io.StringIO())
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return Done(int(ended.value.code or 0), told.out, told.err)

    return run


@pytest.fixture
def records(home: SiteHome) -> SiteRecords:
    return SiteRecords("north", home.records)


def test_a_person_sees_the_card_and_says_yes(
    fl_client: Callable[..., Done], coordinator: ScriptedCoordinator, home: SiteHome, records: SiteRecords
) -> None:
    toml = offered(coordinator, home.root / "app", STUDY)
    done = fl_client("approve", "tiny", typed=Terminal("y\n"))
    assert done.returncode == 0, done.stderr
    card, asked, after = done.stdout.partition("Approve? [y/N]: ")
    assert asked
    assert card.startswith(f"study           tiny\nasked by        the coordinator at {coordinator.address}, on ")
    assert "also asked      south\n" in card
    assert after == "tiny is approved; the coordinator knows.\n"
    records.check_approved("tiny", toml)
    assert coordinator.answers["tiny"]["bundle_sha256"] in card


@pytest.mark.parametrize("typed", ["n\n", "\n"])
def test_anything_but_yes_approves_nothing(
    fl_client: Callable[..., Done],
    coordinator: ScriptedCoordinator,
    home: SiteHome,
    records: SiteRecords,
    typed: str,
) -> None:
    offered(coordinator, home.root / "app", STUDY)
    done = fl_client("approve", "tiny", typed=Terminal(typed))
    assert "Nothing was answered." in done.stdout
    assert records.offer_of("tiny").state == "pending"
    assert not coordinator.answers


def test_without_a_terminal_the_card_is_shown_and_nothing_approved(
    fl_client: Callable[..., Done], coordinator: ScriptedCoordinator, home: SiteHome, records: SiteRecords
) -> None:
    offered(coordinator, home.root / "app", STUDY)
    done = fl_client("approve", "tiny", typed=io.StringIO("y\n"))
    assert done.returncode == ConfigError.exit_code
    assert done.stdout.startswith("study           tiny\n")
    assert "Fix: read the card, then run `fl-client approve tiny --yes`" in done.stderr
    assert records.offer_of("tiny").state == "pending"
    assert not coordinator.answers


def test_yes_approves_without_asking_and_still_shows_what(
    fl_client: Callable[..., Done], coordinator: ScriptedCoordinator, home: SiteHome, records: SiteRecords
) -> None:
    offered(coordinator, home.root / "app", STUDY)
    done = fl_client("approve", "tiny", "--yes")
    assert (done.returncode, "Approve?" in done.stdout, "model           tiny" in done.stdout) == (0, False, True)
    assert records.offer_of("tiny").state == "approved"


def test_json_is_the_card_and_approves_nothing(
    fl_client: Callable[..., Done], coordinator: ScriptedCoordinator, home: SiteHome, records: SiteRecords
) -> None:
    offered(coordinator, home.root / "app", STUDY)
    told = json.loads(fl_client("approve", "tiny", "--json", typed=Terminal("y\n")).stdout)
    assert (told["study"], told["rounds"], told["state"]) == ("tiny", 3, "pending")
    assert told["bundle_sha256"] == coordinator.offers[0]["bundle_sha256"]
    assert fl_client("approve", "tiny", "--json", "--yes").returncode == ConfigError.exit_code
    assert records.offer_of("tiny").state == "pending"


def test_an_offer_that_is_replaced_while_a_person_reads_is_not_approved(
    fl_client: Callable[..., Done], coordinator: ScriptedCoordinator, home: SiteHome, records: SiteRecords
) -> None:
    offered(coordinator, home.root / "app", STUDY)
    person = Terminal("y\n")

    def replace() -> None:
        longer = STUDY.model_copy(update={"federation": FederationSettings(rounds=9_000)})
        offered(coordinator, home.root / "app", longer)
        with Coordinator(load_site(home), home) as agent:
            fetch_offers(agent, records, home)

    person.before = replace  # type: ignore[method-assign]
    done = fl_client("approve", "tiny", typed=person)
    assert done.returncode == FederationError.exit_code
    assert "other settings meanwhile" in done.stderr
    assert records.offer_of("tiny").state == "pending"
    assert not coordinator.answers


def test_the_card_of_a_changed_study_names_the_difference(
    fl_client: Callable[..., Done], coordinator: ScriptedCoordinator, home: SiteHome, records: SiteRecords
) -> None:
    offered(coordinator, home.root / "app", STUDY)
    assert fl_client("approve", "tiny", "--yes").returncode == 0
    offered(coordinator, home.root / "app", STUDY.model_copy(update={"seed": 8}))
    with Coordinator(load_site(home), home) as agent:
        fetch_offers(agent, records, home)
    assert json.loads(fl_client("approve", "tiny", "--json").stdout)["differences"] == ["seed: 7 -> 8"]


def test_the_ledger_lists_events_as_they_were_written(fl_client: Callable[..., Done], records: SiteRecords) -> None:
    assert fl_client("ledger").stdout == "Nothing has left this site.\n"
    sent = {"study": "tiny", "run": "tiny-1", "round": 1, "weights_sha256": "0123456789abcdef" * 4}
    records.append("gate", "update.sent", **sent, bytes=1000)
    records.append("gate", "error.sent", **{**sent, "study": "other", "run": "", "round": 0}, bytes=0, code=1007)
    records.append("gate", "reply.refused", study="tiny", run="", round=2, reason="The weights hold NaN")
    records.append("gate", "task.received", study="tiny", run="tiny-1", round=3)
    lines = fl_client("ledger").stdout.splitlines()
    assert [line[21:] for line in lines[1:4]] == [
        "tiny   tiny-1      1  update      1,000  0123456789ab",
        "other  -           0  error 1007      0  0123456789ab",
        "tiny   -           2  HELD BACK       0  -  The weights hold NaN",
    ]
    assert lines[-2:] == [
        "tiny: 1 answer left, 1,000 bytes (0.00 MB); 1 HELD BACK",
        "other: 1 answer left, 0 bytes (0.00 MB)",
    ]
    told = json.loads(fl_client("ledger", "--study", "tiny", "--json").stdout)
    assert [(one["what"], one["bytes"], one["round"]) for one in told["departures"]] == [
        ("update", 1000, 1),
        ("held back", 0, 2),
    ]
    assert told["totals"] == [{"study": "tiny", "answers": 1, "bytes": 1000, "held_back": 1}]
    assert fl_client("ledger", "--study", "nobody").stdout == "Nothing has left this site.\n"


def test_a_refusal_withdraws_an_approval(
    fl_client: Callable[..., Done], coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    offered(coordinator, home.root / "app", STUDY)
    fl_client("approve", "tiny", "--yes")
    done = fl_client("refuse", "tiny", "--reason", "the ethics vote is open")
    assert done.stdout == "tiny is refused; the coordinator knows.\n"
    assert coordinator.answers["tiny"]["reason"] == "the ethics vote is open"
    assert events(home)[-2:] == ["study.approved", "study.refused"]
