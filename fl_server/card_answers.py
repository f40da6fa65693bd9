"""What a version's card answers to reporting guidelines, subject by subject; and what it cannot, with the reason.

An answer begins with NOT_DONE, NOT_APPLICABLE or NOT_RECORDED where there is nothing to report: a gap is told as one.
"""

from typing import Any

from core.config import validate
from core.messages import Counts
from core.study import Study, privacy_sentence
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


def answers_of(card: dict[str, Any]) -> dict[str, str]:
    """Return the answer to each subject of `fl_server.checklists`."""
    study = study_of_card(card)
    return _purpose(card) | _data(card, study) | _model(card, study) | _results(card, study) | _around()


def _purpose(card: dict[str, Any]) -> dict[str, str]:
    return {
        "kind": "A 3D convolutional network for adults with glioma, trained by federated learning: methylation of the "
        f"MGMT promoter and presence of a tumor from brain MRI. Version {card.get('version', 'not named')}.",
        "summary": "This card, from its first section on.",
        "use": "Research on radiogenomics and federated learning. It is no medical device and does not replace a test "
        "of tissue; see Intended use.",
        "aims": "To develop one model over hospitals whose scans stay with them, and to validate it on patients of the "
        f"same hospitals. {NOT_RECORDED} is a hypothesis fixed beforehand.",
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
    totals = totals_of(cohort)
    sites = f"{len(cohort)} sites: {', '.join(cohort)}" if cohort else "the sites of the study; numbers are withheld"
    counted = (
        f"{totals.get('training', 0)} training and {totals.get('validation', 0)} validation cases, "
        f"{totals.get('excluded', 0)} excluded, at {len(cohort)} sites; see Training data"
        if cohort
        else str(card["cohort"])
    )
    prepared = study.preprocessing
    return {
        "sources": f"Prepared cohorts of {sites}. From where a site has its patients is the site's to say.",
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
        "blinding": f"{NOT_RECORDED}; labels came from tissue, before the model was there.",
        "partitions": f"By lottery at each site: {study.validation_fraction:.0%} of its patients validate, as many of "
        "each kind as their share. There is no test set apart.",
        "disjoint": "The patient, within a site: who validates is never trained on. A person known to two sites under "
        "two names is not recognized.",
        "sample_size": f"{NOT_DONE}: no size was planned; what so many patients can tell is the interval's width.",
        "numbers": f"{counted[0].upper()}{counted[1:]}.",
        "demographics": f"{NOT_RECORDED}: age, sex and origin never reach the coordinator.",
        "differences": f"{NOT_RECORDED}: training and validation patients are of the same sites, by lottery.",
    }


def _model(card: dict[str, Any], study: Study) -> dict[str, str]:
    training, built = study.training, card["architecture"]
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
        "training": f"{study.strategy.name} over {study.federation.rounds} rounds: {steps}.",
        "selection": f"Round {card['best_round']}, which has the lowest loss on the {_validation_cases(card)} of all "
        "sites. They choose it, calibrate it and measure it, so what they measure is too good, by an unknown amount.",
        "model_building": "Federated training with settings fixed in study.toml; one split, no search in the study.",
        "specification": f"Weights of SHA-256 {card.get('weights_sha256', 'not registered')}, with study.toml and "
        "calibration in the version's folder; the coordinator signs all of them at approval.",
        "output": "A probability for each question, calibrated by temperature on the validation cases, with the "
        "interval that these allow; a decision only where it is sure enough, else undecided, or no "
        "answer with the reason.",
        "imbalance": "Each site weighs its classes to balance its own, within bounds."
        if not study.privacy.is_on
        else "Classes are not weighed: their numbers are as private as the patients.",
        "explanations": "The tumor map, and Grad-CAM where the web shows an answer. Neither proves what an answer "
        "rests on.",
        "poor_input": "Quality rules refuse a scan or withhold the answer, with the reason; so does an image unlike "
        "those trained on.",
    }


def _results(card: dict[str, Any], study: Study) -> dict[str, str]:
    performance = "; ".join(performance_of(card, head) for head in HEADS)
    return {
        "metrics": "AUC, accuracy, precision, recall, specificity, F1 and Brier score of both questions; Dice of "
        "three regions.",
        "uncertainty": "A 95 % interval of each AUC. No test of significance: nothing is compared.",
        "robustness": f"{NOT_DONE} for this version.",
        "internal": f"{performance}.",
        "external": f"{NOT_DONE}: no patient of a hospital that trained nothing is in these numbers.",
        "performance": f"{performance}. {NOT_DONE}: by groups of patients.",
        "failures": f"{NOT_DONE}: single cases do not leave their sites.",
        "sites": "See Quantitative analyses for each site's loss and accuracy; by AUC they are not compared, since "
        "histograms of so few patients come close to the patients.",
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


def _validation_cases(card: dict[str, Any]) -> str:
    return str(card["heads"]["mgmt"]["validation_cases"])
