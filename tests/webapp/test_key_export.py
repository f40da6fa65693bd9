"""A server's keys in one file for the safe: it opens with its passphrase alone, and never mixes two servers' keys."""

import json
from pathlib import Path

import pytest

from core.errors import AccessError, ConfigError
from core.signing import load_key, make_key
from webapp.erased import erased_in, remember
from webapp.key_export import backup_key, export_keys, import_keys, is_exported, read_export
from webapp.vault import Keys, Vault, read_keys, write_keys

PASSPHRASE = "five words that nobody guesses"


def keys_in(folder: Path) -> Path:
    """The keys of a server, all of them, and one erased patient."""
    keys = folder / "keys" / "web-keys.json"
    Vault(keys)
    make_key(keys.with_name("audit.key"), keys.with_name("audit.pub"))
    backup_key(keys)
    remember(keys, ["a" * 32])
    return keys


def test_what_is_imported_is_what_was_exported(tmp_path: Path) -> None:
    keys, export, other = keys_in(tmp_path / "here"), tmp_path / "safe.keys", tmp_path / "there" / "k" / "web-keys.json"
    export_keys(keys, export, PASSPHRASE)
    import_keys(other, read_export(export, PASSPHRASE))
    assert read_keys(other) == read_keys(keys)
    assert backup_key(other) == backup_key(keys)
    for name in ("audit.key", "audit.pub", "erased.txt", "backup.key"):
        assert other.with_name(name).read_bytes() == keys.with_name(name).read_bytes()
    assert load_key(other.with_name("audit.key"))
    assert {path.stat().st_mode & 0o077 for path in (export, other, *other.parent.glob("*.key"))} == {0}


def test_an_export_shows_no_key(tmp_path: Path) -> None:
    keys, export = keys_in(tmp_path), tmp_path / "safe.keys"
    export_keys(keys, export, PASSPHRASE)
    text = export.read_text("ascii")
    here = read_keys(keys)
    for secret in (*here.sealing.values(), here.hashing, backup_key(keys)):
        assert secret.hex() not in text
    assert "PRIVATE" not in text
    assert "a" * 32 not in text


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda told: told, AccessError),  # another passphrase, below
        (lambda told: told | {"nonce": "00" * 16}, AccessError),
        (lambda told: told | {"sealed": told["sealed"][:-8] + "AAAAAAA="}, AccessError),
        (lambda told: told | {"sealed": "*"}, ConfigError),
        (lambda told: {"nonce": told["nonce"]}, ConfigError),
        (lambda _: [], ConfigError),
    ],
)
def test_another_passphrase_and_another_content_open_nothing(tmp_path: Path, change, error: type) -> None:  # type: ignore[no-untyped-def]
    export = tmp_path / "safe.keys"
    export_keys(keys_in(tmp_path), export, PASSPHRASE)
    told = json.loads(export.read_text())
    changed = change(told)
    export.write_text(json.dumps(changed))
    with pytest.raises(error):
        read_export(export, PASSPHRASE + ("!" if changed == told else ""))


def test_an_export_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    """Its parameters are what we use or nothing: with n = 2**40 it would be tried to take 1 TiB."""
    export = tmp_path / "safe.keys"
    export_keys(keys_in(tmp_path), export, PASSPHRASE)
    told = json.loads(export.read_text())
    told["scrypt"]["n"] = 2**40
    export.write_text(json.dumps(told))
    assert read_export(export, PASSPHRASE).backup, "what it says of them is not looked at"


def test_a_short_passphrase_an_existing_file_and_missing_keys_are_refused(tmp_path: Path) -> None:
    keys, export = keys_in(tmp_path), tmp_path / "safe.keys"
    with pytest.raises(ConfigError, match="has 5 characters"):
        export_keys(keys, export, "short")
    with pytest.raises(ConfigError, match="holds no keys"):
        export_keys(tmp_path / "nowhere" / "web-keys.json", export, PASSPHRASE)
    assert not export.exists()
    assert not (tmp_path / "nowhere").exists()
    export.write_text("an older one")
    with pytest.raises(ConfigError, match="already"):
        export_keys(keys, export, PASSPHRASE)
    assert export.read_text() == "an older one"


def test_an_older_export_adds_its_keys_to_those_that_are_there(tmp_path: Path) -> None:
    """As after a rotation, when a backup from before is to be restored."""
    keys, export = keys_in(tmp_path / "here"), tmp_path / "safe.keys"
    export_keys(keys, export, PASSPHRASE)
    older = read_keys(keys)
    write_keys(keys, Keys({2: b"2" * 32}, older.hashing))
    remember(keys, ["b" * 32])
    import_keys(keys, read_export(export, PASSPHRASE))
    assert read_keys(keys) == Keys({1: older.sealing[1], 2: b"2" * 32}, older.hashing)
    assert erased_in(keys) == {"a" * 32, "b" * 32}


def test_keys_of_another_server_are_not_mixed_with_those_that_are_there(tmp_path: Path) -> None:
    export = tmp_path / "safe.keys"
    export_keys(keys_in(tmp_path / "here"), export, PASSPHRASE)
    other = keys_in(tmp_path / "there")
    before = {path.name: path.read_bytes() for path in other.parent.iterdir()}
    with pytest.raises(ConfigError, match="keys of another server"):
        import_keys(other, read_export(export, PASSPHRASE))
    assert {path.name: path.read_bytes() for path in other.parent.iterdir()} == before


def test_whether_the_keys_as_they_are_were_exported_is_known(tmp_path: Path) -> None:
    keys = keys_in(tmp_path)
    assert not is_exported(keys)
    export_keys(keys, tmp_path / "safe.keys", PASSPHRASE)
    assert is_exported(keys)
    write_keys(keys, Keys({2: b"2" * 32}, read_keys(keys).hashing))
    assert not is_exported(keys)
