"""What makes processes cheaper that pass models on, in pieces of megabytes. See docs/decisions/0008-a-fast-round.md."""

import importlib
from contextlib import suppress

# glibc uses a freed piece again instead of giving it back to the kernel, which would clear every page of the next one
# first (source: mallopt(3)). OpenBLAS, which such a process hardly needs, keeps no threads that wait by spinning.
KEEPS_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
    "MALLOC_ARENA_MAX": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
# Uvicorn stops reading a request's body at 64 kB until the app has taken them: each of Flower's objects of 5 MB then
# goes through its nine layers in dozens of pieces. It is larger than any object, so a body waits nowhere.
HIGH_WATER_BYTES = 2**24


def receive_large_bodies() -> None:
    """Let Uvicorn in this process read on while an app has not taken the beginning of a body yet.

    There is no setting for it, only a constant of its modules; where a later release has none, nothing changes.
    """
    for protocol in ("httptools_impl", "h11_impl"):
        with suppress(ImportError):
            module = importlib.import_module(f"uvicorn.protocols.http.{protocol}")
            module.HIGH_WATER_LIMIT = HIGH_WATER_BYTES  # type: ignore[attr-defined]
