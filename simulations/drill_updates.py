"""Answers that may not count, through the apps of a deployment in one process: `python -m simulations.drill_updates`.

Each round one site first sends what it should not. It is refused, asked again, sends what it should, and the round's
average is that of the undisturbed run. An audit log tells who was asked how often.
"""

import json
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from flwr.app import ConfigRecord, Message, RecordDict
from sqlalchemy import Engine

from core.files import write_atomically
from core.records import audit
from core.records.chain import end_of
from core.records.db import open_database, reading
from core.records.rounds import ASKED, CLOSED
from fl_client.site_toml import site_toml
from fl_server.config import database_url
from fl_server.strategies import array_of
from simulations.drill import SITES, Fault, as_json, drill_study
from simulations.federation import run_federation
from simulations.local import CASES
from simulations.noise import SMALLEST_GRID, write_noise

BAD = "site-1"
EXPECTED = "refused, asked again, counted"
_ALL = 1_000_000

Change = Callable[[RecordDict], None]


def _weights(change: Callable[[Any], Any]) -> Change:
    def changed(content: RecordDict) -> None:
        arrays = content.array_records["arrays"]
        arrays["weights"] = array_of(change(arrays["weights"].numpy()))

    return changed


def _nan(weights: Any) -> Any:  # noqa: ANN401 (an array of any type)
    spoiled = weights.copy()
    spoiled[len(spoiled) // 2] = np.nan
    return spoiled


def _text_metric(content: RecordDict) -> None:
    content["metrics"] = ConfigRecord({**dict(content.metric_records["metrics"]), "training.loss": "Jane Doe"})


def _further_array(content: RecordDict) -> None:
    content.array_records["arrays"]["scan"] = array_of(np.zeros(9, np.float32))


FAULTS: dict[str, Change | None] = {
    "update with a NaN": _weights(_nan),
    "update of another shape": _weights(lambda weights: weights[:-1]),
    "update of another dtype": _weights(lambda weights: weights.astype(np.float64)),
    "update with a huge norm": _weights(lambda weights: weights + np.float32(1e6)),
    "update of an earlier round, replayed": None,
    "a metric that is a string": _text_metric,
    "an array that was not agreed": _further_array,
}


class Spoiler:
    """Spoils a site's first answer of each round, a fault a round."""

    def __init__(self) -> None:
        self._faults = dict(enumerate(FAULTS.values(), start=1))
        self._first: RecordDict | None = None

    def __call__(self, site: str, task: Message, honest: Callable[[], Message]) -> list[Message]:
        """Return what arrives in the place of a site's honest answer."""
        answer, number = honest(), int(task.metadata.group_id)
        if site != BAD:
            return [answer]
        if self._first is None:
            self._first = deepcopy(answer.content)
        if number not in self._faults:
            return [answer]
        change = self._faults.pop(number)
        if change is None:
            return [Message(deepcopy(self._first), reply_to=task)]
        change(answer.content)
        return [answer]


def main() -> None:
    """Run the study undisturbed, and then with every fault where that is asked for, and write both to FOLDER."""
    folder, rounds, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    sites = [_site(folder / "sites" / f"site-{number}") for number in range(1, SITES + 1)]
    study = folder / "sites" / "study.toml"
    write_atomically(study, tomli_w.dumps(drill_study(rounds).model_dump(mode="json")))
    run_federation(sites, study, folder / "reference")
    records = open_database(database_url())
    reference = _aggregates(records, 0)
    write_atomically(folder / "reference.json", json.dumps(reference))
    if what == "spoiled":
        write_atomically(folder / "updates.json", json.dumps(as_json(_spoiled(folder, sites, records, reference))))


def _spoiled(folder: Path, sites: list[Path], records: Engine, reference: dict[int, str]) -> list[Fault]:
    with reading(records) as session:
        before, _ = end_of(session)
    run_federation(sites, folder / "sites" / "study.toml", folder / "updates", faults=Spoiler(), waits=True)
    spoiled, asked = _aggregates(records, before), _asked(records, before)
    return [
        _fault(name, asked.get(number, 0), spoiled.get(number) == reference[number], _lost(records, before, number))
        for number, name in enumerate(FAULTS, start=1)
    ]


def _site(home: Path) -> Path:
    write_noise(home / "prepared", home.name, CASES)
    text = site_toml(home.name, home, home / "prepared", "").replace("grid = 48", f"grid = {SMALLEST_GRID}")
    write_atomically(home / "site.toml", text)
    return home / "site.toml"


def _fault(name: str, asked: int, same: bool, lost: int) -> Fault:
    told = f"asked {asked} times; weights " + ("as" if same else "NOT as") + " undisturbed"
    return Fault(name, EXPECTED, told, lost, passed=asked == 2 and same and not lost)


def _aggregates(records: Engine, after: int) -> dict[int, str]:
    """Return the SHA-256 of each round's average after an event, by round; evaluations average nothing."""
    return {one["round"]: one["aggregate_sha256"] for one in _bodies(records, CLOSED, after) if one["counted"]}


def _asked(records: Engine, after: int) -> dict[int, int]:
    counts: dict[int, int] = {}
    for one in _bodies(records, ASKED, after):
        counts[one["round"]] = counts.get(one["round"], 0) + (BAD in one["sites"])
    return counts


def _lost(records: Engine, after: int, number: int) -> int:
    return sum(not one["counted"] for one in _bodies(records, CLOSED, after) if one["round"] == number)


def _bodies(records: Engine, action: str, after: int) -> list[dict[str, Any]]:
    with reading(records) as session:
        return [json.loads(event.body) for event in audit.events(session, after=after, action=action, limit=_ALL)]


if __name__ == "__main__":
    main()
