import logging
from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import after
from core.errors import AccessError, ConfigError
from core.invitation import PREFIX, Invitation, check_not_expired, invitation_text, read_invitation, split_address

TOKEN = "a-token-of-more-than-twenty-letters"
INVITATION = Invitation(
    address="fl.example.org:8443", ca_sha256="0123456789abcdef" * 4, token=TOKEN, site="north", expires_at=after(3600)
)


def text_of(body: bytes) -> str:
    return PREFIX + urlsafe_b64encode(sha256(body).digest()[:6] + body).decode().rstrip("=")


def test_an_invitation_is_one_line_that_a_shell_leaves_alone() -> None:
    text = invitation_text(INVITATION)
    assert read_invitation(text) == INVITATION
    assert text.replace("-", "").replace("_", "").isalnum()
    assert len(text) < 400


def test_what_a_mail_does_to_a_long_line_does_not_matter() -> None:
    text = invitation_text(INVITATION)
    assert read_invitation(f"  {text[:76]}\r\n{text[76:152]}\n {text[152:]}\n") == INVITATION


@given(st.data())
def test_any_line_that_was_cut_or_mistyped_is_damaged_and_not_expired(data: st.DataObject) -> None:
    text = invitation_text(INVITATION)
    place = data.draw(st.integers(len(PREFIX), len(text) - 1))
    letter = data.draw(st.sampled_from("Aa0-_+/=é.").filter(lambda letter: letter != text[place]))
    for changed in (text[:place], text[:place] + letter + text[place + 1 :], text[:place] + letter + text[place:]):
        with pytest.raises(ConfigError, match="damaged") as error:
            read_invitation(changed)
        assert "whole line" in error.value.fix


@pytest.mark.parametrize("text", ["", "hello", "GLIOFED-abc", "https://fl.example.org"])
def test_anything_else_is_no_invitation(text: str) -> None:
    with pytest.raises(ConfigError, match="no invitation"):
        read_invitation(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"address": "https://fl.example.org"},
        {"ca_sha256": "00"},
        {"expires_at": "2026-99-01T00:00:00.000000Z"},
        {"x": 1},
    ],
)
def test_a_whole_invitation_of_another_kind_names_the_release(changed: dict[str, object]) -> None:
    import json

    with pytest.raises(ConfigError, match="does not know") as error:
        read_invitation(text_of(json.dumps(INVITATION.model_dump() | changed).encode()))
    assert "release" in error.value.fix


def test_an_expired_invitation_is_whole_but_refused() -> None:
    expired = read_invitation(invitation_text(INVITATION.model_copy(update={"expires_at": after(-1)})))
    with pytest.raises(AccessError, match="north expired at"):
        check_not_expired(expired)
    check_not_expired(INVITATION)


def test_the_token_is_in_no_log_and_no_message(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger().warning("%s %r", INVITATION, INVITATION)
    damaged = invitation_text(INVITATION)[:-1]
    with pytest.raises(ConfigError) as error:
        read_invitation(damaged)
    assert TOKEN not in caplog.text + str(error.value) + error.value.fix


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("fl.example.org", "fl.example.org", 443),
        ("FL.Example.org:8443", "fl.example.org", 8443),
        ("10.1.2.3:1", "10.1.2.3", 1),
        ("[fd00::1]", "fd00::1", 443),
        ("[fd00::1]:65535", "fd00::1", 65535),
    ],
)
def test_an_address_is_a_host_and_perhaps_a_port(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)


@pytest.mark.parametrize(
    "address", ["", "https://x", "x:0", "x:65536", "x:y", "x y", "fd00::1", "x/", "-x", "x;y", "x\n"]
)
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        split_address(address)
