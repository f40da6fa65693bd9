"""What is wrong at a site leaves with its status; where its files lie, which may name anybody, does not."""

from pathlib import Path

import pytest

from core.errors import RecordsError
from core.messages import update_records
from fl_client.agent import Agent
from fl_client.config import load_site
from fl_client.paths import SiteHome
from fl_client.site_records import SiteRecords
from fl_client.traffic import Traffic
from tests.fl_client.factories_fleet import coordinator as superlink_at
from tests.fl_client.factories_fleet import make_pki
from tests.fl_client.factories_gate import SuperNode, gate
from tests.fl_client.factories_messages import (
    SuperLink,
    a_task,
    an_update,
    answer_message,
    approving,
    fetch,
    hand_over,
    task_message,
)

NAME = "Zwoelfkreuzner"


def test_a_database_that_takes_nothing_does_not_tell_the_coordinator_where_it_lies(
    home: SiteHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.run.mkdir()
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "records.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RecordsError) as damaged:
        SiteRecords("north", f"sqlite:///{tmp_path / NAME / 'records.db'}")
    pki, traffic = make_pki(tmp_path), Traffic()
    records, bundle = approving(tmp_path, "approved")
    superlink = SuperLink(task_message(a_task()), bundle)
    with (
        superlink_at(pki, superlink.answer) as there,
        gate(pki, there.address, traffic=traffic, records=records) as port,
        SuperNode(pki, port) as node,
    ):
        fetch(node, superlink.task)
        monkeypatch.setattr(records, "append", lambda *_a, **_k: (_ for _ in ()).throw(damaged.value))
        assert hand_over(node, answer_message(update_records(an_update()), superlink.task))[-1] == 503
    agent = Agent(load_site(home), home, traffic)
    told = agent.status().cause
    agent.close()
    assert told, "people at the coordinator are told that something is wrong"
    assert NAME not in told, told
