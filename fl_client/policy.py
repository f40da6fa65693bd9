"""The studies that a hospital lets its machine approve by rule: `[policy]` in site.toml, applied by the agent.

A rule can only stand in for a person who has not answered yet: what a person has refused waits for a person, also when
it comes again with other settings.
"""

from dataclasses import dataclass

from core.study import Study, tier_of
from fl_client.config import PolicySettings
from fl_client.study_bundle import BundleFile, unexpected

# The reason where no rule is looked at.
LEFT_TO_PEOPLE = 'every study is left to a person ([policy] approve = "never" in site.toml)'


@dataclass(frozen=True)
class Rule:
    """A rule of a site's policy, applied to a study.

    Attributes:
        holds: whether the study keeps to it.
        told: so, or not so, in words.
    """

    holds: bool
    told: str


def rules_of(study: Study, policy: PolicySettings, files: tuple[BundleFile, ...], was_refused: bool) -> list[Rule]:
    """Apply every rule; a study is approved by rule only where all of them hold.

    Args:
        study: its settings.
        policy: the site's.
        files: what its bundle holds.
        was_refused: whether a person's last answer to a study of this name was to refuse it.
    """
    return [
        _at_most(study.federation.rounds, ("round", "rounds"), policy.max_rounds),
        _at_most(study.training.epochs_per_round, ("epoch a round", "epochs a round"), policy.max_epochs_per_round),
        _model(study.model.preset, policy.models),
        _privacy(study, policy),
        _files(unexpected(files)),
        Rule(not was_refused, f"a person here refused {'an earlier' if was_refused else 'no'} version of it"),
    ]


def reasons_against(
    study: Study, policy: PolicySettings, files: tuple[BundleFile, ...], was_refused: bool = False
) -> list[str]:
    """Return why a person must answer a study: empty where the site's policy approves it.

    Args: as `rules_of`.
    """
    if policy.approve == "never":
        return [LEFT_TO_PEOPLE]
    return [rule.told for rule in rules_of(study, policy, files, was_refused) if not rule.holds]


def _at_most(count: int, names: tuple[str, str], most: int) -> Rule:
    holds = count <= most
    what, verb = (names[0], "is") if count == 1 else (names[1], "are")
    return Rule(holds, f"{count:,} {what} {verb} {'at most' if holds else 'more than'} {most:,}")


def _model(preset: str, allowed: tuple[str, ...]) -> Rule:
    holds = preset in allowed
    return Rule(holds, f"the model {preset} is {'' if holds else 'not '}among {', '.join(allowed) or 'none'}")


def _privacy(study: Study, policy: PolicySettings) -> Rule:
    if study.privacy.is_on:
        return Rule(holds=True, told=f"it has differential privacy: {tier_of(study.privacy.epsilon)}")
    if policy.require_differential_privacy:
        return Rule(holds=False, told="it has no differential privacy, which this site requires")
    return Rule(holds=True, told="differential privacy is not required here")


def _files(strangers: int) -> Rule:
    return Rule(not strangers, f"its bundle holds {strangers or 'no'} unexpected file{'s' if strangers > 1 else ''}")
