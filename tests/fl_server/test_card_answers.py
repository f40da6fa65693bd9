"""What a card answers, of both kinds of study: with differential privacy others validate, and more is withheld."""

from dataclasses import replace

import pytest

from core.learning.calibration import calibrated, fit_calibration
from core.study import FederationSettings, ModelSettings, PrivacySettings, Study
from fl_server.card import card_of
from fl_server.card_answers import NOT_DONE, NOT_RECORDED, answers_of
from fl_server.checkpoints import RoundRecord, SiteRound
from fl_server.model_card import text_of
from tests.factories_calibration import counts_with
from tests.fl_server.factories_answers import MANIFEST

PLANNED, PUBLIC = 20, "ab" * 32
COHORT = {
    "training": 10.0,
    "validation": 4.0,
    "excluded": 1.0,
    "mgmt_unmethylated": 5.0,
    "mgmt_methylated": 5.0,
    "tumor_absent": 2.0,
    "tumor_present": 8.0,
}


def a_study(strategy="fedavg", *, private=False):
    privacy = {"epsilon": 2.0, "validation": PUBLIC, "steps_per_round": 3} if private else {}
    return Study(
        name="glioma",
        model=ModelSettings(preset="tiny"),
        federation=FederationSettings(rounds=PLANNED),
        strategy={"name": strategy},
        privacy=PrivacySettings(**privacy),
    )


def a_history(study, trained):
    """What a run leaves that has trained so many rounds; in the second a try had too few sites."""
    counts = counts_with()
    if study.privacy.is_on:
        brought = {site: SiteRound({}, "r", 100) for site in ("north", "south")}
    else:
        brought = {site: SiteRound(counts, "r", 10, {"cases": 10.0}, COHORT) for site in ("north", "south")}
    rounds = [RoundRecord(number + 1, True, brought, {}, {}, counts, 1.0) for number in range(trained)]
    missed = replace(rounds[1], counted=False, sites={"north": brought["north"]}, failed={"south": "late"})
    rounds.insert(1, missed)
    if trained == PLANNED:
        last = {} if study.privacy.is_on else {site: SiteRound(counts, "r") for site in brought}
        rounds.append(RoundRecord(PLANNED + 1, True, last, {}, {}, counts, 1.0))
    return tuple(rounds)


def a_card(strategy="fedavg", trained=PLANNED, *, private=False):
    study = a_study(strategy, private=private)
    return card_of(study, MANIFEST, a_history(study, trained))


# What is so without differential privacy alone: all patients of a site train under it, and none is counted.
OF_PATIENTS = (
    "patients validate",
    "who validates",
    "same hospitals",
    "same sites",
    "lottery",
    "one split",
    "all sites",
    "on validation patients",
    "the validation patients",
    "hospital that trained nothing is",
    "single cases do not leave",
    "each site's loss",
    "AdamW",
    "weighs its classes",
    "two names",
)
OF_PUBLIC_CASES = ("public cases", "public validation", "withheld", "DP-SGD", "as private as", "two names")

# By subject, what each kind of study is to say.
TOLD = {
    "aims": ("validate it on patients of the same hospitals", "validate it on public cases"),
    "partitions": ("20% of its patients validate", "Every patient of a site trains"),
    "disjoint": ("A person known to two sites is not recognized", NOT_RECORDED),
    "sources": ("Prepared cohorts of 2 sites: north, south", "Validation is on public cases"),
    "centers": ("2 sites: north, south", "numbers are withheld"),
    "numbers": ("20 training and 8 validation cases, 2 excluded", "withheld: differential privacy"),
    "differences": ("of the same sites", "sites' patients train and public cases validate"),
    "training": ("AdamW", "3 noised steps a round (DP-SGD)"),
    "selection": ("on the validation patients of all sites. They", "on the public validation cases. They"),
    "model_building": ("one split", "no split of the sites' patients"),
    "output": ("fitted to the validation patients;", "fitted to the public validation cases;"),
    "imbalance": ("Each site weighs", "not weighed"),
    "internal": ("on validation patients (12", f"{NOT_DONE}: no patient of a site validates"),
    "external": ("hospital that trained nothing", "the public cases chose the round"),
    "performance": ("on validation patients (12", "on public validation cases (12"),
    "failures": ("do not leave their sites", "public cases are only counted"),
    "sites": ("each site's loss and accuracy", NOT_DONE),
    "limitations": ("no DP", "epsilon 2 (medium)"),
}


def test_what_depends_on_who_validates_is_answered_for_each_kind_of_study():
    without, private = answers_of(a_card()), answers_of(a_card(private=True))
    assert set(without) == set(private)
    assert {subject for subject in without if without[subject] != private[subject]} == set(TOLD)
    for subject, told in TOLD.items():
        assert (told[0] in without[subject], told[1] in private[subject]) == (True, True), subject


@pytest.mark.parametrize(("private", "untrue"), [(True, OF_PATIENTS), (False, OF_PUBLIC_CASES)])
def test_no_answer_and_no_line_of_the_card_says_what_is_so_of_the_other_kind_of_study(private, untrue):
    card = a_card(private=private)
    told = answers_of(card)
    assert not [(subject, words) for subject, text in told.items() for words in untrue if words in text]
    assert not [words for words in untrue if words in text_of(card)]


def test_the_card_names_the_calibration_that_is_served():
    calibration = fit_calibration(counts_with(), "validation patients")
    head = calibration.mgmt
    served = calibrated(calibration, "mgmt", 0.6)
    # The temperature changes nothing of an answer; the Venn-Abers interval is the answer.
    changed = calibration.model_copy(update={"mgmt": head.model_copy(update={"temperature": None, "risks": ()})})
    assert calibrated(changed, "mgmt", 0.6) == served
    low, high = served.interval
    assert (low, high) == (head.low[int(0.6 * 256)], head.high[int(0.6 * 256)])
    assert low < served.probability < high
    assert head.threshold == head.positives / (head.positives + head.negatives)
    for card in (a_card(), a_card(private=True)):
        output = answers_of(card)["output"]
        assert "Venn-Abers" in output
        assert "an interval and one probability within it" in output
        assert "temperature" not in text_of(card)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize(
    ("strategy", "trained", "told"),
    [
        ("fedavg", PLANNED, "FedAvg over 20 rounds: "),
        ("fedavgm", 12, "FedAvgM over 12 of 20 planned rounds: "),
        ("fedadam", 2, "FedAdam over 2 of 20 planned rounds: "),
    ],
)
def test_rounds_are_those_that_counted_and_the_strategy_is_the_studys(strategy, trained, told, private):
    card = a_card(strategy, trained, private=private)
    assert answers_of(card)["training"].startswith(told)
    assert told in text_of(card)
