"""Only what the coordinator signed is loaded: every byte of weights, card, approval and signature counts."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError, RegistryError
from core.records.home import trusted_key
from core.records.registry import (
    add_version,
    approve_version,
    approved_versions,
    current_version,
    install_retirement,
    install_version,
    list_versions,
    load_version,
    retire_version,
    retired_versions,
)
from core.signing import make_key, sign

KEY = Ed25519PrivateKey.generate()
TRUSTED = KEY.public_key()
FILES = ("weights.safetensors", "card.json", "calibration.json", "approval.json")


def a_version(registry: Path, *, value: float = 0.5, study: str = "demo", approved: bool = True) -> str:
    name = add_version(registry, study, {"w": np.float32([value])}, {"rounds": 3}, {"threshold": 0.5})
    if approved:
        approve_version(registry, name, KEY)
    return name


def file_of(registry: Path, name: str, file: str) -> Path:
    return registry / f"{name}.{file}" if file == "approval.json" else registry / name / file


def files_of(registry: Path, name: str) -> dict[str, bytes]:
    return {file: file_of(registry, name, file).read_bytes() for file in FILES}


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def write_json(path: Path, content: dict) -> None:
    rewrite(path, json.dumps(content, indent=2, sort_keys=True).encode())


def edit(registry: Path, name: str, change: Callable[[dict], None], key: Ed25519PrivateKey | None = None) -> None:
    """Change an approval's statement, and sign it again where a key is given."""
    path = file_of(registry, name, "approval.json")
    content = json.loads(path.read_bytes())
    change(content["statement"])
    if key:
        content["signature"] = sign(key, content["statement"])
    write_json(path, content)


def refused(registry: Path, name: str) -> str:
    with pytest.raises(RegistryError) as caught:
        load_version(registry / name, TRUSTED)
    assert caught.value.fix
    with pytest.raises(RegistryError):
        install_version(registry.parent / "site", name, files_of(registry, name), TRUSTED)
    assert list_versions(registry.parent / "site") == []
    return caught.value.problem


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "registry"


def test_an_approved_version_loads(registry: Path) -> None:
    name = a_version(registry)
    assert load_version(registry / name, TRUSTED).tensors["w"].tolist() == [0.5]
    statement = json.loads((registry / f"{name}.approval.json").read_text())["statement"]
    assert statement.keys() == {
        "version", "study", "weights_sha256", "card_sha256", "calibration_sha256", "approved_at", "coordinator"
    }  # fmt: skip
    assert (statement["version"], statement["study"]) == (name, "demo")
    assert name.endswith(statement["weights_sha256"][:8])


def test_a_coordinator_is_named_by_16_digits_of_its_keys_text(registry: Path) -> None:
    name = a_version(registry)
    pem = TRUSTED.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    statement = json.loads((registry / f"{name}.approval.json").read_text())["statement"]
    assert statement["coordinator"] == hashlib.sha256(pem).hexdigest()[:16]


def test_what_is_not_approved_loads_only_without_a_key(registry: Path) -> None:
    name = a_version(registry, approved=False)
    assert load_version(registry / name).name == name
    with pytest.raises(RegistryError, match="is not approved"):
        load_version(registry / name, TRUSTED)


@settings(max_examples=60, deadline=None)
@given(file=st.sampled_from(FILES), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, file: str, place: float, bit: int
) -> None:
    registry = tmp_path_factory.mktemp("approvals") / "registry"
    name = a_version(registry)
    path = file_of(registry, name, file)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    rewrite(path, bytes(content))
    refused(registry, name)


def test_the_key_of_another_federation_is_refused(registry: Path) -> None:
    name = a_version(registry)
    with pytest.raises(RegistryError, match="not what this federation's coordinator signed"):
        load_version(registry / name, Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda s: s.update(approved_at="2020-01-01T00:00:00.000000Z"),
            "not what this federation's coordinator signed",
        ),
        (lambda s: s.pop("coordinator"), "is damaged"),
        (lambda s: s.update(more="x"), "is damaged"),
        (lambda s: s.update(approved_at=3), "is damaged"),
    ],
)
def test_a_changed_statement_is_refused(registry: Path, change: Callable[[dict], None], told: str) -> None:
    name = a_version(registry)
    edit(registry, name, change)
    assert told in refused(registry, name)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"statement": [], "signature": ""}', "\xff"])
