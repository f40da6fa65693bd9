"""Who is the same person: everybody who shares a name or a scan with another, also by way of others."""

from collections.abc import Iterable

# What a person is known by: names, scans, or keyed pseudonyms of them; at least one.
Handles = tuple[str, ...]
# The event of a site's audit log that names persons, by keyed pseudonyms: see fl_client.privacy_ledger.
COHORT = "privacy.cohort"


class Persons:
    """Sets of handles, joined where they share one.

    Args:
        known: the handles of each who is to be told apart.

    Source: Tarjan 1975 (disjoint sets).
    """

    def __init__(self, known: Iterable[Handles]) -> None:
        self._parent: dict[str, str] = {}
        for handles in known:
            first, *others = (self._root(handle) for handle in handles)
            for other in others:
                self._parent[other] = first

    def of(self, handles: Handles) -> str:
        """Return what stands for a person."""
        return self._root(handles[0])

    def _root(self, handle: str) -> str:
        while (parent := self._parent.setdefault(handle, handle)) != handle:
            self._parent[handle] = handle = self._parent[parent]
        return handle
