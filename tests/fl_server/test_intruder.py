"""An intruder in another network namespace tries every call on every port of a full deployment, while a run goes on.

`pytest -s` prints the table of what it had, what it tried and what came of it.
"""

import json
import os
from collections.abc import Iterator

import pytest

from core.records.audit import verify
from core.site_protocol import Refusal
from fl_server.site_api import EDGE_REFUSALS
from tests.fl_server.factories_coordinator import refusals
from tests.fl_server.factories_intruder import CA, EDGE, FAULTS, SUPERLINK, Scene, intrusion
from tests.fl_server.intruder import NO_CONNECTION, Attempt, table_of

WRONG_TOKEN = "The invitation's token is not known"
NEEDS_ROOT = """This test puts an intruder and a coordinator into two network namespaces, which only root may make.
Type: sudo -E .venv/bin/pytest tests/fl_server/test_intruder.py"""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    if os.geteuid():
        pytest.fail(NEEDS_ROOT, pytrace=False)
    with intrusion() as played:
        yield played


def is_public(attempt: Attempt) -> bool:
    """The CA certificate is for everybody: an intruder has it to begin with."""
    return attempt.port == EDGE and attempt.status == 200 and attempt.call == CA


def test_the_whole_of_four_apis_was_tried_by_five_intruders_on_every_port(scene: Scene) -> None:
    assert scene.ports == {EDGE: scene.of.host, SUPERLINK: "127.0.0.1"}
    paths = {call.target for call in scene.flower}
    counts = {api: sum(path.startswith(f"/v1/{api}/") for path in paths) for api in ("control", "fleet", "runtime")}
    assert counts == {"control": 41, "fleet": 12, "runtime": 22}
    assert {"/health", "/docs", "/openapi.json"} <= paths
    assert len({call.target for call in scene.calls if call.target.startswith("/v1/site/")}) > 12
    assert len(scene.calls) > 170
    assert len(scene.outcomes) == len(scene.calls) * len(scene.ports) * len(FAULTS)


def test_none_of_them_got_anything(scene: Scene) -> None:
    for attempt in scene.outcomes:
        if attempt.port != EDGE:
            assert (attempt.status, attempt.text) == (0, NO_CONNECTION), attempt
        elif is_public(attempt):
            assert attempt.text == (scene.of.home / "pki" / "ca.crt").read_text()
        else:
            assert attempt.status == 403, attempt
    print("", table_of(scene.outcomes), sep="\n")  # noqa: T201 (for whoever wants the table)


def test_each_was_told_why_in_our_words_and_never_in_flowers(scene: Scene) -> None:
    said = {
        (a.fault, Refusal.model_validate_json(a.text).problem) for a in scene.outcomes if a.status == 403 and a.text
    }
    expected = set(FAULTS.items())
    expected |= {(fault, EDGE_REFUSALS["malformed"].problem) for fault in FAULTS}
    # These three pass TLS, and who has no certificate may try to enroll: the token decides.
    expected |= {(fault, WRONG_TOKEN) for fault in list(FAULTS)[:3]}
    assert said == expected


def test_each_refusal_is_in_the_audit_log_with_who_what_and_why(scene: Scene) -> None:
    written_down = set()
    for event in refusals(scene.of):
        body = json.loads(event.body)
        assert body["source"] == scene.of.host.removesuffix("1") + "2"
        written_down.add((body["serial"], body["what"], body["why"]))
    missing = []
    for attempt in scene.outcomes:
        if attempt.status != 403:
            continue
        reason = Refusal.model_validate_json(attempt.text).problem if attempt.text else FAULTS[attempt.fault]
        what = f"{attempt.call.method} {path_of(attempt.call.target)}"
        if (scene.serials[attempt.fault], what, reason) not in written_down:
            missing.append((attempt, reason))
    assert not missing
    assert verify(scene.of.records, None, None).events >= len(written_down)


def path_of(target: str) -> str:
    """A call's path as it is written down: without its query, and without what names the server."""
    return target.removeprefix("https://127.0.0.1").partition("?")[0]


def test_with_the_same_calls_an_enrolled_site_reaches_flowers_fleet_api_and_its_own_calls(scene: Scene) -> None:
    """Else the edge might refuse everybody, and the tests above would hold too."""
    answers = {(a.call.method, a.call.target): a.status for a in scene.site if not a.call.headers}
    fleet = {("POST", call.target) for call in scene.flower if call.target.startswith("/v1/fleet/")}
    # Flower's own refusal: the intruder's tool does not sign as a SuperNode does.
    assert {call: status for call, status in answers.items() if status == 401} == dict.fromkeys(fleet, 401)
    passed = {path for (_, path), status in answers.items() if status == 200}
    assert {"/v1/site/protocol", "/v1/site/offers", "/v1/site/leave"} <= passed
    assert all(path.startswith("/v1/site/") for path in passed)


def test_flower_knows_the_one_run_and_the_one_node_that_it_was_given(scene: Scene) -> None:
    assert scene.known == (1, 1)
