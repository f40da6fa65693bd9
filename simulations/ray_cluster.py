"""The same work on many machines, on many processors or here: what maps a function over items, in the items' order.

On a Ray cluster the work of a machine that dies is done again by another. Each piece runs on one thread wherever it
runs, and a machine with other code or libraries than this process is refused, so no bit depends on where work is done.

Who reaches a Ray cluster's ports can run code on it, unless it was started with RAY_AUTH_MODE=token, and data travels
between its machines: it is for synthetic and public cases, on a network of one's own.

Source: Moritz et al. 2018, Ray: A Distributed Framework for Emerging AI Applications.
"""

import logging
import os
import platform
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

from core.errors import ConfigError, ConnectionProblem, FederationError
from core.workers import end_with_parent
from simulations.code_version import source_digest

if TYPE_CHECKING:
    from ray import ObjectRef

LIBRARIES = ("monai", "numpy", "scipy", "torch")
# Of a piece of work whose process or machine dies; an error that the work raises is not tried again.
RETRIES = 5
# Pieces handed out for each processor: enough to keep it busy, few enough that results do not pile up.
AHEAD = 2
WAIT_S = 5.0

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Mapped(Protocol):
    """What `map` does, wherever it does it."""

    def __call__(self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT], /) -> Iterator[ResultT]:
        """Yield the function's result for each item, in the items' order.

        Args:
            function: of a module, or `functools.partial` of one; what it holds is sent once, whatever the items.
            items: small, each sent for itself.
        """


@contextmanager
def pool(address: str | None = None, workers: int = 1) -> Iterator[Executor]:
    """Yield what does work that is handed to it piece by piece; `submit` takes a function of one small argument.

    Args:
        address: of a Ray cluster, as `ray start --head` prints it; None: on this machine, without Ray.
        workers: processes side by side where there is no address; 1: in this one.
    Raises:
        ConnectionProblem: no Ray cluster answers, or it does not let this process in.
        ConfigError: a machine of the cluster has other code or libraries.
        FederationError: a piece of work was lost once too often, or a process of this machine was killed.
    """
    if address is not None:
        release()  # as it is now: the code may be edited while the work goes on
        with _connected(address) as processors:
            yield _OverRay(processors)
    elif workers > 1:
        spawn = get_context("spawn")  # a forked child of a process with threads may hang
        with ProcessPoolExecutor(workers, spawn, initializer=_begin) as processes:
            try:
                yield processes
            except BrokenProcessPool:
                raise FederationError(
                    "A process that worked for this one was killed, most likely because memory ran out",
                    fix="run the command again, with fewer --workers: it goes on where it was",
                ) from None
    else:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield _Here()
        finally:
            torch.set_num_threads(threads)


@contextmanager
def mapper(address: str | None = None, workers: int = 1) -> Iterator[Mapped]:
    """Yield what maps a function over items; arguments and errors are as `pool` has them."""
    with pool(address, workers) as executor:
        yield executor.map


@cache
def release() -> dict[str, str]:
    """Return all of a machine's software that the bits depend on: our code's SHA-256 and the libraries' versions."""
    code = source_digest(Path(__file__).resolve().parent.parent)
    libraries = {name: version(name) for name in LIBRARIES}
    return {"gliofed's code": code, "python": platform.python_version(), **libraries}


def _begin() -> None:
    end_with_parent()
    torch.set_num_threads(1)


@contextmanager
def _connected(address: str) -> Iterator[int]:
    """Join a Ray cluster while the block runs; yield its processors. What is still at work at the end is ended."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), WAIT_S).close()  # Ray itself would try for a minute
    except (OSError, ValueError):
        raise ConnectionProblem(
            f"No Ray cluster answers at {address}", fix="give the address that `ray start --head` printed: host:port"
        ) from None
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0"}
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of what it will change
    import ray

    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConnectionProblem(
            f"The Ray cluster at {address} does not let this process in: {str(error).partition(chr(10))[0]}",
            fix="run this on a machine of the cluster, with the cluster's versions of Ray and Python",
        ) from None
    try:
        yield max(1, int(sum(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])))
    finally:
        ray.shutdown()


class _Here(Executor):
    """A pool of no processes: what is submitted is done at once, what is mapped as it is asked for."""

    map = staticmethod(map)  # type: ignore[assignment]

    def submit(self, function: Callable[[ItemT], ResultT], item: ItemT, /) -> Future[ResultT]:  # type: ignore[override]
        future: Future[ResultT] = Future()
        future.set_result(function(item))
        return future


class _OverRay(Executor):
    """The processors of a Ray cluster."""

    def __init__(self, processors: int) -> None:
        import ray

        self.processors = processors
        self.task: Any = ray.remote(num_cpus=1, max_retries=RETRIES)(_piece)

    def map(  # type: ignore[override]
        self, function: Callable[[ItemT], ResultT], items: Iterable[ItemT], /
    ) -> Iterator[ResultT]:
        import ray

        shared, wanted = ray.put(function), release()
        # Handed out as they are taken.
        pieces = (_told(self.task.remote(shared, item, wanted)) for item in items)
        begun = deque(islice(pieces, AHEAD * self.processors))
        while begun:
            result = begun.popleft().result()
            begun.extend(islice(pieces, 1))
            yield result

    def submit(self, function: Callable[[ItemT], ResultT], item: ItemT, /) -> Future[ResultT]:  # type: ignore[override]
        return _told(self.task.remote(function, item, release()))


def _told(reference: "ObjectRef[ResultT]") -> Future[ResultT]:
    """Return a piece of work's future, which raises what the work raised."""
    future: Future[ResultT] = Future()

    def settle(done: Future[ResultT]) -> None:
        from ray.exceptions import RayError, RayTaskError

        error = done.exception()
        if isinstance(error, RayTaskError):
            future.set_exception(error.cause)
        elif isinstance(error, RayError):
            lost = FederationError(
                f"A piece of work was lost {RETRIES + 1} times with the process or machine it was on "
                f"({type(error).__name__})",
                fix="see to the memory of the cluster's machines, then run the command again",
            )
            future.set_exception(lost)
        elif error:
            future.set_exception(error)
        else:
            future.set_result(done.result())

    reference.future().add_done_callback(settle)
    return future


def _piece(function: Callable[[ItemT], ResultT], item: ItemT, wanted: dict[str, str]) -> ResultT:
    """Do a piece of work on a machine of the cluster.

    Raises: ConfigError: the machine is not like the one that asks.
    """
    here = release()
    other = [name for name, told in wanted.items() if here.get(name) != told]
    if other:
        raise ConfigError(
            f"The Ray node {platform.node()} differs from this machine in: {', '.join(other)}",
            fix="install the same release with its constraints.txt on every machine, then start its Ray again",
        )
    torch.set_num_threads(1)
    return function(item)
