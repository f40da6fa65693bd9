"""A federation in this process, of which all is kept that a coordinator gets to see of a planted hospital."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flwr.app import Message

from core.study import Study
from simulations.federation import run_federation
from tests.factories_leaks import files_under
from tests.factories_planted import PlantedHospital
from tests.simulations.factories_federation import make_sites, write_study

OTHERS = {"north": 4, "south": 4}


@dataclass(frozen=True)
class Left:
    """What crossed between the planted hospital and a coordinator that share a process.

    Attributes:
        parts: of every task and answer of every site, as it crossed.
        answers: the planted hospital's.
        outside: folder of everything that is not the hospital's.
        logged: what was logged elsewhere than at a site.
    """

    parts: list[bytes]
    answers: list[Message]
    outside: Path
    logged: list[str]

    def found_by(self, hospital: PlantedHospital) -> set[str]:
        """The names of all identifiers in it."""
        found: set[str] = set()
        for part in (*self.parts, "\n".join(self.logged).encode()):
            found |= hospital.detector.found_in(part)
        for path in files_under(self.outside):
            found |= hospital.detector.found_in_file(path)
        return found


def federation_with(
    hospital: PlantedHospital,
    outside: Path,
    study: Study,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    at_first: Callable[[], object] = lambda: None,
) -> Left:
    """Run a federation of the planted hospital and two of noise.

    Args:
        outside: empty; all that is not the hospital's is written there.
        at_first: done at the hospital when its first task has arrived.
    """
    caplog.set_level(logging.DEBUG)
    sites = [hospital.write_settings(), *make_sites(outside / "others", OTHERS)]
    monkeypatch.setenv("FL_HOME", str(outside))
    left = Left([], [], outside, [])

    def overhear(name: str, task: Message, answer: Callable[[], Message]) -> list[Message]:
        if name == hospital.config.site.name and not left.answers:
            at_first()
        left.parts.extend(everything_in(task))
        reply = answer()
        # At once: whoever takes a message up empties it.
        left.parts.extend(everything_in(reply))
        if name == hospital.config.site.name:
            left.answers.append(reply)
        return [reply]

    run_federation(sites, write_study(outside, study), outside / "run", faults=overhear)
    formatter = logging.Formatter()  # with the traceback, where there is one
    # A site's own log stays with the site.
    left.logged.extend(formatter.format(one) for one in caplog.records if not one.name.startswith("fl_client"))
    return left


def everything_in(message: Message) -> Iterator[bytes]:
    """What a message is made of: its address, its error, its text and numbers, and the bytes of its arrays."""
    yield repr(vars(message.metadata)).encode()
    if message.has_error():
        yield repr((message.error.code, message.error.reason)).encode()
        return
    content = message.content
    for record in (*content.config_records.values(), *content.metric_records.values()):
        yield repr(dict(record)).encode()
    for arrays in content.array_records.values():
        for name, array in arrays.items():
            yield repr((name, array.dtype, array.shape, array.stype)).encode()
            yield array.data
