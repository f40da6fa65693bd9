"""A coordinator's server: it shows the federation's versions, takes wishes for them, and no scan."""

from pathlib import Path

import pytest

from core.clock import now
from core.records import runs
from core.records.audit import sign_head
from core.records.db import transaction
from core.records.rounds import close_round
from core.records.tables import Effort, Presence, Round, Site, Version
from core.signing import make_key
from tests.webapp.factories import Server, a_config, a_home, a_patient, a_server
from webapp.checkpoints import head_signer


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


def test_its_records_and_signed_heads_are_those_of_the_coordinators_home(tmp_path: Path) -> None:
    home = a_home(tmp_path / "home")
    signing = make_key(home / "keys" / "signing.key", home / "keys" / "signing.pub")
    config = a_config(tmp_path, "", home, site={"serves": "coordinator"})
    server = a_server(config, {"otto": "auditor"})
    assert (home / "records.db").exists()
    assert not (config.data / "records.db").exists()
    signer = head_signer(config)
    assert signer.private is None
    sign_head(server.engine, signing, home / "audit" / "checkpoints.jsonl")
    assert server.browser("otto").post("/log/verify").json["signed_heads"] == 1


STUDY_TOML = """
name = "s"
[federation]
rounds = 2
quorum = 1
"""
PRIVATE_TOML = f"""
name = "p"
[privacy]
epsilon = 8
validation = "{"0" * 64}"
"""


def a_federation(server: Server) -> None:
    """Two sites; a run with a counted round and one that two sites tried; a private run whose sites tell nothing."""
    engine = server.engine
    with transaction(engine) as session:
        for name in ("north", "south"):
            session.add(Site(name=name, state="enrolled", invited_at=now(), enrolled_at=now(), seen_at=now()))
        session.add(
            Presence(
                site="north", state="training", run="s-1", round=2, done=4, total=10, progressed_at=now(),
                expected_end=None, device="NVIDIA L4", cause="",
            )
        )  # fmt: skip
        session.add(Effort(run="s-1", site="north", sent_bytes=7, received_bytes=9, cpu_s=1.5, gpu_s=60.0))
    for name, toml in (("s", STUDY_TOML), ("p", PRIVATE_TOML)):
        runs.offer_study(
            engine, study=name, toml=toml, bundle=b"", bundle_sha256="a" * 64, sites=["north", "south"], actor="c"
        )
        runs.create_run(
            engine, run=f"{name}-1", study=name, folder="f", sites=["north", "south"], actor="c", state="running"
        )
    by_site = {"north": {"loss": 0.6, "auc": 0.7}, "south": {"loss": 0.8, "auc": None}}
    for run, number, counted, scores in (("s-1", 1, True, by_site), ("s-1", 2, False, by_site), ("p-1", 1, True, None)):
        row = Round(
            run=run, number_of_try=number, round=number, counted=counted, sites=["north", "south"], left_out={},
            loss=0.7, auc=0.66, by_site=scores, seconds=12.0, closed_at=now(),
        )  # fmt: skip
        close_round(engine, row, weights={}, receipts={}, aggregate="a" * 64, strategy="fedavg")


def test_a_coordinator_sees_sites_runs_and_rounds(server: Server) -> None:
    a_federation(server)
    coco = server.browser("coco")
    told = coco.get("/federation").json
    assert [(one["site"], one["doing"], one["progress"]) for one in told["sites"]] == [
        ("north", "training", [4, 10]),
        ("south", "idle", [0, 0]),
    ]
    assert [(one["run"], one["rounds_done"], one["rounds_wanted"]) for one in told["runs"]] == [
        ("p-1", 1, 60),
        ("s-1", 1, 2),
    ]
    run = coco.get("/federation/runs/s-1").json
    assert [one["by_site"]["south"]["auc"] for one in run["rounds"]] == [None, None]
    assert run["rounds"][0]["by_site"]["north"] == {"loss": 0.6, "auc": 0.7}
    assert run["efforts"] == [{"site": "north", "sent_bytes": 7, "received_bytes": 9, "cpu_s": 1.5, "gpu_s": 60.0}]
    private = coco.get("/federation/runs/p-1").json
    assert (private["privacy"]["epsilon"], private["rounds"][0]["by_site"]) == (8, None)


