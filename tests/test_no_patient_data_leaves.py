"""Planted words stand where a hospital's patients do; none may appear in anything that leaves the hospital."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from flwr.app import Message

from simulations.federation import run_federation
from tests.simulations.factories_federation import a_study, make_sites, write_study

PLANTED = "ZZPATIENT"


def plant(site: Path) -> None:
    """Rename every case after a patient, and exclude one for a reason that names them."""
    prepared = site.parent / "prepared"
    cohort = json.loads((prepared / "cohort.json").read_text())
    for number, case in enumerate(cohort["cases"]):
        name = f"{PLANTED}{number}"
        (prepared / case["file"]).rename(prepared / f"{name}.safetensors")
        case |= {"id": name, "file": f"{name}.safetensors"}
    cohort["cases"].append(
        {"id": f"{PLANTED}X", "file": None, "mgmt": 1, "verdict": "unreliable", "reasons": [f"{PLANTED}X moved"]}
    )
    (prepared / "cohort.json").write_text(json.dumps(cohort))


@pytest.mark.parametrize("broken", [False, True], ids=["as it should be", "one site's file is damaged"])
def test_no_planted_word_leaves_a_hospital(
    tmp_path: Path, broken: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    sites = make_sites(tmp_path / f"hospital-{PLANTED}", {"north": 6, "south": 6, "west": 6})
    for site in sites:
        plant(site)
    if broken:
        next((sites[0].parent / "prepared").glob("*.safetensors")).write_bytes(b"damaged")
    crossed: list[str] = []

    def overhear(name: str, task: Message, answer: Callable[[], Message]) -> list[Message]:
        reply = answer()
        crossed.extend(everything_in(message) for message in (task, reply))
        return [reply]

    out = tmp_path / "coordinator"
    out.mkdir()
    monkeypatch.setenv("FL_HOME", str(out))
    run_federation(sites, write_study(out, a_study()), out / "run", faults=overhear)

    assert len(crossed) == 2 * 3 * 3, "two rounds and an evaluation, a task and an answer a site"
    assert not [text for text in crossed if PLANTED in text]
    # A site's own log stays with the site.
    assert not [r for r in caplog.records if PLANTED in r.getMessage() and not r.name.startswith("fl_client")]
    kept = [path for path in out.rglob("*") if path.is_file()]
    assert len(kept) >= 6, "history, aggregate, study, card, weights and records"
    assert not [path for path in kept if PLANTED.encode() in path.read_bytes() or PLANTED in str(path.name)]


def everything_in(message: Message) -> str:
    """All text and numbers of a message, and the bytes of its arrays as text."""
    if message.has_error():
        return repr(message.error)
    content = message.content
    texts = [repr(dict(record)) for record in (*content.config_records.values(), *content.metric_records.values())]
    texts += [
        name + array.data.decode("latin-1")
        for record in content.array_records.values()
        for name, array in record.items()
    ]
    return "\n".join(texts)
