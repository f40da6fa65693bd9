import json
import shutil
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.clock import after, moment_of, now, text_of
from core.errors import AccessError, ConfigError, ConnectionProblem, DataError, PreparationError
from fl_client import check as check_module
from fl_client.check import Finding, certificate_told, check_site, clock_told, prepared_told
from fl_client.config import load_site
from fl_client.paths import SiteHome
from tests.fl_client.factories_coordinator import ScriptedCoordinator
from tests.fl_client.factories_site import join_home, make_home


@pytest.fixture
def home(tmp_path: Path, coordinator: ScriptedCoordinator) -> SiteHome:
    """A site that is ready: enrolled, with scans, with prepared cases as its site.toml says."""
    joined = join_home(tmp_path / "home", coordinator, cases=6)
    text = joined.settings.read_text().replace("grid = 48", "grid = 16").replace('device = "auto"', 'device = "cpu"')
    joined.settings.write_text(text)
    (joined.root / "data" / "train" / "00001").mkdir(parents=True)
    return joined


def by_name(home: SiteHome) -> dict[str, Finding]:
    return {finding.name: finding for finding in check_site(home)}


def test_a_site_that_is_ready_has_no_problem(home: SiteHome) -> None:
    found = by_name(home)
    assert [name for name, finding in found.items() if not finding.ok] == []
    assert list(found) == [
        "settings", "records", "certificate", "coordinator", "protocol", "clock", "transfer", "disk", "memory",
        "data", "prepared", "device", "training",
    ]  # fmt: skip
    assert "MB/s up" in found["transfer"].told
    assert found["prepared"].told == "6 of 6 cases usable: 3 methylated, 3 unmethylated, 0 without a label"
    assert found["device"].told == "CPU, 1 thread"


def test_nothing_of_the_check_reaches_the_wire_but_noise(coordinator: ScriptedCoordinator, home: SiteHome) -> None:
    coordinator.calls.clear()
    by_name(home)
    assert coordinator.calls == ["GET protocol", "POST transfer", "GET transfer"]


def test_every_problem_has_a_fix_and_an_exit_code(
    coordinator: ScriptedCoordinator, home: SiteHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator.scripted["GET protocol"] = (200, {"protocol": 99, "release": "9", "time": after(400), "site": "south"})
    coordinator.scripted["POST transfer"] = (200, {"bytes": 1})
    shutil.rmtree(home.root / "prepared")
    shutil.rmtree(home.root / "data")
    monkeypatch.setattr(check_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    monkeypatch.setattr(check_module, "LEAST_MEMORY_BYTES", 1e18)
    home.settings.write_text(home.settings.read_text().replace('device = "cpu"', 'device = "cuda"'))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = by_name(home)
    wrong = {name: finding.exit_code for name, finding in found.items() if not finding.ok}
    assert wrong == {
        "coordinator": ConfigError.exit_code,
        "protocol": ConnectionProblem.exit_code,
        "clock": ConnectionProblem.exit_code,
        "transfer": ConnectionProblem.exit_code,
        "disk": DataError.exit_code,
        "memory": ConfigError.exit_code,
        "data": DataError.exit_code,
        "prepared": PreparationError.exit_code,
        "device": ConfigError.exit_code,
        "training": ConfigError.exit_code,
    }
    assert all(finding.fix for finding in found.values() if not finding.ok)


def test_what_depends_on_something_missing_is_left_out(coordinator: ScriptedCoordinator, home: SiteHome) -> None:
    coordinator.scripted["GET protocol"] = (502, b"")
    found = by_name(home)
    assert not found["coordinator"].ok
    assert not found.keys() & {"protocol", "clock", "transfer"}
    home.certificate.unlink()
    found = by_name(home)
    assert (found["certificate"].ok, found["coordinator"].ok, found["training"].ok) == (False, False, True)
    home.settings.write_text("[site]\n")
    assert list(by_name(home)) == ["settings"]


@pytest.mark.parametrize(
    ("ahead_s", "ok"), [(0, True), (4.8, True), (5.2, False), (-300, True), (-304, True), (-306, False)]
)
def test_a_clock_is_borne_as_far_as_flower_bears_it(ahead_s: float, ok: bool) -> None:
    coordinators = now()
    middle = moment_of(coordinators) + timedelta(seconds=ahead_s)
    before, then = (text_of(middle + timedelta(seconds=s)) for s in (-0.05, 0.05))
    if ok:
        assert f"{abs(ahead_s):.1f} s" in clock_told(coordinators, before, then)
    else:
        with pytest.raises(ConnectionProblem, match="clock") as refusal:
            clock_told(coordinators, before, then)
        assert "timedatectl" in refusal.value.fix


def test_a_certificate_tells_how_long_it_lasts_and_when_it_is_renewed(
    coordinator: ScriptedCoordinator, home: SiteHome
) -> None:
    assert "renewed by itself from" in certificate_told(home)
    request = coordinator.enrollments[-1]["certificate_request"]
    home.certificate.write_text(coordinator.certificate_for(request, valid=timedelta(seconds=-1)))
    with pytest.raises(AccessError, match="expired"):
        certificate_told(home)
    home.certificate.unlink()
    with pytest.raises(ConfigError, match="not enrolled"):
        certificate_told(home)


def test_a_cohort_that_cannot_be_trained_on_is_told_before_a_run(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    home.settings.write_text(home.settings.read_text() + "[preprocessing]\ngrid = 16\n")
    site, index = load_site(home), tmp_path / "prepared" / "cohort.json"
    assert prepared_told(site).startswith("6 of 6 cases usable")
    honest = json.loads(index.read_text())

    def problem(**changed: object) -> str:
        index.write_text(json.dumps(honest | changed))
        with pytest.raises(PreparationError) as refusal:
            prepared_told(site)
        assert refusal.value.fix == "run `fl-client prepare`"
        return refusal.value.problem

    assert "other settings, or by another release" in problem(version="0-0")
    assert "other settings, or by another release" in problem(preprocessing="0" * 64)
    assert problem(cases=honest["cases"][:1]) == "Of 1 cases 1 are usable and 0 of these are gone; two are the least"
    (tmp_path / "prepared" / honest["cases"][0]["file"]).unlink()
    assert "1 of these are gone" in problem()
    index.write_text("{")
    with pytest.raises(PreparationError, match="damaged"):
        prepared_told(site)


def test_a_home_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    home = make_home(tmp_path / ("long" * 25))
    assert "too long for a socket" in by_name(home)["settings"].told
