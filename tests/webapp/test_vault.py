"""Sealed values: what a stolen database gives away (nothing), and what a changed one is noticed by."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError, RecordsError
from webapp.vault import Keys, Vault, number_of, read_keys, write_keys


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "keys" / "web-keys.json")


def test_what_was_sealed_opens_at_its_own_place_alone(vault: Vault) -> None:
    sealed = vault.seal(b"Erika Meier", "patients.identity/1")
    assert b"Erika" not in sealed
    assert vault.open(sealed, "patients.identity/1") == b"Erika Meier"
    for elsewhere in ("patients.identity/2", "feedback.comment/1", ""):
        with pytest.raises(RecordsError, match="changed or moved"):
            vault.open(sealed, elsewhere)


def test_a_sealed_value_is_as_the_docstring_says(vault: Vault) -> None:
    sealed = vault.seal(b"x", "a.b/1")
    assert sealed[:4] == bytes([0, 0, 0, 1])
    key = vault.keys.sealing[1]
    assert AESGCM(key).decrypt(sealed[4:16], sealed[16:], sealed[:4] + b"a.b/1") == b"x"


@given(place=st.integers(0, 26), bit=st.integers(0, 7))
def test_any_changed_bit_is_noticed(place: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    vault = Vault(tmp_path_factory.mktemp("vault") / "keys.json")
    sealed = bytearray(vault.seal(b"value", "t.c/1"))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(RecordsError):
        vault.open(bytes(sealed), "t.c/1")


def test_equal_values_are_sealed_differently_and_hash_equally_for_one_purpose(vault: Vault) -> None:
    assert vault.seal(b"x", "t.c/1") != vault.seal(b"x", "t.c/1")
    assert vault.mac("record number", "1") == vault.mac("record number", "1")
    assert vault.mac("record number", "1") != vault.mac("comment", "1")
    assert vault.mac("a", "b\nc") == vault.mac("a", "b\nc") != vault.mac("a\nb", "c\n")


def test_a_key_that_another_process_adds_is_used_at_once_and_the_old_one_still_opens(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = vault.seal(b"x", "t.c/1")
    path = vault._path
    code = (
        "import sys; from pathlib import Path; from webapp.vault import *\n"
        "path = Path(sys.argv[1]); keys = read_keys(path)\n"
        "write_keys(path, Keys({**keys.sealing, 2: bytes(range(32))}, keys.hashing))"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    new = vault.seal(b"y", "t.c/1")
    assert (number_of(old), number_of(new)) == (1, 2)
    assert (vault.open(old, "t.c/1"), vault.open(new, "t.c/1")) == (b"x", b"y")
    write_keys(path, Keys({2: bytes(range(32))}, vault.keys.hashing))
    assert vault.open(old, "t.c/1") == b"x"  # for whoever has read it just before the rotation
    monkeypatch.setattr("webapp.vault.time.monotonic", lambda: float("inf"))
    with pytest.raises(RecordsError, match="key that is not here"):
        vault.open(old, "t.c/1")


def test_the_file_of_keys_is_for_this_account_alone(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "web-keys.json"
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content", ["", "{}", '{"sealing": {}, "hashing": ""}', '{"sealing": {"1": "00"}, "hashing": "00"}', "[]"]
)
def test_a_damaged_file_of_keys_is_refused_without_being_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="no keys that can be read"):
        Vault(path)
    assert path.read_text() == content


def test_keys_are_read_back_as_written(tmp_path: Path) -> None:
    keys = Keys({1: os.urandom(32), 12: os.urandom(32)}, os.urandom(32))
    write_keys(tmp_path / "k", keys)
    assert read_keys(tmp_path / "k") == keys
    assert keys.newest == 12
