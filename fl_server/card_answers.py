"""What a version's card answers to reporting guidelines, subject by subject; and what it cannot, with the reason.

An answer begins with NOT_DONE, NOT_APPLICABLE or NOT_RECORDED where there is nothing to report: a gap is told as one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from core.config import validate
from core.messages import Counts
from core.study import Study, is_settled, privacy_sentence
from core.updates import COHORT

NOT_DONE = "Not done"
NOT_APPLICABLE = "Not applicable"
NOT_RECORDED = "Not recorded"
SEQUENCES = "T1w, contrast-enhanced T1w, T2w and FLAIR"
HEADS = {"mgmt": "MGMT promoter methylation", "tumor": "Presence of a tumor"}


def study_of_card(card: dict[str, Any]) -> Study:
    """Return the study of a card.

    Raises: ConfigError: the card is of a release whose study this one cannot read.
    """
    return validate(Study, card["study"], f"the card of {card.get('version', 'a version')}")


def cohort_of_card(card: dict[str, Any]) -> dict[str, Counts]:
    """Return each site's counts of cases, or nothing where differential privacy withholds them."""
    cohort = card["cohort"]
    return cohort if isinstance(cohort, dict) else {}


def totals_of(cohort: dict[str, Counts]) -> dict[str, int]:
    """Return all sites' cases by use and class."""
    return {name: sum(count_of(counts, name) for counts in cohort.values()) for name in COHORT}


def count_of(counts: Counts, name: str) -> int:
    """Return a count of cases, 0 where it is not told."""
    value = counts.get(name, 0.0)
    return round(value) if isinstance(value, float | int) else 0


def performance_of(card: dict[str, Any], head: str) -> str:
    """Say how good a head is on the cases that validated it."""
    told, validated = card["metrics"]["validation"][head], card["heads"][head]
    if validated["never_trained"]:
        return f"{HEADS[head]}: no answer. {validated['never_trained']}"
    counted = ", ".join(f"{count} {name}" for name, count in validated["validated_on"].items())
    if told["auc"] is None:
        return f"{HEADS[head]}: no AUC, since the {validated['validation_cases']} ({counted}) are of one class"
    interval = told["auc_interval"]
    spread = f", 95 % interval {interval[0]:.2f} to {interval[1]:.2f}" if interval else ""
    return f"{HEADS[head]}: AUC {told['auc']:.2f}{spread}, on {validated['validation_cases']} ({counted})"


def rounds_sentence(study: Study, rounds: Sequence[Mapping[str, Any]]) -> str:
    """Say how a federation trained and for how long: a run may end before its plan does.

    Args:
        study: what was planned.
        rounds: every try of every round, as a card has them.
    """
    planned = study.federation.rounds
    trained = sum(one["counted"] and any(site["examples"] for site in one["sites"].values()) for one in rounds)
    told = f"{planned}" if trained == planned else f"{trained} of {planned} planned"
    return f"{type(study.strategy).__name__} over {told} round{'s' if planned > 1 else ''}"


def answers_of(card: dict[str, Any]) -> dict[str, str]:
    """Return the answer to each subject of `fl_server.checklists`."""
    study = study_of_card(card)
    validated = _validated_on_public_cases(card, study) if study.privacy.is_on else _validated_on_patients(card, study)
    return _purpose(card) | _data(card, study) | _model(card, study) | validated | _results(card, study) | _around()


def _purpose(card: dict[str, Any]) -> dict[str, str]:
    return {
        "kind": "A 3D convolutional network for adults with glioma, trained by federated learning: methylation of the "
        f"MGMT promoter and presence of a tumor from brain MRI. Version {card.get('version', 'not named')}.",
        "summary": "This card, from its first section on.",
        "use": "Research on radiogenomics and federated learning. It is no medical device and does not replace a test "
        "of tissue; see Intended use.",
        "design": "Retrospective: scans and labels were there before the study.",
        "interpretation": "See the warning and Caveats: an AUC whose interval reaches 0.5 shows nothing.",
        "next_steps": "External validation at hospitals that trained nothing, before anything else.",
        "updating": f"{NOT_APPLICABLE}: each study makes a version of its own; an approved one is never changed.",
        "ensemble": f"{NOT_APPLICABLE}: one network.",
        "users": "Name four series of one examination or upload the whole of it; read the reasons beside an answer. It "
        "takes training in neuroradiology to see that a scan or a tumor map is wrong.",
    }


