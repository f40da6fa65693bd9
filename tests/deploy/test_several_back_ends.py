"""Two servers on one folder and one database behind one Nginx: as one to whoever asks, also while one of them dies."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pyotp
import pytest
import sqlalchemy

from core.records.db import open_database, reading
from core.records.web_tables import Prediction, Tally
from tests.deploy.factories_back_ends import TwoBackEnds, answered_by, crash, two_back_ends, uploads_at
from tests.deploy.factories_in_hand import ZIP, Entrance, Held, at_once, until_both_hold_one
from tests.deploy.factories_site import asking
from tests.factories_mariadb import mariadb
from tests.webapp.factories import PASSWORD
from tests.webapp.factories_drill import DURABLE, Clients, shortcomings, until_one_runs
from tests.webapp.factories_running import DistinctCases, coarse_cases
from webapp.readiness import SEEN

CLINICIANS = ("anna", "ben", "carl", "dora", "emil", "finn", "gina", "hugo", "ida", "kim", "lea", "max", "nils")
USERS = {**dict.fromkeys(CLINICIANS, "clinician"), "ada": "administrator"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoBackEnds]:
    folder = tmp_path_factory.mktemp("several")
    with mariadb(*DURABLE) as database, two_back_ends(folder, USERS, database.fresh(), worker={"lease_s": 5}) as site:
        yield site


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> DistinctCases:
    return coarse_cases(tmp_path_factory.mktemp("case"))


def test_a_code_counts_once_at_both_together(site: TwoBackEnds) -> None:
    with site.client() as nobody, site.directly(nobody) as both:
        for name in ("carl", "dora", "emil"):
            given = {"name": name, "password": PASSWORD, "code": pyotp.TOTP(site.server.secrets[name]).now()}
            answers = at_once(*[lambda one=one, given=given: one.post("/session", json=given) for one in both])
            assert sorted(answer.status_code for answer in answers) == [200, 401]


def test_wrong_passwords_lock_an_account_wherever_they_are_typed(site: TwoBackEnds) -> None:
    def given(password: str) -> dict[str, str]:
        return {"name": "finn", "password": password, "code": pyotp.TOTP(site.server.secrets["finn"]).now()}

    with site.client() as nobody, site.directly(nobody) as both:
        for guess in range(5):
            assert both[guess % 2].post("/session", json=given(f"wrong password {guess}")).status_code == 401
        for one in both:
            assert one.post("/session", json=given(PASSWORD)).status_code == 401


def test_who_has_signed_in_at_one_is_known_at_both_and_signs_out_of_both(site: TwoBackEnds) -> None:
    with site.client("gina") as gina, site.directly(gina) as (first, second):
        assert [one.get("/session").json()["user"] for one in (first, second)] == ["gina", "gina"]
        assert second.delete("/session").status_code == 204
        assert [one.get("/session").status_code for one in (first, second, gina)] == [401, 401, 401]


def test_one_key_sent_to_both_is_one_draft_which_both_show_and_finish(site: TwoBackEnds, cases: DistinctCases) -> None:
    check_that_both_are_one(site, cases)


def test_so_it_is_with_sqlite(cases: DistinctCases, tmp_path: Path) -> None:
    with two_back_ends(tmp_path, {"anna": "clinician"}) as site:
        check_that_both_are_one(site, cases)


def check_that_both_are_one(site: TwoBackEnds, cases: DistinctCases) -> None:
    with site.client("anna") as anna, site.directly(anna) as (first, second):
        body, headers = cases.zipped(1), {**ZIP, "Idempotency-Key": "once"}
        sent = at_once(
            *[lambda one=one: one.post("/predict", content=body, headers=headers) for one in (first, second)]
        )
        assert [answer.status_code for answer in sent] == [202, 202]
        (address,) = {answer.headers["Location"] for answer in sent}
        series = second.get(address).json()["draft"]["series"]
        pictures = [one.get(series[0]["thumbnail"]).content for one in (first, second)]
        assert pictures[0] == pictures[1]
        assert pictures[0].startswith(b"\x89PNG")
        assert second.patch(address, json={"record_number": "P000000001"}).status_code == 200
        wait = {"Prefer": "wait=300"}
        waited = at_once(
            lambda: second.post(f"{address}/start", headers=wait),
            lambda: first.post(f"{address}/start", headers=wait),
            lambda: first.get(address, headers=wait),
        )
        assert [answer.json()["state"] for answer in waited[:2]] == ["done", "done"]
        assert waited[2].json()["state"] in ("draft", "done")  # it may have looked before the start
        files = [one.get(f"{address}/files/tumor.nii.gz").content for one in (first, second)]
        assert files[0] == files[1]
        assert files[0].startswith(b"\x1f\x8b")
        assert len(first.get("/predict").json()["predictions"]) == 1


def test_an_upload_goes_on_while_the_other_server_starts(site: TwoBackEnds, cases: DistinctCases) -> None:
    site.second.stop()
    with site.client("ben") as ben, site.directly(ben) as (first, second), Held(first, cases.zipped(2)) as held:
        while not uploads_at(site.server):
            time.sleep(0.05)
        site.second.start()
        answer = held.finish()
        assert answer.status_code == 202
        draft = second.get(answer.headers["Location"]).json()["draft"]
        assert draft["ready"]
        assert second.get(draft["series"][0]["thumbnail"]).status_code == 200
        done = second.post(f"{answer.headers['Location']}/start", headers={"Prefer": "wait=300"})
        assert done.json()["state"] == "done"


def test_both_tell_prometheus_the_same(site: TwoBackEnds) -> None:
    with site.client("ada") as ada, site.directly(ada) as both:
        told = [one.get("/metrics").text.splitlines() for one in both]
    kinds = ("gliofed_predictions_total", "gliofed_predictions_waiting", "gliofed_steps_total", "gliofed_ready")
    first, second = ([line for line in lines if line.startswith(kinds)] for lines in told)
    assert first == second
    assert 'gliofed_ready{part="worker"} 1.0' in first


def test_each_has_a_worker_of_its_own(site: TwoBackEnds) -> None:
    engine = open_database(site.server.config.database_url)
    with reading(engine) as session:
        alive = session.scalars(sqlalchemy.select(Tally.name).where(Tally.name.startswith(SEEN))).all()
    engine.dispose()
    assert sorted(name.endswith(":web-2") for name in alive) == [False, True]


def test_each_reads_its_settings_anew_and_no_request_is_cut_off(site: TwoBackEnds) -> None:
    toml = site.server.config.data / "web.toml"
    with ExitStack() as stack:
        clients = [stack.enter_context(site.client()) for _ in range(4)]
        ways = [lambda client=client: client.get("/session/ways").status_code for client in clients]
        with asking(ways) as answered:
            toml.write_text(toml.read_text() + "\n[retention]\nresult_days = 77\n")
            for server in site.servers:
                server.reload()
                so_far = answered[200]
                while answered[200] < so_far + 20:
                    time.sleep(0.05)
        assert set(answered) == {200}
        nils = stack.enter_context(site.client("nils"))
        assert [one.get("/session").status_code for one in stack.enter_context(site.directly(nils))] == [200, 200]


def test_uploads_that_break_off_at_both_do_not_make_nginx_leave_them_out(
    site: TwoBackEnds, cases: DistinctCases
) -> None:
    with site.client("hugo") as hugo, ExitStack() as stack:
        held = until_both_hold_one(site, hugo, cases, stack)
        for server in site.servers:
            for pid in server.serving():
                os.kill(pid, signal.SIGKILL)  # Gunicorn starts others
        assert {one.finish().status_code for one in held} == {503}
        for _ in range(20):  # over lines of their own: each of Nginx's workers remembers by itself
            with site.client() as nobody:
                assert nobody.get("/session/ways").status_code == 200


def test_when_one_is_killed_only_what_was_in_its_hands_fails_and_all_else_goes_on(
    site: TwoBackEnds, cases: DistinctCases
) -> None:
    entrance = Entrance(site)
    clients = Clients(entrance, cases, 6)  # type: ignore[arg-type]
    clients.accepted |= {-number: {one} for number, one in enumerate(predictions_in(site), 1)}
    entrance.sign_in("ida", "kim", "lea", "max")
    with closing(entrance.client("ida")) as ida, ExitStack() as stack:
        held = until_both_hold_one(site, ida, cases, stack)
        at_second = uploads_at(site.second)
        stack.enter_context(asking([lambda: ida.get("/predict").status_code, lambda: made_and_ended(ida)]))
        stack.enter_context(clients.at_work(["kim", "lea", "max"]))
        until_one_runs(site.server, clients)
        struck = time.monotonic()
        crash(site.second)
        dead = time.monotonic()
        answers = [one.finish() for one in held]
        assert [answer.status_code for answer in answers].count(503) == at_second
        assert clients.until(clients.answered + 2)  # without it
        served = answered_by(site.second)
        site.second.start()
        while answered_by(site.second) == served:
            ida.get("/session/ways")
        for number, (one, answer) in enumerate(zip(held, answers, strict=True), 1000):
            draft = answer if answer.status_code == 202 else ida.post("/predict", content=one.body, headers=one.headers)
            done = ida.post(f"/predict/{draft.json()['id']}/start", headers={"Prefer": "wait=300"}).json()
            assert done["state"] == "done"
            clients.accepted[number] = {done["id"]}
    failed = [one for one in entrance.asked if not 200 <= one.status < 300]
    assert not [one for one in failed if one.began > dead or one.ended < struck]
    assert not [one for one in failed if one.method == "GET"]  # Nginx asks the other
    assert clients.answered == 6
    site.second.stop()
    assert shortcomings(site.server, clients) == []


def made_and_ended(client: httpx.Client) -> int:
    """Make a token and end it."""
    made = client.post("/tokens", json={"label": "a machine", "days": 1})
    return client.delete(f"/tokens/{made.json()['id']}").status_code if made.status_code == 201 else made.status_code


def predictions_in(site: TwoBackEnds) -> list[str]:
    engine = open_database(site.server.config.database_url)
    with reading(engine) as session:
        found = list(session.scalars(sqlalchemy.select(Prediction.id)))
    engine.dispose()
    return found
