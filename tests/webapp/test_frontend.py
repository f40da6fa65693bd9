"""The pages as files: made from the contract, complete, small enough, and talking to the server in one way only."""

import gzip
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FRONTEND, PAGES = ROOT / "webapp" / "frontend", ROOT / "webapp" / "pages"
SOURCES = [path for path in (FRONTEND / "src").rglob("*.ts*") if path.name != "contract.ts"]
# The target is 300 kB.
FIRST_PAGE_BYTES = 300_000


def test_the_client_is_made_from_the_contract(tmp_path: Path) -> None:
    """`make client` makes it anew."""
    argv = [sys.executable, "-m", "tests.webapp.contract"]
    (tmp_path / "openapi.json").write_bytes(subprocess.run(argv, cwd=ROOT, check=True, capture_output=True).stdout)
    made = tmp_path / "contract.ts"
    argv = ["node_modules/.bin/openapi-typescript", str(tmp_path / "openapi.json"), "--output", str(made)]
    subprocess.run([*argv, "--alphabetize"], cwd=FRONTEND, check=True, capture_output=True)
    assert made.read_text() == (FRONTEND / "src" / "api" / "contract.ts").read_text()


def test_nothing_but_the_client_reaches_the_server() -> None:
    for path in SOURCES:
        if path.parent.name != "api":
            found = re.findall(r"\bfetch\(|XMLHttpRequest|EventSource|WebSocket|sendBeacon|axios", path.read_text())
            assert not found, f"{path.relative_to(FRONTEND)}: {found}"


def test_no_page_writes_markup_or_runs_text() -> None:
    for path in SOURCES:
        assert not re.findall(r"dangerouslySetInnerHTML|innerHTML|\beval\(|new Function", path.read_text()), path.name


def test_files_stay_small_enough_to_hold_in_the_head() -> None:
    assert not [path.name for path in SOURCES if len(path.read_text().splitlines()) > 300]


def test_the_first_page_is_light_and_the_viewer_is_not_in_it() -> None:
    page = (PAGES / "index.html").read_text()
    scripts = re.findall(r'src="?/app/([^" >]+\.js)', page)
    assert scripts
    assert sum(len(gzip.compress((PAGES / name).read_bytes())) for name in scripts) < FIRST_PAGE_BYTES
    assert not any(b"niivue" in (PAGES / name).read_bytes().lower() for name in scripts)


def test_the_page_holds_no_script_or_style_of_its_own() -> None:
    page = (PAGES / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)


def test_the_locked_packages_come_from_wherever_the_installation_says() -> None:
    lock = json.loads((FRONTEND / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_the_wheel_holds_the_pages(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*argv, "--wheel-dir", str(tmp_path), "."], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert {f"webapp/pages/{path.name}" for path in PAGES.iterdir()} <= held
    assert not [name for name in held if "frontend" in name]