def _data(card: dict[str, Any], study: Study) -> dict[str, str]:
    cohort = cohort_of_card(card)
    sites = f"{len(cohort)} sites: {', '.join(cohort)}" if cohort else "the sites of the study; numbers are withheld"
    public = (
        " Validation is on public cases; whose they are, and how they were scanned and labeled, is not recorded."
        if study.privacy.is_on
        else ""
    )
    prepared = study.preprocessing
    return {
        "sources": f"Prepared cohorts of {sites}. From where a site has its patients is the site's to say.{public}",
        "centers": f"{sites[0].upper()}{sites[1:]}.",
        "dates": f"{NOT_RECORDED}: dates of examinations stay at the sites.",
        "eligibility": "What a site put into its folder and could be prepared: one examination with the four sequences "
        f"({SEQUENCES}). The reason of each exclusion is in the site's own list.",
        "treatments": f"{NOT_RECORDED}. Scans after an operation are not told from those before.",
        "preprocessing": f"Co-registered, brain masked, cut {prepared.margin_mm:g} mm around the brain to "
        f"{prepared.grid} x {prepared.grid} x {prepared.grid} voxels, {prepared.normalization} in the brain; quality "
        f"rules set cases aside. Version {card['preprocessing_version']} of the preprocessing, the same at the clinic.",
        "deidentification": "Cases are prepared at the site under pseudonyms; no scan leaves it.",
        "missing": "A case without a methylation label or a mask is trained and judged on what it has; one that cannot "
        "be prepared is excluded. Nothing is imputed.",
        "acquisition": f"{NOT_RECORDED}: scanners and protocols stay at the sites.",
        "predictors": f"The images of {SEQUENCES}, and nothing else of a patient.",
        "predictor_assessors": f"{NOT_APPLICABLE}: no person reads the images.",
        "reference": f"Methylation as each site's table has it; a tumor where the site's mask has one. {NOT_RECORDED} "
        "is the laboratory's assay and its threshold.",
        "reference_reason": "Tissue is what treatment goes by today.",
        "annotators": f"{NOT_RECORDED}: each site's own.",
        "agreement": f"{NOT_DONE}: one label a case arrives.",
        "blinding": f"{NOT_RECORDED}; sites' labels came from tissue, before the model was there.",
        "sample_size": f"{NOT_DONE}: no size was planned; what so many cases can tell is the interval's width.",
        "demographics": f"{NOT_RECORDED}: age, sex and origin never reach the coordinator.",
    }


def _model(card: dict[str, Any], study: Study) -> dict[str, str]:
    training, built, validated = study.training, card["architecture"], card["heads"]["mgmt"]["validation_cases"]
    start = (
        f"frozen public weights {study.model.frozen[:12]}; only a head is trained"
        if study.model.frozen
        else "none of it"
    )
    libraries = ", ".join(f"{name} {release}" for name, release in sorted(card["libraries"].items()))
    steps = (
        f"{study.privacy.steps_per_round} noised steps a round (DP-SGD)"
        if study.privacy.is_on
        else f"{training.epochs_per_round} epoch(s) a round, AdamW, batches of {training.batch_size}, learning rate "
        f"up to {training.learning_rate:g} in one cycle, varied images"
    )
    return {
        "model": f"Preset {built['preset']}: an encoder with a tumor map, from which both answers are read; "
        f"{built['parameters']:,} trained parameters. Layer by layer: core/learning/model.py.",
        "libraries": f"{libraries}.",
        "initialization": f"At random from seed {study.seed}; pretrained: {start}.",
        "training": f"{rounds_sentence(study, card['rounds'])}: {steps}.",
        "specification": f"Weights of SHA-256 {card.get('weights_sha256', 'not registered')}, with study.toml and "
        "calibration in the version's folder; the coordinator signs all of them at approval.",
        "output": "For each question an interval and one probability within it, read from the network's score by a "
        f"Venn-Abers predictor that is fitted to the {validated}; the labels that cannot be excluded at 90 %; and a "
        "decision where the whole interval lies on one side of the threshold, which is the upper class's share of "
        "those cases, and the model is shown to beat chance, else undecided. Or no answer, with the reason.",
        "explanations": "The tumor map, and Grad-CAM where the web shows an answer. Neither proves what an answer "
        "rests on.",
        "poor_input": "Quality rules refuse a scan or withhold the answer, with the reason; so does an image unlike "
        "those that validated the version.",
    }


