import json
from pathlib import Path

import pytest

from core.hours import HoursSettings
from core.study import (
    WHOLE_NETWORK_PRICE,
    FederationSettings,
    ModelSettings,
    PrivacySettings,
    Study,
    TrainingSettings,
)
from fl_client.config import CoordinatorSettings, PolicySettings, SiteConfig, SitePrivacySettings, SiteSettings
from fl_client.known_studies import Approved
from fl_client.study_card import Card, card_lines, card_of, differences
from fl_server.bundle import CLIENT, SERVER
from tests.fl_client.factories_studies import SHA256, bundled, known

STUDY = Study(
    name="glioma",
    validation_fraction=0.25,
    model=ModelSettings(preset="tiny"),
    training=TrainingSettings(epochs_per_round=3),
    federation=FederationSettings(rounds=40, quorum=2, deadline_s=7200, grace_s=0),
)
SITE = SiteConfig(
    site=SiteSettings(name="north", data=Path("/srv/scans"), prepared=Path("/srv/prepared")),
    coordinator=CoordinatorSettings(address="fl.example.org:443"),
)
WHEN = "2026-02-01T10:00:00.000000Z"


def card(
    folder: Path,
    last: Approved | None = None,
    site: SiteConfig = SITE,
    sites: list[str] | None = ["north", "south", "east"],  # noqa: B006 (never changed)
    state: str = "pending",
    **further: str,
) -> Card:
    offer = known(*bundled(folder, STUDY, **further), state=state)
    return card_of(offer, site, sites=sites, last=last, was_refused=False)


def approved(study: Study, bundle_sha256: str = "cd" * 32) -> Approved:
    return Approved(study.name, WHEN, bundle_sha256, study.model_dump(mode="json"))


def test_a_card_says_what_was_worked_out_by_hand(tmp_path: Path) -> None:
    toml, _ = bundled(tmp_path, STUDY)
    assert card_lines(card(tmp_path)) == [
        "study           glioma",
        "asked by        the coordinator at fl.example.org:443, on 2026-03-04 05:06:07 UTC",
        "also asked      south, east",
        "answer so far   pending",
        f"approval is of  SHA-256 {SHA256}",
        "its files       .info/CONTENT, 14 bytes: Flower's list of these files",
        "                gliofed_study/__init__.py, 0 bytes: empty",
        f"                gliofed_study/client.py, {len(CLIENT)} bytes: "
        "stub: starts the GlioFed that is installed here",
        f"                gliofed_study/server.py, {len(SERVER)} bytes: stub, for the coordinator",
        f"                gliofed_study/study.toml, {len(toml)} bytes: every setting",
        f"                pyproject.toml, {(tmp_path / 'pyproject.toml').stat().st_size} bytes: "
        "names the study; asks for no further packages",
        "model           tiny: 10,742 values, 0.04 MB an update",  # 4 bytes each: 42,968
        "rounds          40, with 3 passes over each training case in each",
        "in all          120 passes over each training case",
        "a round closes  2 of 3 sites within 2 hours, else pause and keep what is done",
        "rounds begin    at any time",
        "may cost        no limit",
        "privacy         NONE. Updates are not noised: this study has no differential privacy.",
        "                this site sets no limit of its own ([privacy] in site.toml)",
        "read here       the prepared cases in /srv/prepared; no DICOM file is opened in training",
        "                25% of the patients only validate: they are never trained on",
        "sent            each round: the model's weights, 10,742 numbers, 42,968 bytes",
        "                each round: counts of this site's cases by use and label, sums of losses, histograms of the "
        "scores",
        "                each round: histograms of 15 measures of the validation images: how alike, sharp, bright and "
        "large",
        "                each round: a receipt, 64 digits that stand for this site's event log",
        "                where a task fails: a number for the kind of error",
        "                nothing else; this site's gate looks through every answer (`fl-client ledger` lists them)",
        "                beside it, while `fl-client start` runs: what `fl-client status` shows of progress and device",
        "differences     no version was approved before",
        'by rule: no     every study is left to a person ([policy] approve = "never" in site.toml)',
    ]


def test_a_card_says_what_a_run_may_cost_and_when_its_rounds_begin(tmp_path: Path) -> None:
    further = {"budget": {"money": 500, "gpu_hours": 40}, "hours": {"windows": ["20:00-06:00"]}}
    study = Study.model_validate({**STUDY.model_dump(), **further})
    site = SITE.model_copy(update={"hours": HoursSettings(windows=("sat-sun 00:00-24:00",), timezone="Europe/Berlin")})
    lines = card_lines(card_of(known(*bundled(tmp_path, study)), site, sites=None, last=None, was_refused=False))
    place = lines.index("rounds begin    20:00-06:00 (UTC)")
    assert lines[place + 1 : place + 3] == [
        "                this site trains sat-sun 00:00-24:00 (Europe/Berlin), and rests in between",
        "may cost        500.00 EUR and 40 GPU hours, all sites together: there it stops with the best model so far",
    ]


PRIVATE = PrivacySettings(epsilon=8, sampling_rate=0.2, steps_per_round=2, validation="0" * 64)


def private_card(folder: Path, model: ModelSettings, **limits: float) -> list[str]:
    study = STUDY.model_copy(update={"privacy": PRIVATE, "model": model})
    site = SITE.model_copy(update={"privacy": SitePrivacySettings.model_validate(limits)})
    return card_lines(card_of(known(*bundled(folder, study)), site, sites=None, last=None, was_refused=False))