def test_a_coordinator_sees_what_a_run_costs_and_prometheus_is_told(server: Server) -> None:
    a_federation(server)
    (server.config.home / "server.toml").write_text(
        '[coordinator]\naddress = "a:1"\n[database]\nurl = "mysql+pymysql://u:hidden@h/n"\n[prices]\ngpu_hour = 60\n'
    )
    coco = server.browser("coco")
    cost = coco.get("/federation/runs/s-1").json["cost"]
    # One of two rounds counted: 60 s of GPU so far, as much again to come.
    assert (cost["sites"], cost["total"], cost["projected"]) == ({"north": "1.00"}, "1.00", "2.00")
    assert (cost["projected_from"], cost["budget"], cost["is_timed"]) == ("s-1", None, True)
    private = coco.get("/federation/runs/p-1").json["cost"]
    assert (private["is_timed"], private["projected"]) == (False, None)
    toml = STUDY_TOML.replace('"s"', '"b"') + "[budget]\nmoney = 30\n"
    runs.offer_study(
        server.engine, study="b", toml=toml, bundle=b"", bundle_sha256="a" * 64, sites=["north"], actor="c"
    )
    runs.create_run(server.engine, run="b-1", study="b", folder="f", sites=["north"], actor="c", state="running")
    offered = coco.get("/federation/runs/b-1").json["cost"]
    assert (offered["total"], offered["budget"]) == ("0.00", "30.00")
    assert (offered["projected"], offered["projected_from"]) == ("2.00", "s-1"), "by an earlier run of the same work"
    told = server.browser("ada").get("/metrics").text
    assert 'gliofed_run_cost{currency="EUR",run="s-1"} 1.0' in told
    assert 'gliofed_run_budget{currency="EUR",run="b-1"} 30.0' in told
    assert 'gliofed_run_budget{currency="EUR",run="s-1"}' not in told
    assert "hidden" not in told


def test_a_coordinator_stops_a_run_by_a_wish(server: Server) -> None:
    a_federation(server)
    coco = server.browser("coco")
    assert coco.post("/federation/runs/s-1/wish", json={"wish": "stop"}).status_code == 202
    assert coco.get("/federation/runs/s-1").json["wish"] == "stop"
    runs.move_run(server.engine, "s-1", "stopped", actor="c")
    assert coco.post("/federation/runs/s-1/wish", json={"wish": "stop"}).status_code == 409
    assert coco.get("/federation/runs/s-1").json["wish"] is None
    assert coco.post("/federation/runs/none/wish", json={"wish": "stop"}).status_code == 404
    assert coco.get("/federation/runs/none").status_code == 404


def test_what_a_coordinator_wishes_is_in_the_log_that_auditors_read_and_verify(server: Server) -> None:
    a_federation(server)
    coco, otto = server.browser("coco"), server.browser("otto")
    coco.post("/federation/runs/s-1/wish", json={"wish": "stop"})
    coco.post("/versions/0002-s-11111111/wish", json={"wish": "approve"})
    events = otto.get("/log?user=coco").json["events"]
    assert [one["action"] for one in events[:2]] == ["version.approve-asked", "run.stop-asked"]
    assert events[1]["told"]["run"] == "s-1"
    assert otto.post("/log/verify").json["intact"]


def test_a_hospital_s_server_has_no_federation_to_show(tmp_path: Path) -> None:
    coco = a_server(a_config(tmp_path)).browser("coco")
    for path in ("/federation", "/federation/runs/r"):
        assert coco.get(path).status_code == 404
    assert coco.post("/federation/runs/r/wish", json={"wish": "stop"}).status_code == 404
