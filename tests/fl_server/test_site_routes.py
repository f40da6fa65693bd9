"""Every call that a site may make, over a real Nginx with mutual TLS."""

import hashlib
import json
from collections.abc import Iterator

import numpy as np
import pytest
import tomli_w

from core.certificates import fingerprint, new_key, private_text, request_text
from core.clock import age_s, now
from core.records import audit
from core.records.db import reading
from core.records.registry import add_version, approve_version, retire_version
from core.records.runs import answers_of, create_run, move_run, offer_study
from core.records.status import LOST, status_of
from core.records.tables import Effort, Presence
from core.signing import load_key
from core.site_protocol import (
    MAX_TRANSFER_BYTES,
    Enrolled,
    Models,
    Offers,
    Orders,
    ProtocolInfo,
    Renewed,
    Transferred,
)
from core.study import FederationSettings, Study
from fl_server.provisioning import authority_fingerprint
from fl_server.sites import sites
from tests.fl_server.factories_coordinator import (
    PASSPHRASE,
    Coordinator,
    client,
    coordinator,
    edge,
    enrollment,
    invited,
    refusals,
    written,
)
from tests.fl_server.factories_sites import reasons, refused, site

STATUS = {"state": "idle", "progressed_at": now(), "receipt": "1" * 64, "events": 0}


@pytest.fixture(scope="module")
def of() -> Iterator[Coordinator]:
    with coordinator() as made, edge(made):
        yield made


def offer(of: Coordinator, name: str, *asked: str) -> bytes:
    study = Study(name=name, federation=FederationSettings(quorum=1, deadline_s=1800, grace_s=600))
    bundle = f"the bundle of {name}".encode() * 100
    offer_study(
        of.records,
        study=name,
        toml=tomli_w.dumps(study.model_dump(mode="json")),
        bundle=bundle,
        bundle_sha256=hashlib.sha256(bundle).hexdigest(),
        sites=list(asked),
        actor="coordinator",
    )
    return bundle


def run(of: Coordinator, name: str, *states: str, asked: tuple[str, ...]) -> None:
    create_run(of.records, run=name, study="any", folder="x", sites=list(asked), actor="service")
    for state in states:
        move_run(of.records, name, state, actor="service")


def test_a_hospital_joins_over_the_wire(of: Coordinator) -> None:
    with client(of) as stranger:
        ca = stranger.get("/v1/site/ca.crt")
        assert (ca.status_code, fingerprint(ca.text)) == (200, authority_fingerprint(of.home))
        sent, key = enrollment("joins", invited(of, "joins"))
        answer = Enrolled.model_validate(stranger.post("/v1/site/enroll", json=sent.model_dump()).json())
    assert answer.coordinator_key == (of.home / "keys" / "signing.pub").read_text()
    assert 59 * 86_400 < -age_s(answer.renew_at) < 61 * 86_400
    with client(of, written(of.home, "joins", answer.certificate, key)) as joined:
        info = ProtocolInfo.model_validate(joined.get("/v1/site/protocol").json())
        assert (info.protocol, info.site, info.release) == (3, "joins", "0.1.0")
        assert abs(age_s(info.time)) < 60
        fresh = new_key()
        renewed = joined.post("/v1/site/renew", json={"certificate_request": request_text(fresh, "joins")})
    renewal = Renewed.model_validate(renewed.json())
    with client(of, written(of.home, "joins-again", renewal.certificate, private_text(fresh))) as joined:
        assert joined.get("/v1/site/protocol").json()["site"] == "joins"


def test_a_token_that_does_not_hold_is_refused_and_written_down_without_it(of: Coordinator) -> None:
    sent, _ = enrollment("wrong-token", "x" * 43)
    with client(of) as stranger:
        refusal = refused(stranger.post("/v1/site/enroll", json=sent.model_dump()))
    assert refusal.problem == "The invitation's token is not known"
    assert reasons(of, "POST /v1/site/enroll") == [refusal.problem]
    assert "x" * 43 not in "".join(event.body for event in refusals(of))


def test_a_site_of_another_release_is_told_so_whatever_else_it_sends(of: Coordinator) -> None:
    sent = enrollment("newer", invited(of, "newer"), protocol=7)[0].model_dump() | {"something_new": 1}
    with client(of) as stranger:
        refusal = refused(stranger.post("/v1/site/enroll", json=sent))
    assert refusal.problem == "The site speaks protocol 7, the coordinator 3"