def test_a_card_says_what_privacy_is_and_that_nothing_is_counted(tmp_path: Path) -> None:
    lines = private_card(tmp_path, ModelSettings(preset="tiny", frozen="1" * 64, features=8), epsilon=3, budget=5)
    for line in (
        "model           tiny: 9 values, 0.00 MB an update",
        "rounds          40, with 2 steps that draw each patient with a chance of 0.2 in each",
        "in all          80 steps that draw each patient with a chance of 0.2",
        "privacy         epsilon 8 (weak) at delta 1e-05 for each patient over the whole study; only a head on 8 "
        "features is trained.",
        "                a patient of this site may come to epsilon 3 in one study and 5 in all",
        "                all patients train: how good a round is, the coordinator finds on public cases",
        "sent            each round: the weights that are trained, noised, 9 numbers, 36 bytes",
        "                no count, loss or score of this site's patients",
    ):
        assert line in lines


def test_a_card_warns_of_a_whole_network_under_noise_with_its_measured_price(tmp_path: Path) -> None:
    told = "\n".join(private_card(tmp_path, ModelSettings(preset="tiny")))
    assert f"THE WHOLE NETWORK IS TRAINED UNDER NOISE: {WHOLE_NETWORK_PRICE}." in told


def test_a_card_warns_where_a_site_s_limit_forbids_what_is_asked(tmp_path: Path) -> None:
    site = SITE.model_copy(update={"privacy": SitePrivacySettings(budget=5)})
    assert (
        "                a patient of this site may come to epsilon 5 in all: WHATEVER YOU ANSWER, THIS SITE TRAINS "
        "NOTHING OF IT" in card_lines(card(tmp_path, site=site))
    )


def test_a_card_in_json_holds_the_same(tmp_path: Path) -> None:
    told = json.loads(json.dumps(card(tmp_path).as_json()))
    assert (told["study"], told["bundle_sha256"], told["sites"]) == ("glioma", SHA256, ["south", "east"])
    assert (told["rounds"], told["epochs_per_round"], told["passes"]) == (40, 3, 120)
    assert (told["model"], told["values"], told["update_bytes"]) == ("tiny", 10_742, 42_968)
    assert [file["is_expected"] for file in told["files"]] == [True] * 6


def test_a_stranger_in_the_bundle_is_shown_first_and_warned_of(tmp_path: Path) -> None:
    lines = card_lines(card(tmp_path, **{"torch.py": "import os"}))
    assert "its files       torch.py, 9 bytes: UNEXPECTED: no study needs it, and it may run code here" in lines
    assert "WARNING         1 of these files should not be there" in lines


def test_differences_start_from_the_last_approved_version_of_the_study(tmp_path: Path) -> None:
    old = STUDY.model_copy(
        update={"model": ModelSettings(preset="small"), "training": TrainingSettings(epochs_per_round=1)}
    )
    found = card(tmp_path, approved(old))
    assert found.compared_with == "from the version that was approved on 2026-02-01 10:00:00 UTC:"
    assert found.differences == ["model.preset: small -> tiny", "training.epochs_per_round: 1 -> 3"]
    lines = card_lines(found)
    at = lines.index("differences     from the version that was approved on 2026-02-01 10:00:00 UTC:")
    assert lines[at + 1 : at + 3] == [
        "                model.preset: small -> tiny",
        "                training.epochs_per_round: 1 -> 3",
    ]


def test_else_they_start_from_another_study_and_say_so(tmp_path: Path) -> None:
    found = card(tmp_path, approved(STUDY.model_copy(update={"name": "trial", "seed": 8})))
    assert found.compared_with == (
        "no version of glioma was approved before; from trial, approved on 2026-02-01 10:00:00 UTC:"
    )
    assert found.differences == ["seed: 8 -> 7"]


def test_the_same_settings_and_the_same_bundle_are_told_apart(tmp_path: Path) -> None:
    assert card(tmp_path, approved(STUDY)).differences == ["no setting differs"]
    same = card(tmp_path, approved(STUDY, SHA256))
    assert (same.differences, same.compared_with) == (
        [],
        "none: this very version was approved on 2026-02-01 10:00:00 UTC",
    )


def test_a_setting_that_one_release_lacks_is_a_difference() -> None:
    old, new = {"name": "a", "model": {"preset": "tiny"}}, {"name": "b", "model": {"preset": "tiny", "deep": True}}
    assert differences(old, new) == ["model.deep: not there -> true"]
    assert differences(new, old) == ["model.deep: true -> not there"]


@pytest.mark.parametrize(("sites", "told"), [(["north"], "nobody else"), (None, "not known here")])
def test_who_else_was_asked_is_told_as_far_as_it_is_known(tmp_path: Path, sites: list[str] | None, told: str) -> None:
    lines = card_lines(card(tmp_path, sites=sites))
    assert f"also asked      {told}" in lines
    unknown = "a round closes  with 2 sites at least, after 7200 seconds at most"
    assert (unknown in lines) == (sites is None)


def test_the_reasons_against_a_rule_are_shown_only_while_it_waits(tmp_path: Path) -> None:
    policy = PolicySettings(approve="by-rule", max_rounds=39, max_epochs_per_round=3, models=("tiny",))
    site = SITE.model_copy(update={"policy": policy})
    assert card(tmp_path, site=site).waits == [
        "40 rounds are more than 39",
        "it has no differential privacy, which this site requires",
    ]
    assert card(tmp_path, site=site, state="refused").waits == []