def test_what_is_no_approval_is_refused(registry: Path, content: str) -> None:
    name = a_version(registry)
    (registry / f"{name}.approval.json").write_bytes(content.encode("latin1"))
    assert "is damaged" in refused(registry, name)


@pytest.mark.parametrize("signature", ["", "00" * 64, "zz"])
def test_a_wrong_signature_is_refused(registry: Path, signature: str) -> None:
    name = a_version(registry)
    path = registry / f"{name}.approval.json"
    write_json(path, json.loads(path.read_text()) | {"signature": signature})
    assert "not what this federation's coordinator signed" in refused(registry, name)


@pytest.mark.parametrize("space", ["", " ", "\t"])
def test_a_change_of_no_meaning_is_refused_too(registry: Path, space: str) -> None:
    """White space, or capitals among the signature's digits."""
    name = a_version(registry)
    path = registry / f"{name}.approval.json"
    content = json.loads(path.read_text())
    if space:
        path.write_text(path.read_text() + space)
    else:
        write_json(path, content | {"signature": content["signature"].upper()})
    assert "is damaged" in refused(registry, name)


def test_an_approval_moved_to_another_version_is_refused(registry: Path) -> None:
    older, newer = a_version(registry), a_version(registry, value=0.25, approved=False)
    shutil.copy(registry / f"{older}.approval.json", registry / f"{newer}.approval.json")
    assert f"The approval of {newer} is that of {older}" in refused(registry, newer)
    assert approved_versions(registry, TRUSTED) == [older]


def test_other_weights_under_an_approved_name_are_refused(registry: Path) -> None:
    """The card can be made to fit other weights; the approval cannot."""
    name, other = a_version(registry), a_version(registry, value=0.25, approved=False)
    weights = (registry / other / "weights.safetensors").read_bytes()
    card = json.loads((registry / name / "card.json").read_text())
    card["weights_sha256"] = json.loads((registry / other / "card.json").read_text())["weights_sha256"]
    rewrite(registry / name / "weights.safetensors", weights)
    write_json(registry / name / "card.json", card)
    assert load_version(registry / name).tensors["w"].tolist() == [0.25]
    assert "The weights of" in refused(registry, name)


def test_another_card_of_an_approved_version_is_refused(registry: Path) -> None:
    name = a_version(registry)
    card = json.loads((registry / name / "card.json").read_text()) | {"metrics": {"auc": 0.99}}
    write_json(registry / name / "card.json", card)
    assert f"The card of {name} is not what the coordinator approved" in refused(registry, name)


def test_another_calibration_of_an_approved_version_is_refused(registry: Path) -> None:
    """Even where the card was made to fit it."""
    name = a_version(registry)
    rewrite(registry / name / "calibration.json", b'{"threshold": 0.1}')
    assert f"The calibration of {name} is not what the coordinator approved" in refused(registry, name)
    with pytest.raises(RegistryError, match="is not the one that was registered"):
        load_version(registry / name)
    card = json.loads((registry / name / "card.json").read_text())
    card["calibration_sha256"] = hashlib.sha256(b'{"threshold": 0.1}').hexdigest()
    write_json(registry / name / "card.json", card)
    assert load_version(registry / name).calibration == {"threshold": 0.1}
    assert "is not what the coordinator approved" in refused(registry, name)


def test_a_version_from_before_there_was_a_calibration_is_refused_with_what_to_do(registry: Path) -> None:
    name = a_version(registry)
    (registry / name / "calibration.json").unlink()
    with pytest.raises(RegistryError, match=r"has no calibration\.json") as caught:
        load_version(registry / name, TRUSTED)
    assert "train its study again" in caught.value.fix


def test_an_approval_that_leaves_a_file_out_is_refused(registry: Path) -> None:
    name = a_version(registry)
    edit(registry, name, lambda statement: statement.pop("calibration_sha256"), KEY)
    assert "is damaged" in refused(registry, name)


