"""What a person should know of a study before they let this site train on it, on one card."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.cost import budget_sentence
from core.hours import hours_sentence
from core.presets import preset_of
from core.study import Study, closing_sentence, privacy_sentence, study_of
from fl_client.config import PolicySettings, SiteConfig, SitePrivacySettings
from fl_client.known_studies import Approved, KnownOffer
from fl_client.policy import reasons_against
from fl_client.study_bundle import BundleFile, files_in, printable, unexpected

LABEL_CHARACTERS = 16


@dataclass(frozen=True)
class Card:
    """A study, for a person to judge.

    Attributes:
        study, state, reason: as in `KnownOffer`.
        coordinator: address of the one who asks.
        sites: the other hospitals that were asked; None where that is not known.
        offered_at: text of core.clock.
        bundle_sha256: of exactly what an approval is about.
        files: in the bundle.
        model: its preset.
        values, update_bytes: of the model's weights.
        rounds, epochs_per_round: of the study.
        passes: over each training case, in all rounds; 0 under differential privacy, which counts steps.
        work_a_round, work: the same in words, for a round and in all.
        round_closes: in one sentence.
        rounds_begin: in which hours of the study, and this site's own.
        budget: what a run may cost in all.
        privacy: what is done to updates before they leave, and what this site allows.
        reads, sends: what training reads here, and what leaves.
        compared_with: in one sentence, the version that `differences` starts from.
        differences: `setting: old -> new`.
        waits: why the site's policy leaves it to a person.
    """

    study: str
    state: str
    reason: str
    coordinator: str
    sites: list[str] | None
    offered_at: str
    bundle_sha256: str
    files: tuple[BundleFile, ...]
    model: str
    values: int
    update_bytes: int
    rounds: int
    epochs_per_round: int
    passes: int
    work_a_round: str
    work: str
    round_closes: str
    rounds_begin: list[str]
    budget: str
    privacy: list[str]
    reads: list[str]
    sends: list[str]
    compared_with: str
    differences: list[str]
    waits: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self)


def card_of(
    offer: KnownOffer, site: SiteConfig, *, sites: list[str] | None, last: Approved | None, was_refused: bool
) -> Card:
    """Put together what a person should know of a study.

    Args:
        offer: as this site's records have it.
        site: its settings.
        sites: all that were asked; None where that is not known.
        last: the version to compare with.
        was_refused: as in `fl_client.policy.rules_of`.
    Raises: ConfigError: its settings are not a study's.
    """
    study, shape = study_of(offer.toml), preset_of(study_of(offer.toml).model)
    compared_with, differences = _compared(offer, study, last)
    return Card(
        study=offer.study,
        state=offer.state,
        reason=offer.reason,
        coordinator=site.coordinator.address,
        sites=None if sites is None else [name for name in sites if name != site.site.name],
        offered_at=offer.offered_at,
        bundle_sha256=offer.bundle_sha256,
        files=files_in(offer.bundle, offer.study, offer.toml),
        model=study.model.preset,
        values=shape.size,
        update_bytes=shape.bytes,
        rounds=study.federation.rounds,
        epochs_per_round=study.training.epochs_per_round,
        passes=0 if study.privacy.is_on else study.federation.rounds * study.training.epochs_per_round,
        work_a_round=_work(study, 1),
        work=_work(study, study.federation.rounds),
        round_closes=_closes(study, sites),
        rounds_begin=_begin(study, site),
        budget=_budget(study),
        privacy=_privacy(study, site.privacy),
        reads=_reads(study, site.site.prepared),
        sends=_sends(study, shape.size, shape.bytes),
        compared_with=compared_with,
        differences=differences,
        waits=why_it_waits(offer, site.policy, was_refused),
    )


def why_it_waits(offer: KnownOffer, policy: PolicySettings, was_refused: bool) -> list[str]:
    """Return why the site's policy leaves a study to a person: nothing where it was answered or is approved by rule."""
    if offer.state != "pending":
        return []
    files = files_in(offer.bundle, offer.study, offer.toml)
    return reasons_against(study_of(offer.toml), policy, files, was_refused)


