"""A site's life: every change holds at once, is in the audit log, and is whole or not at all."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from core.certificates import new_key, request_text, serial_of
from core.errors import AccessError
from core.records.db import reading
from core.records.tables import Certificate, Presence
from core.records.tables import Invitation as InvitationRow
from fl_server import enrollment as module
from fl_server.access import check_access
from fl_server.enrollment import enroll, renew
from fl_server.sites import forget_nodes, leave, resume, revoke, seen, sites, suspend
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


def test_a_suspended_site_is_kept_out_from_the_next_call_on_until_it_is_resumed(of: Coordinator) -> None:
    north, south = enrolled(of, "north"), enrolled(of, "south")
    suspend(of.records, "north")
    with pytest.raises(AccessError, match="north is suspended"):
        check_access(of.records, caller(north.serial))
    assert check_access(of.records, caller(south.serial)) == "south"
    resume(of.records, "north")
    assert check_access(of.records, caller(north.serial)) == "north"
    assert [actor for action in ("site.suspended", "site.resumed") for actor, _ in told(of, action)] == [
        "coordinator",
        "coordinator",
    ]


def test_a_suspended_site_cannot_enroll_its_way_back(of: Coordinator) -> None:
    enrolled(of, "north")
    suspend(of.records, "north")
    with pytest.raises(AccessError, match="is suspended"):
        enroll(of.federation, enrollment("north", invited(of, "north"))[0])


def test_a_revoked_site_is_out_for_good_with_all_its_certificates_and_invitations(of: Coordinator) -> None:
    flower = Flower()
    federation = with_flower(of, flower)
    first = serial_of(enroll(federation, enrollment("north", invited(of, "north"))[0]).certificate)
    second = serial_of(renew(federation, "north", request_text(new_key(), "north")).certificate)
    token = invited(of, "north")
    revoke(of.records, "north", flower.unregister)
    for serial in (first, second):
        with pytest.raises(AccessError, match="site north was revoked"):
            check_access(of.records, caller(serial))
    with reading(of.records) as session:
        assert all(row.revoked_at for row in session.scalars(select(Certificate)))
        assert all(row.used_at for row in session.scalars(select(InvitationRow)))
    assert flower.nodes == {"10": "no longer north"}
    with pytest.raises(AccessError):
        enroll(federation, enrollment("north", token)[0])
    with pytest.raises(AccessError, match="north was revoked") as error:
        invited(of, "north")
    assert "another name" in error.value.fix
    with pytest.raises(AccessError, match="is revoked"):
        revoke(of.records, "north", flower.unregister)


def test_revoking_holds_while_flower_is_down_and_its_node_is_forgotten_later(of: Coordinator) -> None:
    flower = Flower()
    serial = serial_of(enroll(with_flower(of, flower), enrollment("north", invited(of, "north"))[0]).certificate)
    flower.is_down = True
    revoke(of.records, "north", flower.unregister)
    with pytest.raises(AccessError, match="was revoked"):
        check_access(of.records, caller(serial))
    forget_nodes(of.records, flower.unregister)
    assert (flower.nodes, sites(of.records)[0].node_id) == ({"10": "north"}, "10")
    flower.is_down = False
    forget_nodes(of.records, flower.unregister)
    forget_nodes(of.records, flower.unregister)
    assert (flower.nodes, sites(of.records)[0].node_id) == ({"10": "no longer north"}, None)
    assert len(told(of, "site.node-forgotten")) == 1


def test_a_site_that_has_left_may_be_invited_back(of: Coordinator) -> None:
    old = enrolled(of, "north")
    leave(of.records, "north", of.federation.unregister)
    with pytest.raises(AccessError, match="has left"):
        check_access(of.records, caller(old.serial))
    assert [actor for actor, _ in told(of, "site.left")] == ["site:north"]
    token = invited(of, "north")
    assert state(of, "north") == "invited"
    enroll(of.federation, enrollment("north", token)[0])
    with pytest.raises(AccessError, match="certificate was revoked"):
        check_access(of.records, caller(old.serial))


def test_what_a_site_is_not_cannot_be_done_to_it(of: Coordinator) -> None:
    invited(of, "north")
    for act in (suspend, resume):
        with pytest.raises(AccessError, match="north is invited"):
            act(of.records, "north")
        with pytest.raises(AccessError, match="no site south"):
            act(of.records, "south")


def test_a_change_without_its_audit_event_does_not_happen(of: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    token = invited(of, "north")

    def fails(*_: object, **__: object) -> str:
        raise ValueError("no event")

    monkeypatch.setattr(module.audit, "append", fails)
    with pytest.raises(ValueError, match="no event"):
        enroll(of.federation, enrollment("north", token)[0])
    with pytest.raises(ValueError, match="no event"):
        revoke(of.records, "north", of.federation.unregister)
    monkeypatch.undo()
    assert state(of, "north") == "invited"
    with reading(of.records) as session:
        assert not session.scalars(select(Certificate)).all()
        assert not session.scalars(select(Presence)).all()


def test_seen_is_when_a_site_called_last(of: Coordinator) -> None:
    enrolled(of, "north")
    (before,) = (site.seen_at for site in sites(of.records))
    seen(of.records, "north")
    (after,) = (site.seen_at for site in sites(of.records))
    assert before is not None
    assert after is not None
    assert after > before
