import json
import stat
import tomllib
from pathlib import Path

import pytest

from core.certificates import new_key, read_certificate, request_text
from core.clock import after, now
from core.errors import AccessError, ConfigError, ConnectionProblem
from core.signing import load_key, public_text
from core.site_protocol import SITE_PROTOCOL
from fl_client import enrollment
from fl_client.config import SiteConfig, load_site
from fl_client.coordinator import Coordinator
from fl_client.enrollment import join, leave, renew, renewal_is_due
from fl_client.paths import SiteHome
from fl_client.site_records import SiteRecords
from fl_client.site_toml import site_toml
from tests.fl_client.factories_coordinator import ScriptedCoordinator
from tests.fl_client.factories_site import events

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "examples" / "site.toml"


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    return SiteHome(tmp_path / "home")


def test_a_join_makes_keys_settings_and_a_certificate_that_the_coordinator_knows(
    coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    join(coordinator.invite(), home, Path("/scans"), Path("/prepared"))
    site = load_site(home)
    assert (site.site.name, site.site.data, site.site.prepared) == ("north", Path("/scans"), Path("/prepared"))
    assert site.coordinator.address == coordinator.address
    with Coordinator(site, home) as reached:
        assert reached.protocol().site == "north"
    assert events(home) == ["site.enrolled"]
    assert home.coordinator_key.read_text() == public_text(coordinator.signing.public_key())


def test_private_keys_stay_and_only_this_account_may_read_them(
    coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    join(coordinator.invite(), home)
    for secret in (home.key, home.node_key, home.audit_key, home.settings):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    (enrollment,) = coordinator.enrollments
    assert enrollment.keys() == {
        "protocol", "release", "site", "token", "certificate_request", "node_key", "audit_key",
    }  # fmt: skip
    assert "PRIVATE" not in json.dumps(enrollment)
    assert enrollment["protocol"] == SITE_PROTOCOL
    assert enrollment["node_key"].startswith("ecdsa-sha2-nistp384 ")
    assert enrollment["audit_key"] == public_text(load_key(home.audit_key).public_key())


def test_an_invitation_may_come_in_a_file(coordinator: ScriptedCoordinator, home: SiteHome, tmp_path: Path) -> None:
    (tmp_path / "invite.txt").write_text(coordinator.invite() + "\n")
    assert join(str(tmp_path / "invite.txt"), home).site == "north"


def test_a_second_join_is_refused_in_words_and_changes_nothing(
    coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    join(coordinator.invite(), home)
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="enrolled already") as refusal:
        join(coordinator.invite(), home)
    assert "fl-client leave" in refusal.value.fix
    assert {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()} == before
    assert len(coordinator.enrollments) == 1


def test_a_refused_join_is_run_again_with_a_fresh_invitation(coordinator: ScriptedCoordinator, home: SiteHome) -> None:
    stale = coordinator.invite(token="x" * 40)
    with pytest.raises(AccessError, match="used or withdrawn"):
        join(stale, home, Path("/scans"))
    assert not home.settings.exists()
    join(coordinator.invite(), home, Path("/other"))
    assert load_site(home).site.data == Path("/other")


def test_a_join_that_was_cut_at_any_file_is_run_again(
    coordinator: ScriptedCoordinator, home: SiteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever write is the last before the power goes, nothing half-made is in the way."""
    honest = enrollment.write_atomically

    class PowerCut(Exception):
        pass

    def cutting(path: Path, content: bytes | str) -> None:
        if not left:
            raise PowerCut
        left.pop()
        honest(path, content)

    monkeypatch.setattr(enrollment, "write_atomically", cutting)
    for writes in range(4):
        left, coordinator.used = [None] * writes, False
        with pytest.raises(PowerCut):
            join(coordinator.invite(), home)
        assert not home.certificate.exists()
    left, coordinator.used = [None] * 4, False
    join(coordinator.invite(), home)
    assert not left
    with Coordinator(load_site(home), home) as reached:
        assert reached.protocol().site == "north"


def test_another_ca_than_the_invitations_is_not_told_the_token(
    coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    with pytest.raises(ConnectionProblem, match="another CA"):
        join(coordinator.invite(ca_sha256="0" * 64), home)
    assert coordinator.calls == ["GET ca.crt"]
    coordinator.scripted["GET ca.crt"] = (200, b"<html>hello</html>")
    with pytest.raises(ConnectionProblem, match="another CA"):
        join(coordinator.invite(), home)
    assert not coordinator.enrollments


def test_an_expired_invitation_is_refused_before_anything_is_sent(
    coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    with pytest.raises(AccessError, match="expired"):
        join(coordinator.invite(expires_at=now()), home)
    assert not coordinator.calls


def test_a_certificate_for_another_key_or_of_another_ca_is_not_kept(
    coordinator: ScriptedCoordinator, home: SiteHome, tmp_path: Path
) -> None:
    stranger = ScriptedCoordinator(tmp_path / "stranger")
    key = public_text(coordinator.signing.public_key())

    def answering(make) -> None:
        coordinator.scripted["POST enroll"] = lambda body: (
            200,
            {
                "certificate": make(json.loads(body)["certificate_request"]),
                "coordinator_key": key,
                "renew_at": after(9),
            },
        )

    for make, problem in (
        (lambda _: coordinator.certificate_for(request_text(new_key(), "north")), "another key"),
        (stranger.certificate_for, "no certificate of the federation's CA"),
        (lambda _: "none", "no certificate of the federation's CA"),
    ):
        answering(make)
        with pytest.raises(ConnectionProblem, match=problem):
            join(coordinator.invite(), home)
        assert not home.certificate.exists()


def test_settings_that_are_there_already_are_kept_where_they_fit(
    coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    home.root.mkdir()
    written = site_toml("north", Path("/scans"), Path("/prepared"), coordinator.address).replace(
        "threads = 1 ", "threads = 2 "
    )
    home.settings.write_text(written)
    with pytest.raises(ConfigError, match=r"says otherwise: site\.data"):
        join(coordinator.invite(), home, Path("/other"))
    with pytest.raises(ConfigError, match=r"says otherwise: site\.name"):
        join(coordinator.invite("south"), home)
    assert not coordinator.calls
    join(coordinator.invite(), home)
    assert home.settings.read_text() == written


def test_the_example_is_what_a_join_writes() -> None:
    written = site_toml("north", Path("/srv/gliofed/data"), Path("/srv/gliofed/prepared"), "fl.example.org:443")
    assert EXAMPLE.read_text() == written


def test_any_name_of_a_folder_can_be_written() -> None:
    text = site_toml("north", Path('/srv/a "b" \\ c/Ärzte'), Path("/p"), "fl.example.org")
    assert tomllib.loads(text)["site"]["data"] == '/srv/a "b" \\ c/Ärzte'
    SiteConfig.model_validate(tomllib.loads(text))


def test_a_renewal_brings_a_fresh_certificate_for_the_same_key(
    coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    coordinator.renew_at = now()
    join(coordinator.invite(), home)
    old = read_certificate(home.certificate.read_text())
    assert renewal_is_due(home)
    with Coordinator(load_site(home), home) as reached:
        renew(reached, SiteRecords("north", home.records), home, "north")
    new = read_certificate(home.certificate.read_text())
    assert new.serial_number != old.serial_number
    assert new.public_key() == old.public_key()
    assert not renewal_is_due(home)
    assert events(home) == ["site.enrolled", "certificate.renewed"]
    with Coordinator(load_site(home), home) as reached:
        assert reached.protocol().site == "north"


def test_a_site_that_left_keeps_its_log_and_may_come_back(coordinator: ScriptedCoordinator, home: SiteHome) -> None:
    join(coordinator.invite(), home)
    audit_key = home.audit_key.read_bytes()
    leave(load_site(home), home)
    assert coordinator.calls[-1] == "POST leave"
    assert not any(path.exists() for path in (home.certificate, home.key, home.node_key))
    coordinator.used = False
    join(coordinator.invite(), home)
    assert events(home) == ["site.enrolled", "site.left", "site.enrolled"]
    assert home.audit_key.read_bytes() == audit_key


def test_a_site_that_was_revoked_can_still_leave_but_not_while_nobody_answers(
    coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    join(coordinator.invite(), home)
    coordinator.scripted["POST leave"] = (502, b"bad gateway")
    with pytest.raises(ConnectionProblem):
        leave(load_site(home), home)
    assert home.certificate.exists()
    coordinator.scripted["POST leave"] = (403, {"problem": "The site north was revoked", "fix": "ask"})
    leave(load_site(home), home)
    assert not home.certificate.exists()
