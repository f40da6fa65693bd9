"""What tests ask of sites, refusals and the audit log, and a stand-in for Flower's registration of nodes."""

import json
from dataclasses import replace

import httpx

from core.errors import FederationError
from core.records import audit
from core.records.db import reading
from core.site_protocol import Refusal
from fl_server.access import Caller
from fl_server.enrollment import Federation
from fl_server.sites import sites
from tests.fl_server.factories_coordinator import Coordinator, client, enrolled, refusals


class Flower:
    """What a SuperLink would know."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}
        self.is_down = False

    def register(self, _key: str, site: str) -> str:
        self._ask()
        node = str(10 + len(self.nodes))
        self.nodes[node] = site
        return node

    def unregister(self, node: str) -> None:
        self._ask()
        self.nodes[node] = f"no longer {self.nodes[node]}"

    def _ask(self) -> None:
        if self.is_down:
            raise FederationError("SuperLink is down", fix="start it")


def with_flower(of: Coordinator, flower: Flower) -> Federation:
    return replace(of.federation, register=flower.register, unregister=flower.unregister)


def caller(serial: str, verify: str = "SUCCESS") -> Caller:
    return Caller("10.0.0.1", verify, serial, "POST", "/v1/fleet/pull-messages")


def told(of: Coordinator, action: str) -> list[tuple[str, dict[str, object]]]:
    with reading(of.records) as session:
        return [(event.actor, json.loads(event.body)) for event in audit.events(session, action=action)]


def state(of: Coordinator, name: str) -> str:
    return {site.name: site.state for site in sites(of.records)}[name]


def site(of: Coordinator, name: str) -> httpx.Client:
    return client(of, enrolled(of, name))


def refused(answer: httpx.Response, status: int = 403) -> Refusal:
    assert answer.status_code == status, answer.text
    return Refusal.model_validate(answer.json())


def reasons(of: Coordinator, what: str) -> list[str]:
    return [body["why"] for event in refusals(of) if (body := json.loads(event.body))["what"] == what]
