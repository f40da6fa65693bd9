import hashlib
import json
from collections.abc import Iterator

import pytest

from core.errors import ConnectionProblem, FederationError, UpdateRejected
from fl_client.config import load_site
from fl_client.coordinator import Coordinator
from fl_client.offers import answer_offer, fetch_offers
from fl_client.paths import SiteHome
from fl_client.site_records import SiteRecords
from tests.fl_client.factories_coordinator import ScriptedCoordinator, a_bundle
from tests.fl_client.factories_site import events

TOML = 'name = "tiny"\r\nseed = 3\n'


@pytest.fixture
def records(home: SiteHome) -> SiteRecords:
    return SiteRecords("north", home.records)


@pytest.fixture
def reached(home: SiteHome) -> Iterator[Coordinator]:
    with Coordinator(load_site(home), home) as reached:
        yield reached


def test_an_offer_is_fetched_once_and_lies_where_people_can_read_it(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    bundle = coordinator.offer(TOML)
    assert fetch_offers(reached, records, home) == ["tiny"]
    assert fetch_offers(reached, records, home) == []
    assert coordinator.calls.count("GET offers/tiny/bundle") == 1
    assert (home.studies / "tiny" / "study.toml").read_bytes() == TOML.encode()
    assert (home.studies / "tiny" / "bundle.fab").read_bytes() == bundle
    (offer,) = records.offers()
    assert (offer.study, offer.state, offer.answered_at) == ("tiny", "pending", None)
    assert events(home) == ["site.enrolled", "study.offered"]


def test_an_answer_decides_here_and_is_told_to_the_coordinator(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    coordinator.offer(TOML)
    fetch_offers(reached, records, home)
    with pytest.raises(UpdateRejected, match="pending"):
        records.check_approved("tiny", TOML)
    answer_offer(records, reached, "tiny", "approved", "")
    records.check_approved("tiny", TOML)
    with pytest.raises(UpdateRejected, match="other settings"):
        records.check_approved("tiny", TOML.replace("\r\n", "\n"))
    assert coordinator.answers["tiny"] == {
        "state": "approved",
        "reason": "",
        "bundle_sha256": coordinator.offers[0]["bundle_sha256"],
    }
    answer_offer(records, reached, "tiny", "refused", "the ethics board says no")
    with pytest.raises(UpdateRejected, match="refused"):
        records.check_approved("tiny", TOML)
    assert coordinator.answers["tiny"]["reason"] == "the ethics board says no"
    assert events(home)[-2:] == ["study.approved", "study.refused"]


def test_an_answer_that_did_not_arrive_is_told_later(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    coordinator.offer(TOML)
    fetch_offers(reached, records, home)
    coordinator.scripted["POST offers/tiny"] = (502, b"")
    with pytest.raises(ConnectionProblem, match="approved here, but the coordinator does not know"):
        answer_offer(records, reached, "tiny", "approved", "")
    records.check_approved("tiny", TOML)
    coordinator.scripted.clear()
    fetch_offers(reached, records, home)
    assert coordinator.answers["tiny"]["state"] == "approved"
    coordinator.offers[0]["state"] = "approved"
    coordinator.answers.clear()
    fetch_offers(reached, records, home)
    assert not coordinator.answers


def test_an_offer_that_two_bring_at_once_keeps_the_answer_that_was_given_between(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    """The agent has fetched it and not kept it yet, when a person's command fetches, keeps and answers it."""
    bundle = coordinator.offer(TOML)
    (fetched,) = reached.offers().offers
    fetch_offers(reached, records, home)
    answer_offer(records, reached, "tiny", "approved", "")
    records.learn(fetched, bundle)
    records.check_approved("tiny", TOML)
    assert events(home, "study.offered") == ["study.offered"]


def test_a_study_that_nobody_offered_cannot_be_answered(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords
) -> None:
    with pytest.raises(FederationError, match="not offered a study other"):
        answer_offer(records, reached, "other", "approved", "")
    assert not coordinator.answers


def test_a_study_that_comes_again_with_other_settings_must_be_approved_again(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    coordinator.offer(TOML)
    fetch_offers(reached, records, home)
    answer_offer(records, reached, "tiny", "approved", "")
    coordinator.offer(TOML.replace("3", "4"))
    assert fetch_offers(reached, records, home) == ["tiny"]
    (offer,) = records.offers()
    assert offer.state == "pending"
    with pytest.raises(UpdateRejected, match="pending"):
        records.check_approved("tiny", TOML)


def test_an_answer_about_a_bundle_that_was_replaced_meanwhile_is_refused(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    coordinator.offer(TOML)
    fetch_offers(reached, records, home)
    shown = records.offer_of("tiny").bundle_sha256
    coordinator.offer(TOML.replace("3", "4"))
    fetch_offers(reached, records, home)
    with pytest.raises(FederationError, match="other settings meanwhile"):
        answer_offer(records, reached, "tiny", "approved", "", shown)
    assert records.approve_by_rule("tiny", shown, ["a rule"]) is None
    assert records.offer_of("tiny").state == "pending"
    assert not coordinator.answers
    answer_offer(records, reached, "tiny", "approved", "", records.offer_of("tiny").bundle_sha256)
    assert records.offer_of("tiny").state == "approved"


def test_a_rule_does_not_stand_in_for_an_answer_that_was_given(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    coordinator.offer(TOML)
    fetch_offers(reached, records, home)
    refused = records.answer("tiny", "refused", "no")
    assert records.approve_by_rule("tiny", refused.bundle_sha256, ["a rule"]) is None
    assert (records.offer_of("tiny").state, records.offer_of("tiny").reason) == ("refused", "no")


def test_the_last_approved_version_is_the_studys_own_else_the_newest_of_all(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    assert records.last_approved("tiny") is None
    for name, seed in (("tiny", 3), ("tiny", 4), ("other", 5)):
        coordinator.offer(f'name = "{name}"\nseed = {seed}\n', name)
        fetch_offers(reached, records, home)
        records.answer(name, "approved", "")
    coordinator.offer('name = "tiny"\nseed = 6\n')
    fetch_offers(reached, records, home)
    records.answer("tiny", "refused", "no")

    def found(study: str) -> tuple[str, int]:
        last = records.last_approved(study)
        assert last is not None
        return last.study, last.settings["seed"]

    assert (found("tiny"), found("other"), found("third")) == (("tiny", 4), ("other", 5), ("other", 5))


def test_an_approval_by_the_coordinator_alone_is_none(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    coordinator.offer(TOML, state="approved")
    fetch_offers(reached, records, home)
    with pytest.raises(UpdateRejected, match="pending"):
        records.check_approved("tiny", TOML)


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (a_bundle(TOML.replace("3", "4")), "other settings than were shown"),
        (a_bundle(TOML, "README.md"), r"no study\.toml"),
        (b"not an archive", r"no study\.toml"),
        (a_bundle("x" * 10_000_000), "other settings than were shown"),
    ],
    ids=["other settings", "no study", "no archive", "too large"],
)
def test_a_bundle_that_is_not_what_is_shown_is_never_kept(
    coordinator: ScriptedCoordinator,
    reached: Coordinator,
    records: SiteRecords,
    home: SiteHome,
    bundle: bytes,
    reason: str,
) -> None:
    coordinator.offer(TOML, bundle_sha256=hashlib.sha256(bundle).hexdigest())
    coordinator.bundles["tiny"] = bundle
    with pytest.raises(FederationError, match=reason):
        fetch_offers(reached, records, home)
    assert not records.offers()
    assert not home.studies.exists()


def test_a_bundle_with_another_hash_or_name_is_never_kept(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    coordinator.offer(TOML, bundle_sha256="0" * 64)
    with pytest.raises(FederationError, match="another SHA-256"):
        fetch_offers(reached, records, home)
    coordinator.offer(TOML)
    coordinator.offers[0]["study"] = "../tiny"
    coordinator.calls.clear()
    with pytest.raises(FederationError, match="name another study"):
        fetch_offers(reached, records, home)
    assert coordinator.calls == ["GET offers"]
    assert not home.studies.exists()


def test_what_lies_for_reading_is_the_offer_itself(
    coordinator: ScriptedCoordinator, reached: Coordinator, records: SiteRecords, home: SiteHome
) -> None:
    coordinator.offer(TOML)
    fetch_offers(reached, records, home)
    told = json.loads((home.studies / "tiny" / "offer.json").read_text())
    assert told["sites"] == ["north", "south"]
    assert told["rounds_close"].startswith("2 of 2 sites")
