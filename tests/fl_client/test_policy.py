from itertools import product

import pytest

from core.config import validate
from core.errors import ConfigError
from core.study import FederationSettings, ModelSettings, PrivacySettings, Study, TrainingSettings
from fl_client.config import PolicySettings
from fl_client.policy import reasons_against, rules_of
from fl_client.study_bundle import BundleFile

STUDY = Study(
    name="glioma",
    model=ModelSettings(preset="tiny"),
    training=TrainingSettings(epochs_per_round=2),
    federation=FederationSettings(rounds=10),
)
# Just lets the study through.
OPEN = PolicySettings(
    approve="by-rule",
    max_rounds=10,
    max_epochs_per_round=2,
    models=("tiny", "small"),
    require_differential_privacy=False,
)
OURS = BundleFile("pyproject.toml", 10, is_expected=True, told="")
STRANGER = BundleFile("torch.py", 10, is_expected=False, told="")
# Each rule alone: what of the site's policy breaks it, and the reason.
BREAKS: list[tuple[dict[str, object], str]] = [
    ({"max_rounds": 9}, "10 rounds are more than 9"),
    ({"max_epochs_per_round": 1}, "2 epochs a round are more than 1"),
    ({"models": ("small", "base")}, "the model tiny is not among small, base"),
    ({"require_differential_privacy": True}, "it has no differential privacy, which this site requires"),
]


def test_a_site_that_requires_differential_privacy_lets_a_study_through_that_has_it() -> None:
    private = STUDY.model_copy(update={"privacy": PrivacySettings(epsilon=3, validation="0" * 64)})
    strict = OPEN.model_copy(update={"require_differential_privacy": True})
    assert reasons_against(private, strict, (OURS,)) == []
    told = [rule.told for rule in rules_of(private, strict, (OURS,), was_refused=False)]
    assert "it has differential privacy: epsilon 3 (medium)" in told


def test_a_study_that_keeps_to_every_rule_is_approved() -> None:
    assert reasons_against(STUDY, OPEN, (OURS,)) == []
    assert [rule.told for rule in rules_of(STUDY, OPEN, (OURS,), was_refused=False)] == [
        "10 rounds are at most 10",
        "2 epochs a round are at most 2",
        "the model tiny is among tiny, small",
        "differential privacy is not required here",
        "its bundle holds no unexpected file",
        "a person here refused no version of it",
    ]


@pytest.mark.parametrize("broken", list(product([False, True], repeat=6)))
def test_every_rule_that_is_broken_is_a_reason_alone_and_together(broken: tuple[bool, ...]) -> None:
    changes = [change for change, is_broken in zip(BREAKS, broken[:4], strict=True) if is_broken]
    policy = OPEN.model_copy(update={key: value for change, _ in changes for key, value in change.items()})
    files = (OURS, STRANGER) if broken[4] else (OURS,)
    expected = [reason for _, reason in changes]
    expected += ["its bundle holds 1 unexpected file"] * broken[4]
    expected += ["a person here refused an earlier version of it"] * broken[5]
    assert reasons_against(STUDY, policy, files, was_refused=broken[5]) == expected


def test_what_is_not_written_allows_nothing() -> None:
    assert reasons_against(STUDY, PolicySettings(), (OURS,)) == [
        'every study is left to a person ([policy] approve = "never" in site.toml)'
    ]
    one = STUDY.model_copy(
        update={"federation": FederationSettings(rounds=1), "training": TrainingSettings(epochs_per_round=1)}
    )
    assert reasons_against(one, PolicySettings(approve="by-rule"), (OURS, STRANGER, STRANGER)) == [
        "1 round is more than 0",
        "1 epoch a round is more than 0",
        "the model tiny is not among none",
        "it has no differential privacy, which this site requires",
        "its bundle holds 2 unexpected files",
    ]


def test_a_policy_that_leaves_all_to_people_approves_nothing_whatever_else_it_says() -> None:
    assert len(reasons_against(STUDY, OPEN.model_copy(update={"approve": "never"}), (OURS,))) == 1


@pytest.mark.parametrize(
    "wrong", [{"approve": "always"}, {"max_rounds": -1}, {"models": ["huge"]}, {"max_round": 3}], ids=str
)
def test_a_policy_with_a_slip_is_no_policy(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="policy"):
        validate(PolicySettings, wrong, "policy")
