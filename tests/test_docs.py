"""What the README tells people to run exists."""

import re
from pathlib import Path

from typer.main import get_command

import fl_client.cli
import fl_server.cli
import simulations.cli
import webapp.cli
from core.errors import FLError

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "fl-client": fl_client.cli.app,
    "fl-server": fl_server.cli.app,
    "fl-simulate": simulations.cli.app,
    "fl-web": webapp.cli.app,
}


def test_every_command_that_a_readme_names_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "docs" / "runbook.md", *ROOT.glob("deploy/**/*.md")]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    named = set(re.findall(r"(fl-client|fl-server|fl-simulate|fl-web) ([a-z-]+)", text))
    known = {(program, command) for program, app in COMMANDS.items() for command in get_command(app).commands}
    assert len(named) >= 5
    assert named <= known


def test_every_file_that_a_page_links_to_exists() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("deploy/**/*.md")]
    missing = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8"))
        if not target.startswith("http") and not (page.parent / target).exists()
    ]
    assert len(pages) >= 5
    assert not missing


def test_every_test_that_a_page_names_exists() -> None:
    named = {
        name for page in ROOT.glob("docs/*.md") for name in re.findall(r"`(tests/[\w/]+\.py)`", page.read_text("utf-8"))
    }
    assert len(named) >= 40
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]


def test_the_runbook_has_every_exit_code() -> None:
    told = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "runbook.md").read_text("utf-8"), re.MULTILINE)
    kinds = [FLError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    ours = {kind.exit_code for kind in kinds if kind.__module__ == "core.errors"}
    assert list(map(int, told)) == sorted(ours | {0})


def test_make_has_the_two_commands() -> None:
    assert {"demo:", "test:"} <= {line.split(" ")[0] for line in (ROOT / "Makefile").read_text().splitlines()}
