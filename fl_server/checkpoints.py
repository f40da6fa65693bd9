"""A run's state between two rounds, and the folder that keeps it whatever ends the process.

RUN/round-0003.safetensors   the newest aggregate, and that of the best round so far, each with what the strategy
                             remembers beside it; older ones are deleted
RUN/try-0004.json            what each try of a round brought
RUN/state.json               where the run stands; names the newest aggregate and the tries, and is written after them

A crash in between leaves the older state and its aggregate: the round is then run again, to the same bits.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from core.errors import FederationError
from core.files import only_process, write_atomically
from core.learning.metrics import scores_of
from core.messages import Counts, Flat, Manifest
from core.npy import sha256_of
from core.study import Study, is_settled, settings_digest
from fl_server.server_optimizers import server_optimizer

# The name of the aggregate beside what a strategy remembers.
WEIGHTS = "weights"


@dataclass(frozen=True)
class SiteRound:
    """What one site brought to a round; an answer to the last evaluation holds no more than counts and a receipt.

    Attributes:
        validation, training, cohort, examples, receipt: as in `core.messages.Update`.
        weights_sha256: of the weights that it sent, which are not kept.
    """

    validation: Counts
    receipt: str
    examples: int = 0
    training: Counts = field(default_factory=dict)
    cohort: Counts = field(default_factory=dict)
    weights_sha256: str = ""


@dataclass(frozen=True)
class RoundRecord:
    """What one try of a round brought.

    Attributes:
        round: 1, 2, ...; one more than the study's rounds for the evaluation of the last aggregate.
        counted: whether enough sites answered; otherwise the weights stayed as they were.
        sites: by name, the answers that were accepted.
        rejected: by site, why its answer may not count.
        failed: by site, why it gave no answer.
        validation: counts of the round's *incoming* model: the sites', added up, or under differential privacy, where
            sites count nothing, the coordinator's own on public cases.
        seconds: how long the round took.
    """

    round: int
    counted: bool
    sites: dict[str, SiteRound]
    rejected: dict[str, str]
    failed: dict[str, str]
    validation: Counts
    seconds: float


@dataclass(frozen=True)
class RunState:
    """All that crosses from one round to the next.

    Attributes:
        round: rounds that counted; 0 before the first.
        weights: float32 [parameters] after that round.
        history: every try of every round, in order.
        memory: what the strategy remembers after it, see `ServerState`.
    """

    round: int
    weights: Flat
    history: tuple[RoundRecord, ...] = ()
    memory: Mapping[str, Flat] = field(default_factory=dict)

    @cached_property
    def weights_sha256(self) -> str:
        """How both sides name these weights."""
        return sha256_of(self.weights)

    @cached_property
    def memory_sha256(self) -> dict[str, str]:
        """What tells whether a strategy remembers the same."""
        return {name: sha256_of(values) for name, values in sorted(self.memory.items())}


@dataclass(frozen=True)
class _Stored:
    """state.json: where the run stands, and what tells it from another run."""

    settings: str
    manifest: str
    round: int
    weights_sha256: str
    tries: int
    memory_sha256: dict[str, str] = field(default_factory=dict)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keep the run in this folder to one process.

    Raises: FederationError: another process is at it.
    """
    run.mkdir(parents=True, exist_ok=True)
    taken = FederationError(
        f"Another process is at the run in {run}", fix="let it finish, or stop it and start the run again"
    )
    with only_process(run / ".lock", taken):
        yield


def best_round(history: tuple[RoundRecord, ...], study: Study) -> int:
    """Return the round whose aggregate is the run's model so far, or 0 while none is validated.

    Of the settled rounds, or of all while there are none, it is the one with the lowest pooled validation loss. Round
    r's aggregate is what round r + 1 starts from, so its counts arrive there. Losses over fewer sites are not
    comparable: a model that more sites validated goes before one that fewer did. Under differential privacy the rate
    never comes down, and all rounds are alike.
    """
    planned = 0 if study.privacy.is_on else study.federation.rounds
    ranks = [
        (
            not is_settled(record.round - 1, planned),
            -sum(bool(brought.validation) for brought in record.sites.values()),
            loss,
            record.round - 1,
        )
        for record in history
        if record.counted and record.round > 1 and (loss := scores_of(record.validation).loss) is not None
    ]
    return min(ranks)[-1] if ranks else 0


