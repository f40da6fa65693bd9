import threading

import pytest
from sqlalchemy import Engine

from core.clock import now
from core.records.db import transaction
from core.records.tables import Presence, Site
from fl_server.uploads import Upload, Uploads, uploads_of

SITES = ("north", "south")


@pytest.fixture
def records(engine: Engine) -> Engine:
    with transaction(engine) as session:
        for name in SITES:
            session.add(Site(name=name, state="enrolled", invited_at=now()))
    return engine


def test_an_upload_begins_with_its_message_and_ends_with_the_next_question(records: Engine) -> None:
    uploads = Uploads(records)
    assert uploads_of(records, SITES)["north"] == Upload("", "")
    uploads.saw("north", "/v1/fleet/push-messages")
    for _ in range(3):
        uploads.saw("north", "/v1/fleet/push-object")
    began = uploads_of(records, SITES)["north"]
    assert began.is_under_way
    uploads.saw("north", "/v1/fleet/pull-messages")
    done = uploads_of(records, SITES)["north"]
    assert not done.is_under_way
    assert done.began == began.began < done.done
    assert uploads_of(records, SITES)["south"] == Upload("", "")


def test_what_a_site_told_last_is_told_beside_its_upload(records: Engine) -> None:
    with transaction(records) as session:
        session.get_one(Site, "south").seen_at = "2026-11-24T21:55:20.000000Z"
        session.add(
            Presence(
                site="south", state="idle", run="", round=0, done=0, total=0, device="", cause="",
                progressed_at="2026-11-24T21:55:19.000000Z", expected_end=None,
            )
        )  # fmt: skip
    assert uploads_of(records, SITES) == {
        "north": Upload("", ""),
        "south": Upload("", "", "2026-11-24T21:55:20.000000Z", "2026-11-24T21:55:19.000000Z"),
    }


def test_a_question_without_an_upload_before_it_changes_nothing(records: Engine) -> None:
    uploads = Uploads(records)
    uploads.saw("north", "/v1/fleet/pull-messages")
    assert uploads_of(records, SITES)["north"] == Upload("", "")


def test_an_upload_that_began_before_the_service_was_started_anew_ends_all_the_same(records: Engine) -> None:
    Uploads(records).saw("north", "/v1/fleet/push-messages")
    Uploads(records).saw("north", "/v1/fleet/pull-messages")
    assert not uploads_of(records, SITES)["north"].is_under_way


def test_a_node_counts_as_started_when_it_asks_for_tasks_since_it_may_have_been_refused_before(records: Engine) -> None:
    uploads = Uploads(records)
    uploads.saw("north", "/v1/fleet/activate-node")
    refused = now()
    uploads.saw("north", "/v1/fleet/activate-node")
    assert not uploads_of(records, SITES)["north"].anew
    let_in = now()
    uploads.saw("north", "/v1/fleet/pull-messages")
    anew = uploads_of(records, SITES)["north"].anew
    assert refused < anew <= let_in
    uploads.saw("north", "/v1/fleet/pull-messages")
    assert uploads_of(records, SITES) == {"north": Upload("", "", anew=anew), "south": Upload("", "")}


def test_an_upload_in_whose_middle_the_node_ended_was_broken_off_and_is_never_over(records: Engine) -> None:
    uploads = Uploads(records)
    for call in ("push-messages", "activate-node", "pull-messages", "pull-messages"):
        uploads.saw("north", f"/v1/fleet/{call}")
    broken = uploads_of(records, SITES)["north"]
    assert not broken.is_under_way
    assert broken.was_broken_off
    assert not broken.done
    Uploads(records).saw("north", "/v1/fleet/pull-messages")
    assert not uploads_of(records, SITES)["north"].done
    uploads.saw("north", "/v1/fleet/push-messages")
    assert uploads_of(records, SITES)["north"].is_under_way
    assert not uploads_of(records, SITES)["north"].was_broken_off


def test_uploads_of_many_threads_are_each_noted(records: Engine) -> None:
    uploads = Uploads(records)

    def upload(site: str) -> None:
        for call in ("push-messages", "pull-messages"):
            uploads.saw(site, f"/v1/fleet/{call}")

    threads = [threading.Thread(target=upload, args=(site,)) for site in SITES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(upload.done and not upload.is_under_way for upload in uploads_of(records, SITES).values())