def test_a_retired_version_loads_no_more(registry: Path) -> None:
    name = a_version(registry)
    retire_version(registry, name, KEY)
    assert "was retired on 20" in refused(registry, name)
    assert approved_versions(registry, TRUSTED) == []
    for again in (approve_version, retire_version):
        with pytest.raises(RegistryError, match="was retired"):
            again(registry, name, KEY)


def test_a_retirement_cannot_be_forged_or_taken_back_without_the_key(registry: Path) -> None:
    name = a_version(registry)
    edit(registry, name, lambda s: s.update(retired_at="2026-11-24T00:00:00.000000Z"), Ed25519PrivateKey.generate())
    assert "not what this federation's coordinator signed" in refused(registry, name)
    edit(registry, name, lambda s: s.pop("retired_at"), KEY)
    retire_version(registry, name, KEY)
    edit(registry, name, lambda s: s.pop("retired_at"))
    assert "not what this federation's coordinator signed" in refused(registry, name)


def test_a_retirement_is_taken_over_by_a_site_that_has_the_version(registry: Path, tmp_path: Path) -> None:
    name, site = a_version(registry), tmp_path / "hospital"
    install_version(site, name, files_of(registry, name), TRUSTED)
    approval = file_of(registry, name, "approval.json")
    with pytest.raises(RegistryError, match="has not signed that"):
        install_retirement(site, name, approval.read_bytes(), TRUSTED)
    retire_version(registry, name, KEY)
    assert retired_versions(registry, TRUSTED) == [name]
    with pytest.raises(RegistryError, match="not what this federation's coordinator signed"):
        install_retirement(site, name, approval.read_bytes(), Ed25519PrivateKey.generate().public_key())
    assert approved_versions(site, TRUSTED) == [name]
    install_retirement(site, name, approval.read_bytes(), TRUSTED)
    assert (approved_versions(site, TRUSTED), retired_versions(site, TRUSTED)) == ([], [name])
    assert "was retired on 20" in refused(site, name)


def test_a_retirement_of_another_version_retires_nothing(registry: Path, tmp_path: Path) -> None:
    first, second, site = a_version(registry), a_version(registry, value=0.7), tmp_path / "hospital"
    for name in (first, second):
        install_version(site, name, files_of(registry, name), TRUSTED)
    retire_version(registry, first, KEY)
    with pytest.raises(RegistryError, match=f"The approval of {second} is that of {first}"):
        install_retirement(site, second, file_of(registry, first, "approval.json").read_bytes(), TRUSTED)
    assert approved_versions(site, TRUSTED) == [first, second]


def test_a_version_is_approved_once(registry: Path) -> None:
    name = a_version(registry)
    before = files_of(registry, name)
    with pytest.raises(RegistryError, match="approved already"):
        approve_version(registry, name, KEY)
    with pytest.raises(RegistryError, match="not what this federation's coordinator signed"):
        approve_version(registry, name, Ed25519PrivateKey.generate())
    assert files_of(registry, name) == before


@pytest.mark.parametrize("harm", ["weights.safetensors", "card.json", "calibration.json"])
def test_a_damaged_version_is_never_approved(registry: Path, harm: str) -> None:
    name = a_version(registry, approved=False)
    rewrite(registry / name / harm, b"torn")
    for whom in (name, "0009-demo-00000000", "../registry"):
        with pytest.raises(RegistryError):
            approve_version(registry, whom, KEY)
    assert [path.name for path in registry.iterdir() if "approval" in path.name] == []


def test_what_was_never_approved_cannot_be_retired(registry: Path) -> None:
    name = a_version(registry, approved=False)
    with pytest.raises(RegistryError, match="is not approved"):
        retire_version(registry, name, KEY)


def test_of_the_approved_versions_the_one_approved_last_is_current(registry: Path) -> None:
    older, newer = (a_version(registry, value=value, approved=False) for value in (1, 2))
    approve_version(registry, newer, KEY)
    assert current_version(registry, TRUSTED) == registry / newer
    approve_version(registry, older, KEY)
    assert approved_versions(registry, TRUSTED) == [older, newer]
    assert current_version(registry, TRUSTED) == registry / older
    retire_version(registry, older, KEY)
    assert current_version(registry, TRUSTED) == registry / newer