def save_state(run: Path, study: Study, manifest: Manifest, state: RunState) -> None:
    """Write the aggregate and the latest try, then the state that names them, then forget aggregates nobody needs.

    Args:
        run: the run's folder; holds the state before the latest try, if there was one.
        study: the study that the run belongs to.
        manifest: its model.
        state: with at least one try.
    """
    newest, tries = _weights_path(run, state.round), len(state.history)
    # As bytes: of a full disk safetensors' own writing raises what is no OSError.
    write_atomically(newest, save({WEIGHTS: state.weights, **state.memory}))
    write_atomically(_try_path(run, tries), json.dumps(asdict(state.history[-1])))
    stored = _Stored(
        settings_digest(study), manifest.digest, state.round, state.weights_sha256, tries, state.memory_sha256
    )
    write_atomically(run / "state.json", json.dumps(asdict(stored), indent=2))
    keep = {newest, _weights_path(run, best_round(state.history, study))}
    for path in run.glob("round-*.safetensors"):
        if path not in keep:
            path.unlink()


def load_state(run: Path, study: Study, manifest: Manifest, initial: Flat) -> RunState:
    """Return where the run in this folder stands, or its beginning where there is none.

    Args:
        run: the run's folder.
        study: the study that the run belongs to.
        manifest: its model.
        initial: float32 [manifest.size], the weights to begin with.
    Raises: FederationError: the folder holds another run, or is damaged.
    """
    if not (run / "state.json").exists():
        begun = server_optimizer(study.strategy).init(initial)
        return RunState(0, begun.weights, memory=begun.memory)
    stored = _read(run / "state.json", _Stored)
    if (stored.settings, stored.manifest) != (settings_digest(study), manifest.digest):
        raise FederationError(
            f"The folder {run} holds a run of other settings", fix="name another run folder, or restore the settings"
        )
    memory = _aggregate(run, stored.round)
    state = RunState(stored.round, memory.pop(WEIGHTS), read_history(run), memory)
    if (state.weights_sha256, state.memory_sha256) != (stored.weights_sha256, stored.memory_sha256):
        raise _damaged(run, "the weights are not those of the state")
    return state


def read_history(run: Path) -> tuple[RoundRecord, ...]:
    """Return every try of every round of the run in this folder.

    Raises: FederationError: there is none, or it is damaged.
    """
    tries = _read(run / "state.json", _Stored).tries
    return tuple(_read(_try_path(run, number), RoundRecord) for number in range(1, tries + 1))


def round_weights(run: Path, number: int) -> Flat:
    """Return the aggregate of a round that is kept, the newest or the best: float32 [parameters].

    Raises: FederationError: it is not there or damaged.
    """
    return _aggregate(run, number)[WEIGHTS]


def _aggregate(run: Path, number: int) -> dict[str, Flat]:
    """Return a round's weights and what the strategy remembered after it, by name."""
    try:
        arrays: dict[str, Flat] = load_file(_weights_path(run, number))
        return {WEIGHTS: arrays.pop(WEIGHTS), **arrays}
    except (OSError, SafetensorError, KeyError) as error:
        raise _damaged(run, type(error).__name__) from None


StoredT = TypeVar("StoredT")


def _read(path: Path, kind: type[StoredT]) -> StoredT:
    try:
        return TypeAdapter(kind).validate_python(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise _damaged(path.parent, f"{path.name}: {type(error).__name__}") from None


def _try_path(run: Path, number: int) -> Path:
    return run / f"try-{number:04d}.json"


def _weights_path(run: Path, number: int) -> Path:
    return run / f"round-{number:04d}.safetensors"


def _damaged(run: Path, reason: str) -> FederationError:
    return FederationError(f"The run in {run} cannot be resumed ({reason})", fix="restore the folder, or start anew")
