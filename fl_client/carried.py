"""What each run has brought and taken over the wire, also over restarts of the gate."""

import json
from pathlib import Path

from core.files import write_atomically
from fl_client.traffic import Passed, Traffic


class Carried:
    """Adds up, by the coordinator's runs, what the gate counts by Flower's."""

    def __init__(self, path: Path, traffic: Traffic) -> None:
        self._path = path
        self._traffic = traffic
        self._before = read_carried(path)
        self._written = dict(self._before)

    def of(self, run: str, flower_runs: tuple[int, ...]) -> Passed:
        """Return what has passed for a run so far, and keep it.

        Args:
            run: the coordinator's name of it.
            flower_runs: Flower's numbers of the runs that it took.
        """
        passed = self._before.get(run, Passed())
        for number in flower_runs:
            passed += self._traffic.of_run(number)
        if run and passed != self._written.get(run, Passed()):
            self._written[run] = passed
            stored = {name: [total.sent, total.received] for name, total in sorted(self._written.items())}
            write_atomically(self._path, json.dumps(stored))
        return passed


def read_carried(path: Path) -> dict[str, Passed]:
    """Return what has passed by run, as the gate's process wrote it last."""
    try:
        return {run: Passed(int(sent), int(received)) for run, (sent, received) in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