def test_a_study_is_offered_read_and_answered(of: Coordinator) -> None:
    bundle = offer(of, "glioma", "asked", "asked-too")
    with site(of, "asked") as north:
        (offered,) = Offers.model_validate(north.get("/v1/site/offers").json()).offers
        assert (offered.study, offered.state, offered.sites) == ("glioma", "pending", ["asked", "asked-too"])
        assert offered.rounds_close == (
            "1 of 2 sites within 30 minutes, else wait 10 minutes more, then pause and keep what is done"
        )
        assert north.get("/v1/site/offers/glioma/bundle").content == bundle
        assert offered.bundle_sha256 == hashlib.sha256(bundle).hexdigest()
        answer = {"state": "refused", "reason": "no GPU\x1b[31m", "bundle_sha256": offered.bundle_sha256}
        assert north.post("/v1/site/offers/glioma", json=answer).json() == {}
        assert north.get("/v1/site/offers").json()["offers"][0]["reason"] == "no GPU [31m"
        answer |= {"state": "approved", "reason": ""}
        for _ in range(2):
            assert north.post("/v1/site/offers/glioma", json=answer).status_code == 200
    assert {name: row.state for name, row in answers_of(of.records, "glioma").items()} == {
        "asked": "approved",
        "asked-too": "pending",
    }
    with reading(of.records) as session:
        told = [event for event in audit.events(session) if event.action in ("study.refused", "study.approved")]
    assert [(event.actor, event.action) for event in told] == [
        ("site:asked", "study.refused"),
        ("site:asked", "study.approved"),
    ]


def test_an_answer_to_another_bundle_does_not_count(of: Coordinator) -> None:
    offer(of, "other-bundle", "careful")
    with site(of, "careful") as north:
        answer = {"state": "approved", "bundle_sha256": "0" * 64}
        assert "another bundle" in refused(north.post("/v1/site/offers/other-bundle", json=answer)).problem
    assert answers_of(of.records, "other-bundle")["careful"].state == "pending"


def test_a_site_sees_only_what_it_was_offered(of: Coordinator) -> None:
    offer(of, "for-one", "one")
    with site(of, "another") as south:
        assert south.get("/v1/site/offers").json() == {"offers": []}
        there = refused(south.get("/v1/site/offers/for-one/bundle"))
        assert there == refused(south.get("/v1/site/offers/no-such-study/bundle"))


def test_a_status_is_kept_and_answered_with_orders(of: Coordinator) -> None:
    for name, states in (
        ("r-running", ("starting", "running")),
        ("r-starting", ("starting",)),
        ("r-stopped", ("stopped",)),
        ("r-paused", ("starting", "running", "paused")),
        ("r-offered", ()),
    ):
        run(of, name, *states, asked=("worker", "other"))
    run(of, "r-of-others", "starting", "running", asked=("other",))
    offer(of, "waits", "worker")
    working = STATUS | {
        "state": "training",
        "run": "r-running",
        "round": 3,
        "done": 7,
        "total": 9,
        "device": "cuda\x1b]0;",
        "sent_bytes": 5 * 10**9,
        "cpu_s": 1.5,
        "gpu_s": 2.5,
        "expected_end": now(),
    }
    with site(of, "worker") as north:
        orders = Orders.model_validate(north.post("/v1/site/status", json=working).json())
        assert (orders.active, orders.cancel, orders.pending_offers) == (["r-running", "r-starting"], [], ["waits"])
        with reading(of.records) as session:
            presence, effort = session.get_one(Presence, "worker"), session.get_one(Effort, ("r-running", "worker"))
            assert orders.receipt == audit.head(session)
        assert (presence.state, presence.round, presence.done, presence.device) == ("training", 3, 7, "cuda ]0;")
        assert (effort.sent_bytes, effort.cpu_s, effort.gpu_s) == (5 * 10**9, 1.5, 2.5)
        for over in ("r-stopped", "r-paused"):
            answer = Orders.model_validate(north.post("/v1/site/status", json=working | {"run": over}).json())
            assert answer.cancel == [over]
        for going in ("r-starting", "r-offered", "no-such-run", ""):
            answer = Orders.model_validate(north.post("/v1/site/status", json=working | {"run": going}).json())
            assert answer.cancel == []
        assert north.post("/v1/site/status", json=working | {"run": "r-of-others"}).status_code == 200
    with reading(of.records) as session:
        assert session.get(Effort, ("r-of-others", "worker")) is None
        assert session.get(Effort, ("no-such-run", "worker")) is None


def test_progress_is_no_event_but_a_change_of_state_is_one_with_the_sites_receipt(of: Coordinator) -> None:
    with site(of, "talkative") as north:
        for done in range(5):
            north.post("/v1/site/status", json=STATUS | {"done": done})
        before = {row.name: row.seen_at for row in sites(of.records)}["talkative"]
        for done in range(5):
            north.post("/v1/site/status", json=STATUS | {"state": "evaluating", "round": 2, "done": done})
    with reading(of.records) as session:
        told = [event for event in audit.events(session, limit=10_000) if event.actor == "site:talkative"]
    assert [event.action for event in told] == ["site.enrolled", "site.evaluating"]
    assert json.loads(told[1].body) == {"site": "talkative", "run": "", "round": 2, "receipt": "1" * 64}
    assert ({row.name: row.seen_at for row in sites(of.records)}["talkative"] or "") > (before or "")


