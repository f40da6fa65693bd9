"""/openapi.json: true to the routes there are; of the requests that it allows, or nearly allows, none ends in a 5xx."""

from pathlib import Path

import pytest

from bench.fuzz_web import fuzz
from tests.webapp.factories import Server, a_config, a_server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return a_server(a_config(tmp_path))


def test_every_route_of_the_api_is_described(server: Server) -> None:
    contract = server.browser().get("/openapi.json").json
    described = {
        (path, method) for path, methods in contract["paths"].items() for method in methods if method != "parameters"
    }
    there = {
        (rule.rule.replace("<string:", "{").replace(">", "}"), method.lower())
        for rule in server.app.url_map.iter_rules()
        if not rule.rule.startswith("/app") and rule.rule not in ("/", "/openapi.json")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert there <= described
    assert contract["openapi"].startswith("3.1")
    assert contract["paths"]["/predict"]["post"]["requestBody"]["content"].keys() == {
        "multipart/form-data",
        "application/zip",
    }


def test_requests_of_every_kind_end_in_no_5xx(server: Server) -> None:
    seen, failed = fuzz(server, 400, start=7)
    assert not failed
    assert len({name for name, _ in seen}) > 30
    assert {200, 403, 404, 422} <= {status for _, status in seen}
