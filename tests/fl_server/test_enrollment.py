"""How a site comes in: once, with its own token, and only with Flower's consent."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from core.certificates import new_key, request_text, serial_of
from core.errors import AccessError, FederationError
from core.invitation import Invitation, invitation_text, read_invitation
from core.records.db import reading
from core.records.tables import Invitation as InvitationRow
from fl_server.access import check_access
from fl_server.enrollment import MOST_CERTIFICATES, enroll, invite, renew
from fl_server.provisioning import authority_fingerprint
from fl_server.sites import sites
from tests.fl_server.factories_coordinator import (
    Coordinator,
    coordinator,
    enrolled,
    enrollment,
    invited,
)
from tests.fl_server.factories_sites import Flower, caller, state, told, with_flower


@pytest.fixture
def of(database: str) -> Iterator[Coordinator]:
    with coordinator(database=database) as made:
        yield made


def test_an_invited_site_enrolls_once_and_may_call(of: Coordinator) -> None:
    flower = Flower()
    token = invited(of, "north")
    assert state(of, "north") == "invited"
    sent, _ = enrollment("north", token)
    answer = enroll(with_flower(of, flower), sent)
    assert check_access(of.records, caller(serial_of(answer.certificate))) == "north"
    (site,) = sites(of.records)
    assert (site.state, site.node_id, site.protocol, site.release) == ("enrolled", "10", 3, "0.1.0")
    assert flower.nodes == {"10": "north"}
    ((actor, body),) = told(of, "site.enrolled")
    assert actor == "site:north"
    assert (body["serial"], body["node"], body["audit_key"]) == (serial_of(answer.certificate), "10", sent.audit_key)
    with pytest.raises(AccessError, match="was used"):
        enroll(with_flower(of, flower), enrollment("north", token)[0])
    assert len(flower.nodes) == 1


def test_an_invitation_carries_what_the_site_needs_and_only_its_hash_is_kept(of: Coordinator) -> None:
    fingerprint = authority_fingerprint(of.home)
    made = invite(of.records, site="north", address="fl.example.org", ca_sha256=fingerprint)
    assert read_invitation(invitation_text(made)) == made
    assert isinstance(made, Invitation)
    assert (made.site, made.address, made.ca_sha256) == ("north", "fl.example.org", fingerprint)
    with reading(of.records) as session:
        (row,) = session.execute(select(InvitationRow.__table__)).all()
    assert tuple(row) == (hashlib.sha256(made.token.encode()).hexdigest(), "north", made.expires_at, None)


def test_the_clock_decides_about_an_invitation(of: Coordinator) -> None:
    token = invited(of, "north", timedelta(seconds=-1))
    with pytest.raises(AccessError, match="expired") as error:
        enroll(of.federation, enrollment("north", token)[0])
    assert "new invitation" in error.value.fix


def test_a_token_opens_only_the_door_it_was_made_for(of: Coordinator) -> None:
    token = invited(of, "north")
    invited(of, "south")
    with pytest.raises(AccessError, match="not for south"):
        enroll(of.federation, enrollment("south", token)[0])
    with pytest.raises(AccessError, match="not known"):
        enroll(of.federation, enrollment("north", token[:-1] + "~")[0])
    assert {site.state for site in sites(of.records)} == {"invited"}


def test_another_protocol_is_refused_by_name(of: Coordinator) -> None:
    sent, _ = enrollment("north", invited(of, "north"), protocol=1)
    with pytest.raises(AccessError, match="speaks protocol 1, the coordinator 3") as error:
        enroll(of.federation, sent)
    assert "release" in error.value.fix


@pytest.mark.parametrize(
    "wrong",
    [{"node_key": "nonsense"}, {"node_key": "ssh-ed25519 AAAA"}, {"audit_key": "x"}, {"certificate_request": ""}],
)
def test_a_key_that_cannot_be_used_leaves_the_invitation_as_it_was(of: Coordinator, wrong: dict[str, str]) -> None:
    flower, token = Flower(), invited(of, "north")
    with pytest.raises(AccessError):
        enroll(with_flower(of, flower), enrollment("north", token, **wrong)[0])
    assert not flower.nodes
    enroll(with_flower(of, flower), enrollment("north", token)[0])


def test_the_token_is_used_up_only_when_flower_took_the_node(of: Coordinator) -> None:
    flower, token = Flower(), invited(of, "north")
    flower.is_down = True
    with pytest.raises(FederationError):
        enroll(with_flower(of, flower), enrollment("north", token)[0])
    assert state(of, "north") == "invited"
    assert not told(of, "site.enrolled")
    flower.is_down = False
    enroll(with_flower(of, flower), enrollment("north", token)[0])


def test_of_two_who_use_a_token_at_once_one_is_let_in_and_the_others_node_is_forgotten(of: Coordinator) -> None:
    flower, token = Flower(), invited(of, "north")
    one, _ = enrollment("north", token)
    two, _ = enrollment("north", token)

    def register(key: str, site: str) -> str:
        node = flower.register(key, site)
        if key == one.node_key:  # the other is quicker, between this one's check and its entry
            enroll(with_flower(of, flower), two)
        return node

    with pytest.raises(AccessError, match="was used"):
        enroll(replace(with_flower(of, flower), register=register), one)
    assert flower.nodes == {"10": "no longer north", "11": "north"}
    assert sites(of.records)[0].node_id == "11"
    assert len(told(of, "site.enrolled")) == 1


def test_many_at_once_with_one_token_let_one_in(of: Coordinator) -> None:
    token = invited(of, "north")
    sent = [enrollment("north", token)[0] for _ in range(6)]

    def attempt(number: int) -> bool:
        try:
            enroll(of.federation, sent[number])
        except AccessError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(attempt, range(6))) == [False] * 5 + [True]


def test_inviting_again_withdraws_earlier_invitations_only(of: Coordinator) -> None:
    first, second = invited(of, "north"), invited(of, "north")
    with pytest.raises(AccessError, match="withdrawn"):
        enroll(of.federation, enrollment("north", first)[0])
    enroll(of.federation, enrollment("north", second)[0])
    before = enrolled(of, "south")
    invited(of, "south")
    assert check_access(of.records, caller(before.serial)) == "south"


def test_a_site_that_enrolls_anew_is_known_by_its_new_keys_alone(of: Coordinator) -> None:
    flower = Flower()
    federation = with_flower(of, flower)
    first = enroll(federation, enrollment("north", invited(of, "north"))[0])
    second = enroll(federation, enrollment("north", invited(of, "north"))[0])
    with pytest.raises(AccessError, match="was revoked"):
        check_access(of.records, caller(serial_of(first.certificate)))
    assert check_access(of.records, caller(serial_of(second.certificate))) == "north"
    assert flower.nodes == {"10": "no longer north", "11": "north"}


def test_renewing_gives_a_fresh_certificate_and_leaves_the_old_one_to_its_end(of: Coordinator) -> None:
    old = enrolled(of, "north")
    renewed = renew(of.federation, "north", request_text(new_key(), "north"))
    serial = serial_of(renewed.certificate)
    assert serial != old.serial
    assert {check_access(of.records, caller(number)) for number in (old.serial, serial)} == {"north"}
    ((actor, body),) = told(of, "site.renewed")
    assert (actor, body["serial"]) == ("site:north", serial)


def test_a_site_cannot_renew_without_end(of: Coordinator) -> None:
    enrolled(of, "north")
    for _ in range(MOST_CERTIFICATES - 1):
        renew(of.federation, "north", request_text(new_key(), "north"))
    with pytest.raises(AccessError, match="10 valid certificates"):
        renew(of.federation, "north", request_text(new_key(), "north"))