def test_a_log_that_went_back_is_an_event_once_and_stands_until_it_is_longer_again(of: Coordinator) -> None:
    def told(events: int, head: str) -> Orders:
        sent = STATUS | {"events": events, "receipt": head * 64}
        return Orders.model_validate(north.post("/v1/site/status", json=sent).json())

    def lost() -> tuple[str, int]:
        (view,) = (view for view in status_of(of.records, of.home).sites if view.site == "restored")
        with reading(of.records) as session:
            return view.cause, len(audit.events(session, action="site.log_lost"))

    with site(of, "restored") as north:
        assert told(5, "a").seen == ""
        assert told(5, "a").seen == "a" * 64, "what was heard before, which the site looks for in its own log"
        assert told(9, "b").seen == "a" * 64
        assert lost() == ("", 0)
        assert told(7, "c").seen == "b" * 64
        assert told(8, "d").seen == "b" * 64
        assert lost() == (LOST, 1)
        assert told(9, "e").seen == "b" * 64
        assert lost() == (LOST, 1), "as many events, but others"
        assert told(9, "b").seen == "b" * 64
        assert lost() == ("", 1), "the newer records are back"


@pytest.mark.parametrize("asked", ["theirs", "nobody-s"])
def test_frozen_weights_are_for_those_who_were_offered_the_study(
    of: Coordinator, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fl_server.site_routes.public_folder", lambda: of.home / "public")
    with site(of, "stranger") as south:
        assert refused(south.get(f"/v1/site/offers/{asked}/frozen")) == refused(
            south.get("/v1/site/offers/no-such-study/frozen")
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"progressed_at": "yesterday"},
        {"expected_end": "2026-13-01T00:00:00.000000Z"},
        {"done": -1},
        {"state": "hacking"},
        {"receipt": "x"},
        {"cause": "x" * 501},
        {"run": "x" * 81},
        {"unknown": "secret-value"},
    ],
)
def test_a_status_that_is_none_is_refused_without_repeating_it(of: Coordinator, wrong: dict[str, object]) -> None:
    name = "wrong-status"
    with site(of, name) as north:
        refusal = refused(north.post("/v1/site/status", json=STATUS | wrong), 400)
    for value in wrong.values():
        assert str(value) not in refusal.problem + refusal.fix or value == -1
    with reading(of.records) as session:
        assert session.get_one(Presence, name).state == "idle"


def test_only_approved_versions_are_served_byte_for_byte(of: Coordinator) -> None:
    registry, key = of.home / "registry", load_key(of.home / "keys" / "signing.key", PASSPHRASE)
    card = {"study": {}, "cohort": {}, "rounds": [], "metrics": {}, "libraries": {}}
    names = [add_version(registry, "my-study", {"w": np.full(300_000, n, np.float32)}, card, {}) for n in range(3)]
    approve_version(registry, names[0], key)
    approve_version(registry, names[1], key)
    retire_version(registry, names[0], key)
    with site(of, "puller") as north:
        models = Models.model_validate(north.get("/v1/site/models").json())
        (version,) = models.versions
        assert models.retired == [names[0]]
        retirement = north.get(f"/v1/site/models/{names[0]}/approval.json")
        assert retirement.content == (registry / f"{names[0]}.approval.json").read_bytes()
        assert (version.name, version.study) == (names[1], "my-study")
        for file, size in version.files.items():
            got = north.get(f"/v1/site/models/{names[1]}/{file}")
            beside = file == "approval.json"
            on_disk = registry / f"{names[1]}.approval.json" if beside else registry / names[1] / file
            assert got.content == on_disk.read_bytes()
            assert len(got.content) == size
        assert set(version.files) == {"card.json", "weights.safetensors", "calibration.json", "approval.json"}
        for path in (f"{names[0]}/card.json", f"{names[2]}/weights.safetensors", f"{names[1]}/other", "x/card.json"):
            refused(north.get(f"/v1/site/models/{path}"), 404)


def test_a_test_transfer_counts_both_ways_up_to_its_limit(of: Coordinator) -> None:
    with site(of, "transfers") as north:
        sent = north.post("/v1/site/transfer", content=b"x" * 3_000_001)
        assert Transferred.model_validate(sent.json()).bytes == 3_000_001
        assert len(north.get("/v1/site/transfer?bytes=3000001").content) == 3_000_001
        assert north.get("/v1/site/transfer?bytes=0").content == b""
        refused(north.get(f"/v1/site/transfer?bytes={MAX_TRANSFER_BYTES + 1}"), 400)
        refused(north.get("/v1/site/transfer"), 400)
        too_large = refused(north.post("/v1/site/transfer", content=b"x" * (MAX_TRANSFER_BYTES + 1)))
        assert too_large.problem == "The call's body is too large"


def test_a_site_leaves_over_the_wire(of: Coordinator) -> None:
    with site(of, "leaves") as north:
        assert north.post("/v1/site/leave").json() == {}
        assert refused(north.get("/v1/site/protocol")).problem == "The site leaves has left"
    assert {row.name: row.state for row in sites(of.records)}["leaves"] == "left"