def _validated_on_patients(card: dict[str, Any], study: Study) -> dict[str, str]:
    """Answer what depends on who validates, where each site keeps patients of its own back for that."""
    cohort = cohort_of_card(card)
    totals = totals_of(cohort)
    return {
        "aims": _aims("patients of the same hospitals"),
        "partitions": f"By lottery at each site: {study.validation_fraction:.0%} of its patients validate, as many of "
        "each kind as their share. There is no test set apart.",
        "disjoint": "The patient, within a site: who validates is never trained on. A person known to two sites is not "
        "recognized: each site deals out its own, and no pseudonym leaves it.",
        "numbers": f"{totals['training']} training and {totals['validation']} validation cases, {totals['excluded']} "
        f"excluded, at {len(cohort)} sites; see Training data.",
        "differences": f"{NOT_RECORDED}: training and validation patients are of the same sites, by lottery.",
        "selection": _selection(card, _among(card, study), "validation patients of all sites"),
        "model_building": "Federated training with settings fixed in study.toml; one split, no search in the study.",
        "imbalance": "Each site weighs its classes to balance its own, within bounds.",
        "internal": f"{_performance(card)}.",
        "external": f"{NOT_DONE}: no patient of a hospital that trained nothing is in these numbers.",
        "failures": f"{NOT_DONE}: single cases do not leave their sites.",
        "sites": "See Quantitative analyses for each site's loss and accuracy; by AUC they are not compared, since "
        "histograms of so few patients come close to the patients.",
    }


def _validated_on_public_cases(card: dict[str, Any], study: Study) -> dict[str, str]:
    """Answer the same of a study with differential privacy, where nothing is counted of a site's patients."""
    return {
        "aims": _aims("public cases"),
        "partitions": "Every patient of a site trains. The coordinator validates on public cases (SHA-256 "
        f"{study.privacy.validation[:12]}). There is no test set apart.",
        "disjoint": f"{NOT_RECORDED}: no site gives a patient to validation, but nobody checks whether a public case "
        "is of somebody who trains, nor whether two sites know the same person.",
        "numbers": f"Numbers of the sites' patients are {card['cohort']}. Public cases are counted beside each AUC.",
        "differences": f"{NOT_RECORDED}: sites' patients train and public cases validate; how unlike they are cannot "
        "be told, since nothing is counted of the former.",
        "selection": _selection(card, "which", "public validation cases"),
        "model_building": "Federated training with settings fixed in study.toml; no split of the sites' patients, no "
        "search in the study.",
        "imbalance": "Classes are not weighed: their numbers are as private as the patients.",
        "internal": f"{NOT_DONE}: no patient of a site validates. On public cases, which chose the round: "
        f"{_performance(card)}.",
        "external": f"{NOT_DONE}: the public cases chose the round and calibrate it, so they are no test.",
        "failures": f"{NOT_DONE}: the public cases are only counted.",
        "sites": f"{NOT_DONE}: how well the model does at a site is as private as its patients.",
    }


def _aims(validated_on: str) -> str:
    return (
        f"To develop one model over hospitals whose scans stay with them, and to validate it on {validated_on}. "
        f"{NOT_RECORDED} is a hypothesis fixed beforehand."
    )


def _among(card: dict[str, Any], study: Study) -> str:
    settled = is_settled(card["best_round"], study.federation.rounds)
    return "which of the last quarter of the planned rounds" if settled else "which"


def _selection(card: dict[str, Any], among: str, validated_on: str) -> str:
    return (
        f"Round {card['best_round']}, {among} has the lowest loss on the {validated_on}. They choose it, calibrate it "
        "and measure it, so what they measure is too good, by an unknown amount."
    )


def _performance(card: dict[str, Any]) -> str:
    return "; ".join(performance_of(card, head) for head in HEADS)


def _results(card: dict[str, Any], study: Study) -> dict[str, str]:
    return {
        "metrics": "AUC, accuracy, precision, recall, specificity, F1 and Brier score of both questions; Dice of "
        "three regions.",
        "uncertainty": "A 95 % interval of each AUC. No test of significance: nothing is compared.",
        "robustness": f"{NOT_DONE} for this version.",
        "performance": f"{_performance(card)}. {NOT_DONE}: by groups of patients.",
        "fairness": f"{NOT_DONE}: without age, sex and origin nobody can tell whom the model serves worse.",
        "inequalities": f"{NOT_RECORDED}: who is scanned and operated on differs by place and means.",
        "limitations": f"See Caveats. Privacy: {privacy_sentence(study)}",
    }


def _around() -> dict[str, str]:
    theirs = "the coordinator's to add, it is in no record of the federation"
    return {
        "ethics": f"{NOT_RECORDED}: each site approves a study under its own rules; {theirs}.",
        "registration": f"{NOT_DONE}: no trial.",
        "protocol": "study.toml, whose SHA-256 every site approved before its run; decisions are in docs/decisions.",
        "availability": "Code under Apache-2.0. Patients' data stay at the sites. The coordinator gives out versions.",
        "funding": f"{NOT_RECORDED}: {theirs}.",
        "involvement": f"{NOT_RECORDED}: {theirs}.",
    }