def test_of_two_versions_approved_in_one_moment_the_higher_number_is_current(registry: Path) -> None:
    names = [a_version(registry, value=value) for value in (1, 2, 3)]
    for name in names:
        edit(registry, name, lambda statement: statement.update(approved_at="2026-11-24T00:00:00.000000Z"), KEY)
    assert current_version(registry, TRUSTED) == registry / names[2]


def test_only_an_approved_version_can_be_current(registry: Path) -> None:
    with pytest.raises(RegistryError, match="no approved model version"):
        current_version(registry, TRUSTED)
    names = [a_version(registry, value=value, approved=value < 3) for value in (1, 2, 3)]
    assert list_versions(registry) == names
    assert approved_versions(registry, TRUSTED) == names[:2]
    assert current_version(registry, TRUSTED) == registry / names[1]
    retire_version(registry, names[1], KEY)
    assert current_version(registry, TRUSTED) == registry / names[0]
    with pytest.raises(RegistryError, match="no approved model version"):
        current_version(registry, Ed25519PrivateKey.generate().public_key())


def test_a_version_that_came_from_the_coordinator_is_the_same_at_the_site(registry: Path, tmp_path: Path) -> None:
    name = a_version(registry)
    for _ in range(2):  # pulling again changes nothing
        install_version(tmp_path / "site", name, files_of(registry, name), TRUSTED)
    assert files_of(tmp_path / "site", name) == files_of(registry, name)
    assert load_version(current_version(tmp_path / "site", TRUSTED), TRUSTED).tensors["w"].tolist() == [0.5]
    assert [oct(f.stat().st_mode & 0o777) for f in (tmp_path / "site" / name).iterdir()] == ["0o444"] * 3


def test_a_pull_that_was_cut_off_before_the_approval_is_made_whole(registry: Path, tmp_path: Path) -> None:
    name = a_version(registry)
    install_version(tmp_path / "site", name, files_of(registry, name), TRUSTED)
    (tmp_path / "site" / f"{name}.approval.json").unlink()
    install_version(tmp_path / "site", name, files_of(registry, name), TRUSTED)
    assert approved_versions(tmp_path / "site", TRUSTED) == [name]


def test_a_version_that_is_here_is_never_overwritten(registry: Path, tmp_path: Path) -> None:
    name, site = a_version(registry), tmp_path / "site"
    install_version(site, name, files_of(registry, name), TRUSTED)
    rewrite(site / name / "weights.safetensors", b"torn")
    with pytest.raises(RegistryError, match=r"Another .* is here"):
        install_version(site, name, files_of(registry, name), TRUSTED)


def test_an_approval_from_before_the_retirement_does_not_revive_a_version(registry: Path, tmp_path: Path) -> None:
    name, site = a_version(registry), tmp_path / "site"
    pulled = files_of(registry, name)
    install_version(site, name, pulled, TRUSTED)
    retire_version(registry, name, KEY)
    shutil.copy(registry / f"{name}.approval.json", site)
    with pytest.raises(RegistryError, match="was retired"):
        install_version(site, name, pulled, TRUSTED)


@pytest.mark.parametrize("name", ["../0001-demo-00000000", "0001-demo-00000000/..", "", "x"])
def test_a_name_that_is_no_versions_writes_nothing(registry: Path, tmp_path: Path, name: str) -> None:
    files = files_of(registry, a_version(registry))
    for wrong in ({"name": name, "files": files}, {"name": "0001-demo-00000000", "files": files | {"more": b""}}):
        with pytest.raises(RegistryError, match="is not a model version"):
            install_version(tmp_path / "site", **wrong, trusted=TRUSTED)
    assert not (tmp_path / "site").exists()


def test_the_trusted_key_is_the_coordinators_at_a_site_and_ones_own_at_the_coordinator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FL_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="no key"):
        trusted_key()
    own = make_key(tmp_path / "keys" / "signing.key", tmp_path / "keys" / "signing.pub", "a passphrase")
    assert trusted_key() == own.public_key()
    theirs = make_key(tmp_path / "elsewhere.key", tmp_path / "keys" / "coordinator.pub")
    assert trusted_key() == theirs.public_key()
    (tmp_path / "keys" / "coordinator.pub").write_text("no key")
    with pytest.raises(ConfigError, match=r"coordinator\.pub holds no public key"):
        trusted_key()
