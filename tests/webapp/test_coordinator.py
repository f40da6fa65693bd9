"""A coordinator's server: it shows the federation's versions, takes wishes for them, and no scan."""

from pathlib import Path

import pytest

from core.clock import now
from core.records.db import transaction
from core.records.tables import Version
from tests.webapp.factories import Server, a_config, a_home, a_patient, a_server


@pytest.fixture
def server(database: str, tmp_path: Path) -> Server:
    server = a_server(a_config(tmp_path, database, site={"serves": "coordinator"}))
    with transaction(server.engine) as session:
        for name, state in (("0001-s-00000000", "approved"), ("0002-s-11111111", "candidate")):
            session.add(
                Version(
                    name=name,
                    study="s",
                    run="r",
                    state=state,
                    weights_sha256="0" * 64,
                    created_at=now(),
                    decided_at=None,
                    wish=None,
                    wished_by=None,
                    cause=None,
                )
            )
    return server


def test_no_scan_is_taken_unless_it_is_a_trial(server: Server, tmp_path: Path) -> None:
    refused = server.browser("anna").upload(a_patient(tmp_path / "p"))
    assert (refused.status_code, "stay in their hospital" in refused.json["problem"]) == (403, True)
    assert not list(server.config.files.iterdir())
    trial = a_server(
        a_config(tmp_path / "t", "", a_home(tmp_path / "h"), site={"serves": "coordinator", "trial": True})
    )
    assert trial.browser("anna").upload(a_patient(tmp_path / "p")).status_code == 202


def test_a_coordinator_wishes_and_only_a_coordinator(server: Server) -> None:
    coco = server.browser("coco")
    asked = coco.post("/versions/0002-s-11111111/wish", json={"wish": "approve"})
    assert asked.status_code == 202
    listed = {one["name"]: one for one in coco.get("/versions").json["versions"]}
    assert listed["0002-s-11111111"]["wish"] == "approve"
    assert listed["0001-s-00000000"]["wish"] is None
    assert coco.post("/versions/0002-s-11111111/wish", json={"wish": "retire"}).status_code == 409
    assert coco.post("/versions/0003-s-22222222/wish", json={"wish": "retire"}).status_code == 404
    assert coco.post("/versions/0001-s-00000000/wish", json={"wish": "delete"}).status_code == 422
    for name in ("anna", "otto", "ada"):
        assert server.browser(name).post("/versions/0001-s-00000000/wish", json={"wish": "retire"}).status_code == 403
