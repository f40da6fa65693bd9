"""A scenario's outcome as one HTML page and one JSON file."""

import json
from dataclasses import asdict
from pathlib import Path

from core.files import write_atomically
from core.learning.calibration import DECISIONS, UNDECIDED
from core.learning.curves import auc, roc_curve
from core.learning.metrics import scores_of
from core.report import Part, Picture, Table, render
from core.study import privacy_sentence
from fl_server.card import WITHHELD, told_of
from fl_server.card_answers import rounds_sentence
from simulations.cohorts import ImportedCohort
from simulations.comparison import HEADER
from simulations.error_analysis import error_figures, errors_part
from simulations.evaluation_parts import figures, groups_part, heads_part
from simulations.plots import Interval, draw_case, draw_intervals, draw_roc, draw_rounds, draw_tumor
from simulations.scenario import Outcome, Scenario

WARNING = (
    "These patients are synthetic and their methylation signal was planted. On real patients no published model tells "
    "MGMT methylation from MRI much better than chance (best AUC about 0.62 on the RSNA-MICCAI cohort, 0.56 on outside "
    "hospitals), and none can replace the tissue test. This page shows that the federation works, not the medicine."
)
REAL_WARNING = (
    "These patients are real, and how well MRI can tell their methylation at all is not known. The best published AUC "
    "is about 0.62 on the RSNA-MICCAI cohort and 0.56 on outside hospitals, where most models are near chance. Higher "
    "figures here most likely mean few patients, or the same ones on both sides. No model can replace the tissue test. "
    "This page may show scans: the cohort's terms say to whom it may be passed on."
)
UNKNOWN = "not known"


def write_report(outcome: Outcome, out: Path) -> Path:
    """Write OUT/report.html, OUT/results.json and OUT/evaluation.json.

    Returns: the page's path.
    """
    page = out / "report.html"
    warning = warning_of(outcome.scenario)
    write_atomically(page, render(f"GlioFed: scenario {outcome.scenario.study.name}", warning, _parts(outcome)))
    write_atomically(out / "results.json", json.dumps(results(outcome), indent=1))
    judged = outcome.evaluation.judged
    told = figures(judged) | {"errors": error_figures(judged)}
    write_atomically(out / "evaluation.json", json.dumps(told, indent=1))
    return page


def warning_of(scenario: Scenario) -> str:
    """Return what a reader must know before believing any number of a scenario."""
    return REAL_WARNING if isinstance(scenario.cohort, ImportedCohort) else WARNING


def results(outcome: Outcome) -> dict[str, object]:
    """Return the outcome's figures, ready for JSON."""
    return {
        "scenario": outcome.scenario.model_dump(mode="json"),
        "models": [asdict(row) for row in outcome.rows],
        "best_possible_auc": outcome.hospitals.ceiling,
        "notes": outcome.hospitals.notes,
        "tumor_auc": tumor_auc(outcome),
        "mgmt_decisions": decisions_of(outcome),
        "privacy": privacy_sentence(outcome.scenario.study),
        "model_version": outcome.run.version,
        "best_round": outcome.run.best_round,
        "excluded": outcome.excluded,
        "outside_patients": len(outcome.patients),
        "seconds": outcome.seconds,
    }


def tumor_auc(outcome: Outcome) -> float | None:
    """Return the model version's AUC for the presence of a tumor, or None where the outside patients cannot say."""
    told = [
        (int(patient.case.tumor.any()), score)
        for patient, score in zip(outcome.patients, outcome.tumor_scores, strict=bool(outcome.tumor_scores))
        if patient.case.tumor is not None
    ]
    return auc([label for label, _ in told], [score for _, score in told]) if told else None


def decisions_of(outcome: Outcome) -> dict[str, int]:
    """Return what the model version decided of the outside patients with a methylation label.

    Returns: `patients`, `decided`, `right` of these, `undecided`, and `no answer`: withheld, or an unreliable case.
    """
    told = [
        (prediction.mgmt_decision, DECISIONS["mgmt"][patient.mgmt])
        for patient, prediction in zip(outcome.patients, outcome.predictions, strict=True)
        if patient.mgmt is not None
    ]
    decided = [said == truth for said, truth in told if said not in (None, UNDECIDED)]
    undecided = sum(said == UNDECIDED for said, _ in told)
    return {
        "patients": len(told),
        "decided": len(decided),
        "right": sum(decided),
        "undecided": undecided,
        "no answer": len(told) - len(decided) - undecided,
    }


def setting_of(outcome: Outcome) -> str:
    """Say who trained, how and for how long, and on whom all models are measured."""
    hospitals, study = outcome.hospitals, outcome.scenario.study
    steps, epochs = study.privacy.steps_per_round, study.training.epochs_per_round
    work, count = ("noised step", steps) if study.privacy.is_on else ("epoch", epochs)
    rounds = rounds_sentence(study, [told_of(record) for record in outcome.run.history])
    return (
        f"{hospitals.trained}, trained as a federation: {rounds} of {count} {work}{'s' if count > 1 else ''}. No scan "
        f"left its hospital. All models below are measured on the same {len(outcome.labels)} patients "
        f"{hospitals.tested}, by their raw scores."
    )