def card_lines(card: Card) -> list[str]:
    """Return a card as lines to read."""
    strangers = unexpected(card.files)
    return [
        *_rows("study", card.study),
        *_rows("asked by", f"the coordinator at {card.coordinator}, on {_when(card.offered_at)}"),
        *_rows("also asked", _others(card.sites)),
        *_rows("answer so far", card.state + (f" ({printable(card.reason)})" if card.reason else "")),
        *_rows("approval is of", f"SHA-256 {card.bundle_sha256}"),
        *_rows("its files", *(f"{file.name}, {file.bytes:,} bytes: {file.told}" for file in card.files)),
        *(_rows("WARNING", f"{strangers} of these files should not be there") if strangers else ()),
        *_rows("model", f"{card.model}: {card.values:,} values, {card.update_bytes / 1e6:,.2f} MB an update"),
        *_rows("rounds", f"{card.rounds:,}, with {card.work_a_round} in each"),
        *_rows("in all", card.work),
        *_rows("a round closes", card.round_closes),
        *_rows("rounds begin", *card.rounds_begin),
        *_rows("may cost", card.budget),
        *_rows("privacy", *card.privacy),
        *_rows("read here", *card.reads),
        *_rows("sent", *card.sends),
        *_rows("differences", card.compared_with, *card.differences),
        *(_rows("by rule: no", *card.waits) if card.waits else ()),
    ]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between two studies' settings but their names, as `setting: old -> new`.

    Args:
        old, new: every setting by section, as `Study.model_dump` gives them; a release may have more than another.
    """
    before, after = _flat(old), _flat(new)
    names = [*after, *(name for name in before if name not in after)]
    return [
        f"{name}: {before.get(name, 'not there')} -> {after.get(name, 'not there')}"
        for name in names
        if name != "name" and before.get(name) != after.get(name)
    ]


def _compared(offer: KnownOffer, study: Study, last: Approved | None) -> tuple[str, list[str]]:
    if last is None:
        return "no version was approved before", []
    when, found = _when(last.at), differences(last.settings, study.model_dump(mode="json"))
    if last.study != offer.study:
        told = f"no version of {offer.study} was approved before; from {last.study}, approved on {when}:"
    elif last.bundle_sha256 == offer.bundle_sha256:
        return f"none: this very version was approved on {when}", []
    else:
        told = f"from the version that was approved on {when}:"
    return told, found or ["no setting differs"]


def _flat(settings: Mapping[str, Any], section: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{section}{name}.")
        else:
            found[section + name] = value if isinstance(value, str) else json.dumps(value)
    return found


def _privacy(study: Study, site: SitePrivacySettings) -> list[str]:
    """Say what protects this site's patients, in a study and by its own site.toml; of the two the stricter holds."""
    if study.privacy.is_on:
        # A sentence a line: a whole network under noise is warned of on a line of its own.
        told = privacy_sentence(study).replace(". ", ".\n").splitlines()
        told.append("`fl-client privacy` shows what was spent before, and what is left")
    else:
        told = ["NONE. Updates are not noised: this study has no differential privacy."]
    limits = [f"{limit:g} {what}" for limit, what in ((site.epsilon, "in one study"), (site.budget, "in all")) if limit]
    if not limits:
        return [*told, "this site sets no limit of its own ([privacy] in site.toml)"]
    refused = "" if study.privacy.is_on else ": WHATEVER YOU ANSWER, THIS SITE TRAINS NOTHING OF IT"
    return [*told, f"a patient of this site may come to epsilon {' and '.join(limits)}{refused}"]


def _work(study: Study, rounds: int) -> str:
    if not study.privacy.is_on:
        return f"{_passes(rounds * study.training.epochs_per_round)} over each training case"
    steps, rate = rounds * study.privacy.steps_per_round, study.privacy.sampling_rate
    drawn = "every patient" if rate == 1 else f"each patient with a chance of {rate:g}"
    return f"{steps:,} step{'' if steps == 1 else 's'} that draw{'s' if steps == 1 else ''} {drawn}"


def _reads(study: Study, prepared: Path) -> list[str]:
    if study.privacy.is_on:
        return [
            f"the prepared cases in {prepared}; no DICOM file is opened in training",
            "all patients train: how good a round is, the coordinator finds on public cases",
        ]
    return [
        f"the prepared cases in {prepared}; no DICOM file is opened in training",
        f"{study.validation_fraction:.0%} of the patients only validate: they are never trained on",
    ]


def _sends(study: Study, values: int, size: int) -> list[str]:
    if study.privacy.is_on:
        what = "the weights that are trained, noised"
        counts = ["no count, loss or score of this site's patients"]
    else:
        what = "the model's weights"
        counts = [
            "each round: counts of this site's cases by use and label, sums of losses, histograms of the scores",
            "each round: histograms of 15 measures of the validation images: how alike, sharp, bright and large",
        ]
    return [
        f"each round: {what}, {values:,} numbers, {size:,} bytes",
        *counts,
        "each round: a receipt, 64 digits that stand for this site's event log",
        "where a task fails: a number for the kind of error",
        "nothing else; this site's gate looks through every answer (`fl-client ledger` lists them)",
        "beside it, while `fl-client start` runs: what `fl-client status` shows of progress and device",
    ]


def _closes(study: Study, sites: list[str] | None) -> str:
    if sites is None:
        return f"with {study.federation.quorum} sites at least, after {study.federation.deadline_s:g} seconds at most"
    return closing_sentence(study, len(sites))


def _begin(study: Study, site: SiteConfig) -> list[str]:
    own = [f"this site trains {hours_sentence(site.hours)}, and rests in between"] if site.hours.windows else []
    return [hours_sentence(study.hours), *own]


def _budget(study: Study) -> str:
    limit = budget_sentence(study.budget)
    return f"{limit}, all sites together: there it stops with the best model so far" if study.budget.is_set else limit


def _others(sites: list[str] | None) -> str:
    if sites is None:
        return "not known here"
    return ", ".join(sites) or "nobody else"


def _passes(count: int) -> str:
    return f"{count:,} pass{'' if count == 1 else 'es'}"


def _when(moment: str) -> str:
    return f"{moment[:19].replace('T', ' ')} UTC"


def _rows(label: str, *texts: str) -> list[str]:
    """Return a labeled line, and one more for each further text."""
    return [f"{'' if number else label:{LABEL_CHARACTERS}}{text}" for number, text in enumerate(texts)]
