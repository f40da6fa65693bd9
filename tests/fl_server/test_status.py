from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import Engine

from core.clock import after, now
from core.records import runs
from core.records.db import open_database, transaction
from core.records.rounds import close_round
from core.records.status import SILENT_S, status_of
from core.records.tables import Effort, Offer, Presence, Round, Site
from fl_server.status import shown


@pytest.fixture
def records(tmp_path: Path) -> Engine:
    records = open_database(f"sqlite:///{tmp_path / 'records.db'}")
    runs.offer_study(
        records, study="s", toml="", bundle=b"", bundle_sha256="a" * 64, sites=["north", "south"], actor="c"
    )
    runs.create_run(
        records, run="s-1", study="s", folder=str(tmp_path), sites=["north", "south"], actor="c", state="running"
    )
    with transaction(records) as session:
        session.add(Site(name="north", state="enrolled", invited_at=now(), enrolled_at=now(), seen_at=now()))
        long_ago = after(-SILENT_S - 60)
        session.add(Site(name="south", state="enrolled", invited_at=now(), enrolled_at=now(), seen_at=long_ago))
        session.add(Site(name="east", state="revoked", invited_at=now()))
        session.get_one(Offer, ("s", "north")).state = "approved"
        refusal = session.get_one(Offer, ("s", "south"))
        refusal.state, refusal.reason = "refused", "the ethics vote is open"
    return records


def present(records: Engine, **values: object) -> None:
    fields = {
        "site": "north", "state": "training", "run": "s-1", "round": 3, "done": 4, "total": 10,
        "progressed_at": after(-7), "expected_end": after(60), "device": "NVIDIA L4", "cause": "",
    }  # fmt: skip
    with transaction(records) as session:
        session.merge(Presence(**{**fields, **values}))


def a_round(number: int, sites: list[str], left_out: dict[str, str]) -> Round:
    return Round(
        run="s-1", number_of_try=number, round=number, counted=True, sites=sites, left_out=left_out, loss=0.51, auc=0.7,
        seconds=12.0, closed_at=now(),
    )  # fmt: skip


def close(records: Engine, row: Round) -> None:
    close_round(records, row, weights={}, receipts={}, aggregate="a" * 64, strategy="fedavg")


def text_of(records: Engine, home: Path) -> str:
    printed = StringIO()
    Console(width=200, file=printed).print(shown(status_of(records, home)))
    return printed.getvalue()


def test_a_site_that_trains_shows_how_far_it_is_and_what_it_has_cost(records: Engine, tmp_path: Path) -> None:
    present(records)
    with transaction(records) as session:
        for run, gpu in (("s-0", 60.0), ("s-1", 30.0)):
            session.add(Effort(run=run, site="north", sent_bytes=10**6, received_bytes=2 * 10**6, cpu_s=0, gpu_s=gpu))
    (site,) = [site for site in status_of(records, tmp_path).sites if site.site == "north"]
    assert (site.doing, site.progress, site.gpu_s, site.sent_bytes) == ("training", (4, 10), 90.0, 2 * 10**6)
    assert site.progress_age_s is not None
    assert site.progress_age_s >= 7
    text = text_of(records, tmp_path)
    assert "s-1, round 3" in text
    assert "4 of 10 steps" in text
    assert "2.0 / 4.0 MB" in text
    assert "90 s GPU" in text


def test_a_site_that_does_not_tell_its_steps_shows_none(records: Engine, tmp_path: Path) -> None:
    present(records, done=0, total=0, expected_end=None)
    text = text_of(records, tmp_path)
    assert "s-1, round 3" in text
    assert "step" not in text


def test_a_site_that_is_silent_is_away_whatever_it_said_last(records: Engine, tmp_path: Path) -> None:
    present(records, site="south", state="training")
    (site,) = [site for site in status_of(records, tmp_path).sites if site.site == "south"]
    assert site.doing == "away"
    assert site.cause.startswith("not heard of for 2 min") or site.cause.startswith("not heard of for 120 s")


def test_a_site_that_is_kept_out_says_so_and_its_own_cause_is_shown(records: Engine, tmp_path: Path) -> None:
    present(records, state="idle", cause="the trainer ended with exit code -9 and is started again")
    states = {site.site: site for site in status_of(records, tmp_path).sites}
    assert states["east"].doing == "revoked"
    assert "exit code -9" in states["north"].cause


def test_a_refusal_is_seen_with_its_reason_and_a_left_out_site_with_its_cause(records: Engine, tmp_path: Path) -> None:
    close(records, a_round(1, ["north"], {"south": "not connected"}))
    (run,) = status_of(records, tmp_path).runs
    assert run.answers == {"north": "approved", "south": "refused (the ethics vote is open)"}
    assert not run.complete
    text = text_of(records, tmp_path)
    assert "south: refused (the ethics vote is open)" in text
    assert "without south: not connected" in text


def test_a_run_over_a_subset_never_calls_itself_complete(records: Engine, tmp_path: Path) -> None:
    close(records, a_round(1, ["north", "south"], {}))
    assert status_of(records, tmp_path).runs[0].complete
    close(records, a_round(2, ["north"], {"south": "away"}))
    runs.register_version(records, "s-1", name="0001-s-abcd", weights_sha256="f" * 64)
    assert not status_of(records, tmp_path).runs[0].complete
    assert "finished, but not by all sites in every round" in text_of(records, tmp_path)


def test_a_site_outside_its_hours_waits_and_says_until_when(records: Engine, tmp_path: Path) -> None:
    until = after(3600)
    present(records, state="idle", expected_end=until, cause="waits until 20:00 UTC: the site's own hours")
    (site,) = [site for site in status_of(records, tmp_path).sites if site.site == "north"]
    assert (site.doing, site.expected_end) == ("waiting", until)
    assert "waits until 20:00 UTC" in text_of(records, tmp_path)
    present(records, state="idle", expected_end=after(-1))
    (site,) = [site for site in status_of(records, tmp_path).sites if site.site == "north"]
    assert site.doing == "idle", "what it said last is over"


def test_a_run_shows_what_it_has_cost_of_its_budget_and_what_it_will_come_to(records: Engine, tmp_path: Path) -> None:
    toml = 'name = "b"\n[federation]\nrounds = 3\n[budget]\nmoney = 20\ngpu_hours = 6\n'
    runs.offer_study(records, study="b", toml=toml, bundle=b"", bundle_sha256="a" * 64, sites=["north"], actor="c")
    runs.create_run(records, run="b-1", study="b", folder="f", sites=["north"], actor="c", state="running")
    (tmp_path / "server.toml").write_text("[prices]\ngpu_hour = 2.5\n")
    with transaction(records) as session:
        session.add(Effort(run="b-1", site="north", sent_bytes=0, received_bytes=0, cpu_s=0, gpu_s=5400.0))
        row = a_round(1, ["north"], {})
        row.run = "b-1"
        session.add(row)
    text = text_of(records, tmp_path)
    # 1.5 hours at 2.50 in one of three rounds.
    assert "3.75 of 20.00 EUR, 11.25 in all" in text
    assert "1.50 of 6.00 GPU h, 4.50 in all" in text