def _parts(outcome: Outcome) -> list[Part]:
    decided = decisions_of(outcome)
    answers = (
        f"What a clinician would be told: of {decided['patients']} patients the federation's model decides "
        f"{decided['decided']}, {decided['right']} of them rightly, and leaves {decided['undecided']} undecided; "
        f"{decided['no answer']} get no answer, with the reason."
    )
    setting = setting_of(outcome)
    privacy = f"Privacy of the federation's patients: {privacy_sentence(outcome.scenario.study)}"
    tumors = tumor_auc(outcome)
    found = (
        "" if tumors is None else f" The same model tells whether there is a tumor at all with an AUC of {tumors:.2f}."
    )
    return [
        Part(
            "What was compared",
            [setting, *outcome.hospitals.notes, privacy, table_of(outcome), _picture_of_intervals(outcome), answers],
        ),
        Part("How it learned", [_picture_of_rounds(outcome), _sites(outcome)]),
        Part("Outside patients", [_picture_of_roc(outcome), *_pictures_of_a_case(outcome, found)]),
        heads_part(outcome.evaluation.judged),
        groups_part(outcome.evaluation.judged),
        errors_part(outcome.evaluation.judged, outcome.evaluation.cases),
        Part(
            "Where the time of this call went: what was kept took none", [Table(("step", "seconds"), _seconds(outcome))]
        ),
    ]


def table_of(outcome: Outcome) -> Table:
    """Return the comparison, as the page and the terminal show it: a row a model, then the best that is possible."""
    best = outcome.hospitals.ceiling
    known = (UNKNOWN, "of real patients") if best is None else (f"{best:.3f}", "by construction")
    ceiling = ("best possible", *known, "", "", "")
    return Table(HEADER, [*(row.texts() for row in outcome.rows), ceiling], frozenset({len(outcome.rows) - 1}))


def _picture_of_intervals(outcome: Outcome) -> Picture:
    aucs = {
        row.name: Interval(row.auc, *row.interval)
        for row in outcome.rows
        if row.auc is not None and row.interval is not None
    }
    caption = "AUC for MGMT methylation with its 95 % interval: with so few patients the intervals are wide."
    return Picture(draw_intervals(aucs, outcome.hospitals.ceiling), caption)


def _picture_of_rounds(outcome: Outcome) -> Picture:
    counted = [record for record in outcome.run.history if record.counted]
    is_private = outcome.scenario.study.privacy.is_on
    sites = [] if is_private else sorted({site for record in counted for site in record.sites})
    curves = {
        site: [scores_of(record.sites[site].validation if site in record.sites else {}) for record in counted]
        for site in sites
    }
    curves["public cases" if is_private else "all sites"] = [scores_of(record.validation) for record in counted]
    losses = {name: [_number(scores.loss) for scores in curve] for name, curve in curves.items()}
    aucs = {name: [_number(scores.mgmt.auc) for scores in curve] for name, curve in curves.items()}
    private = (
        "The coordinator's own validation after each round, on public cases. What each site's patients would say is "
        f"{WITHHELD}."
    )
    caption = (
        "Validation after each round, at each site and over all: each site keeps back some patients whom it never "
        "trains on, so few that a site's own AUC jumps. Of the last quarter of rounds, that with the lowest loss over "
        "all sites became the model."
    )
    return Picture(draw_rounds(losses, aucs, outcome.run.best_round), private if is_private else caption)


def _picture_of_roc(outcome: Outcome) -> Picture:
    curves = {name: roc_curve(outcome.labels, values) for name, values in outcome.probabilities.items() if values}
    return Picture(draw_roc(curves), "Receiver operating characteristics for MGMT methylation on the outside patients.")


def _pictures_of_a_case(outcome: Outcome, found: str) -> list[str | Picture]:
    """Show the patient whose tumor is of median size: neither the best nor the worst."""
    with_tumor = [
        (int((patient.case.tumor > 0).sum()), index)
        for index, patient in enumerate(outcome.patients)
        if patient.case.tumor is not None and patient.case.tumor.any()
    ]
    if not with_tumor:
        return []
    _, chosen = sorted(with_tumor)[len(with_tumor) // 2]
    case, tumor_map = outcome.patients[chosen].case, outcome.predictions[chosen].tumor_map
    pictures: list[str | Picture] = [
        Picture(
            draw_case(case),
            "One outside patient as prepared: four sequences, three planes; orange, the brain mask's outline.",
        )
    ]
    if tumor_map is not None:
        pictures.append(
            Picture(draw_tumor(case, tumor_map), f"The tumor as outlined, and the model's map of it on T1wCE.{found}")
        )
    return pictures


def _sites(outcome: Outcome) -> Table:
    is_private = outcome.scenario.study.privacy.is_on
    rows = [(site, WITHHELD if is_private else str(count)) for site, count in outcome.excluded.items()]
    return Table(("site", "cases excluded as unreliable"), rows)


def _seconds(outcome: Outcome) -> list[tuple[str, str]]:
    total = sum(outcome.seconds.values())
    return [*((step, f"{seconds:.0f}") for step, seconds in outcome.seconds.items()), ("all", f"{total:.0f}")]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
