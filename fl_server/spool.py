"""Updates on disk between their arrival and the average, so that memory does not grow with the number of sites.

RUN/spool/<site>.npy   float32 [parameters]; deleted once the average that holds it is on disk
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.messages import Update
from core.npy import sha256_of

NOTHING = np.empty(0, np.float32)


class Spool(Mapping[str, Update]):
    """The updates of one round by site; an update's weights are read from disk each time it is looked up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._kept: dict[str, Update] = {}

    def keep(self, update: Update) -> tuple[Update, str]:
        """Write an update to a file; a later one of the same site takes its place.

        The file is not forced to disk: a process that takes the run up asks for the round's updates again.

        Returns: the update without its weights, and their SHA-256.
        """
        np.save(self._path(update.site), update.weights, allow_pickle=False)
        self._kept[update.site] = replace(update, weights=NOTHING)
        return self._kept[update.site], sha256_of(update.weights)

    def clear(self) -> None:
        """Forget every update, also those that a process which ended has left."""
        self._kept.clear()
        for path in self.folder.glob("*.npy"):
            path.unlink()

    def __getitem__(self, site: str) -> Update:
        """Return a site's update with its weights."""
        return replace(self._kept[site], weights=np.load(self._path(site), allow_pickle=False))

    def __iter__(self) -> Iterator[str]:
        """Go through the sites in the order of their names."""
        return iter(sorted(self._kept))

    def __len__(self) -> int:
        """Return how many updates are kept."""
        return len(self._kept)

    def _path(self, site: str) -> Path:
        return self.folder / f"{site}.npy"
