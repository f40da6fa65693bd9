"""A new key for whatever is sealed in the database, while others read and write.

The new key is put into the file of keys by the transaction that all writers wait for: whatever is sealed later is
sealed with it. So once no older value is left, none can come, and the older keys are removed. Where this is ended in
the middle, both keys are in the file, everything can be read, and the next run goes on.

The key of the keyed hashes is not rotated: what it has hashed is in the log's chain (comments), or is of scans that
were deleted since, and could not be hashed again.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_bytes
from typing import Any

from sqlalchemy import Engine, bindparam, func, select, update

from core.errors import RecordsError
from core.files import only_process
from core.progress import Report, silent
from core.records.db import reading, transaction
from webapp.journal import CONSOLE, note
from webapp.sealed_columns import SEALED, SealedColumn
from webapp.vault import KEY_BYTES, Vault, number_of, read_keys, write_keys

# Values sealed anew while others wait.
_BATCH = 200


@dataclass(frozen=True)
class Rotated:
    """What a rotation has done.

    Attributes:
        newest: the number of the key that everything is sealed with now.
        values: how many were sealed anew.
        removed: numbers of the keys that are gone.
        resumed: whether an earlier rotation had been ended in the middle.
    """

    newest: int
    values: int
    removed: tuple[int, ...]
    resumed: bool


def rotate(engine: Engine, path: Path, report: Report = silent) -> Rotated:
    """Seal every value with a new key and remove the older keys.

    Args:
        engine: the database.
        path: the file of keys.
        report: told of values done and in all, by column.
    Raises: RecordsError: another process rotates or makes a backup, or values do not open; their keys then stay.
    """
    with keys_held(path):
        resumed = len(read_keys(path).sealing) > 1
        if not resumed:
            _add_key(engine, path)
        vault = Vault(path)
        keys = vault.keys
        values, unreadable = 0, list[str]()
        for sealed in SEALED:
            done, bad = _seal_anew(engine, vault, sealed, report)
            values += done
            unreadable += bad
        if unreadable:
            raise RecordsError(
                f"{len(unreadable)} sealed values do not open, the first is that of {unreadable[0]}; all others are "
                "sealed anew, and no key was removed",
                fix="find out who could write to the database; restore these values from a backup, then rotate again",
            )
        removed = tuple(sorted(keys.sealing.keys() - {keys.newest}))
        with transaction(engine) as session:
            note(session, CONSOLE, "keys.rotated", newest=keys.newest, removed=list(removed), values=values)
        write_keys(path, replace(keys, sealing={keys.newest: keys.sealing[keys.newest]}))
    return Rotated(keys.newest, values, removed, resumed)


def keys_held(path: Path) -> AbstractContextManager[None]:
    """Keep the keys as they are for all other processes while the block runs, so that a backup needs one set of them.

    Raises: RecordsError: another process has them.
    """
    taken = RecordsError(
        "Another process rotates the keys, or makes a backup", fix="wait until it is done, then try again"
    )
    return only_process(path.with_name("keys.lock"), taken)


def _add_key(engine: Engine, path: Path) -> None:
    with transaction(engine) as session:
        keys = read_keys(path)
        newest = keys.newest + 1
        note(session, CONSOLE, "keys.made", newest=newest)
        write_keys(path, replace(keys, sealing={**keys.sealing, newest: token_bytes(KEY_BYTES)}))


def _seal_anew(engine: Engine, vault: Vault, sealed: SealedColumn, report: Report) -> tuple[int, list[str]]:
    """Seal a column's older values, and return how many there were, and the places of those that do not open."""
    older = ~sealed.is_of(vault.keys.newest)
    with reading(engine) as session:
        total = session.scalar(select(func.count()).where(sealed.column.is_not(None), older)) or 0
    done, closed = 0, []
    for page in sealed.pages(engine, older, size=_BATCH):
        anew, bad = _anew(engine, vault, sealed, [key for key, _ in page])
        done += anew
        closed += bad
        report(sealed.place, done, max(total, done))
    return done, closed


def _anew(engine: Engine, vault: Vault, sealed: SealedColumn, rows: list[Any]) -> tuple[int, list[str]]:
    """Seal the values of these rows, as they are now, within one transaction."""
    anew, closed = [], []
    with transaction(engine) as session:
        for key, value in session.execute(select(sealed.key, sealed.column).where(sealed.key.in_(rows))):
            if value is None or number_of(value) == vault.keys.newest:  # changed since the page was read
                continue
            place = sealed.place_of(key)
            try:
                anew.append({"row": key, "anew": vault.seal(vault.open(value, place), place)})
            except RecordsError:
                closed.append(place)
        if anew:
            by_row = update(sealed.table).where(sealed.table.c[sealed.key.key] == bindparam("row"))
            session.connection().execute(by_row.values({sealed.column.key: bindparam("anew")}), anew)
    return len(anew), closed
