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


def researchers_lines() -> list[list[str]]:
    """What the README has a researcher type, in its order."""
    section = (ROOT / "README.md").read_text("utf-8").split("## Researcher")[1].split("\n## ")[0]
    return [line.split("#")[0].split()[1:] for line in section.splitlines() if line.startswith("    fl-simulate ")]


def test_no_line_for_researchers_writes_where_an_earlier_one_has_unless_it_is_the_same_scenario() -> None:
    place = {"hospitals": 1, "split": 2, "pretrain": 1}
    folders: dict[str, list[str]] = {}
    for words in researchers_lines():
        out = words[words.index("--out") + 1] if "--out" in words else ""
        out = words[place[words[0]]] if words[0] in place else out
        folders.setdefault(out, []).append(next((word for word in words if word.endswith(".toml")), words[0]))
    folders.pop("")
    assert {"cohort", "rsna", "demo"} <= set(folders)
    assert {out: writers for out, writers in folders.items() if len(set(writers)) > 1} == {}


def test_a_line_that_says_the_same_is_after_the_one_that_it_means() -> None:
    names = [words[0] for words in researchers_lines()]
    assert names[names.index("drill") - 1] == "federation"


def test_the_readme_says_which_commands_leave_a_page_and_which_go_on_as_their_help_does() -> None:
    commands = get_command(simulations.cli.app).commands
    told = {name: " ".join((commands[name].help or "").split()) for name, *_ in researchers_lines()}
    (claim,) = re.findall(r"\n(`run`.*?) leave a page of tables", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert set(re.findall(r"`([a-z-]+)`", claim)) == {name for name, text in told.items() if ".html" in text}
    (also,) = re.findall(r"pictures;\s(.*?) go on as well", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    # `run` says so in its module, `experiment` and `tune` in other words.
    goes_on = {name for name, text in told.items() if "the next call goes on" in text or "from its last round" in text}
    assert goes_on | {"run"} == set(re.findall(r"`([a-z-]+)`", claim + also))
