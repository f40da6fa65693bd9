import copy
import re
import shutil
from html import unescape

import pytest
import torch

from core.errors import RegistryError
from core.records.registry import load_version
from core.report import Part, Table
from fl_server.card import WITHHELD
from fl_server.card_answers import answers_of, performance_of
from fl_server.checklists import CLAIM, TRIPOD_AI
from fl_server.model_card import WARNING, page_of, text_of
from simulations.federation import run_federation
from tests.fl_server.test_cli import fl_server, refused
from tests.simulations.factories_federation import a_study, make_sites, write_study

torch.set_num_threads(1)

CASES = {"site-a": 6, "site-b": 9}


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A version's folder, as a real run of two hospitals of noise left it."""
    folder = tmp_path_factory.mktemp("federation")
    sites = make_sites(folder, CASES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FL_HOME", str(folder / "home"))
        found = run_federation(sites, write_study(folder, a_study(deadline_s=60)), folder / "run")
    return folder / "home" / "registry" / found.version


@pytest.fixture
def card(registered):
    return copy.deepcopy(load_version(registered).card)


def test_both_checklists_have_every_item_in_order_and_an_answer_to_each(card):
    assert [item.number for item in CLAIM] == [str(number) for number in range(1, 45)]
    letters = {
        3: "abc",
        5: "ab",
        6: "abc",
        8: "abc",
        9: "abc",
        12: "abcdefg",
        18: "abcdef",
        20: "abc",
        23: "ab",
        27: "abc",
    }
    expected = [f"{n}{letter}" for n in range(1, 28) for letter in letters.get(n, " ")]
    assert [item.number for item in TRIPOD_AI] == [number.strip() for number in expected]
    assert {item.subject for item in CLAIM + TRIPOD_AI} == set(answers_of(card))
    assert all(answers_of(card).values())


def test_the_page_stands_alone_and_warns_before_any_number(card):
    page = page_of(card)
    assert not re.search(r"<script|<link|https?://|src=(?!\"data:)", page)
    text = unescape(page)
    assert text.index(WARNING) < text.index("Model details")
    for told in ("0.62", "0.56", "Baid 2021", "Kim 2022", "Saeed 2023", "Robinet 2023", "replaces the test of tissue"):
        assert told in WARNING
    assert card["weights_sha256"] in text
    assert card["version"] in text


def test_cases_are_those_that_the_sites_counted(card):
    text = text_of(card)
    # Three tenths of 6 and of 9 validate: 2 and 3.
    assert "| site | training | validation | excluded | mgmt unmethylated |" in text
    assert re.search(r"\| site-a \| 4 \| 2 \| 0 \| \d+ \| \d+ \| \d+ \| \d+ \|", text)
    assert re.search(r"\| all \| 10 \| 5 \| 0 \| ", text)
    assert "10 training and 5 validation cases, 0 excluded, at 2 sites" in text


def test_each_site_is_told_by_loss_and_accuracy(card):
    (validated,) = [one for one in card["rounds"] if one["round"] == card["best_round"] + 1]
    counts = validated["sites"]["site-b"]["validation"]
    assert f"| site-b | {counts['loss'] / counts['cases']:.3g} |" in text_of(card)


def test_what_differential_privacy_withholds_is_not_told(card):
    card["cohort"] = WITHHELD
    card["study"]["privacy"] |= {"epsilon": 2.0, "validation": "0" * 64}
    for head in card["heads"].values():
        head["trained_on"] = WITHHELD
    text = text_of(card)
    assert "training and" not in answers_of(card)["numbers"]
    assert f"Cases by site: {WITHHELD}." in text
    assert "epsilon 2 (medium)" in text
    assert "DP-SGD" in text
    assert "| all |" not in text


def test_a_head_that_cannot_answer_is_said_to_have_none(card):
    card["heads"]["mgmt"]["never_trained"] = "mgmt: the model was never shown both"
    assert performance_of(card, "mgmt").startswith("MGMT promoter methylation: no answer")
    card["metrics"]["validation"]["tumor"] |= {"auc": None}
    assert "of one class" in performance_of(card, "tumor")
    card["metrics"]["validation"]["tumor"] |= {"auc": 0.75, "auc_interval": [0.5, 0.9]}
    assert "AUC 0.75, 95 % interval 0.50 to 0.90" in performance_of(card, "tumor")


def test_a_reports_figures_stand_between_sections_and_checklists(card):
    page = page_of(card, [Part("Outside patients", [Table(("model", "AUC"), [("federation", "0.61")])])])
    assert page.index("Caveats") < page.index("Outside patients") < page.index("CLAIM 2024")


def test_a_coordinator_writes_the_card_of_a_version(registered, tmp_path):
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    passphrase.chmod(0o600)
    home = tmp_path / "home"
    assert fl_server(home, "init", "127.0.0.1:18443", passphrase=passphrase).returncode == 0
    (home / "registry").mkdir(exist_ok=True)
    shutil.copytree(registered, home / "registry" / registered.name)
    page, text = tmp_path / "card.html", tmp_path / "card.md"
    for out in (page, text):
        done = fl_server(home, "card", registered.name, "--out", out)
        assert done.returncode == 0, done.stderr
    assert page.read_text().startswith("<!doctype html>")
    assert text.read_text() == text_of(load_version(registered).card)
    refused(fl_server(home, "card", "nothing-1", "--out", tmp_path / "no.html"), RegistryError, "nothing-1")
