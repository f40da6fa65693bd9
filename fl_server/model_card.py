"""A version's model card to read: a page or Markdown, made of card.json, with two reporting guidelines' checklists.

Sources: Mitchell et al. 2019, Model Cards for Model Reporting, doi:10.1145/3287560.3287596; for the checklists see
fl_server/checklists.py. For the warning: Baid et al. 2021, arXiv:2107.02314 (cohort and challenge); Kaggle 2021,
RSNA-MICCAI Brain Tumor Radiogenomic Classification (its private leaderboard); Kim et al. 2022, Cancers 14:4827; Saeed
et al. 2023, arXiv:2304.00774; Robinet et al. 2023, Cancers 15:2253.
"""

from collections.abc import Sequence
from typing import Any

from core.learning.metrics import REGIONS, scores_of
from core.report import Part, Picture, Table, render
from core.study import privacy_sentence
from core.updates import COHORT
from fl_server.card_answers import (
    NOT_APPLICABLE,
    NOT_DONE,
    NOT_RECORDED,
    SEQUENCES,
    answers_of,
    cohort_of_card,
    count_of,
    performance_of,
    study_of_card,
    totals_of,
)
from fl_server.checklists import CLAIM, TRIPOD_AI, Item

WARNING = (
    "On real patients, methylation of the MGMT promoter has not been told from MRI much better than by chance. The "
    "best entry of the RSNA-ASNR-MICCAI challenge of 2021 (cohort: Baid 2021) reached an AUC of about 0.62 on its "
    "private leaderboard (Kaggle 2021), and 0.56 at an outside hospital; of 420 models trained on two cohorts 60 % "
    "were not significantly better than chance by AUC (Kim 2022), and two further evaluations found no signal to "
    "depend on (Saeed 2023, Robinet 2023). An AUC far above that on real patients is more likely a mistake than a "
    "discovery. Nothing here replaces the test of tissue."
)
GAPS = (NOT_APPLICABLE, NOT_DONE, NOT_RECORDED)


def page_of(card: dict[str, Any], more: Sequence[Part] = ()) -> str:
    """Return a card as one self-contained HTML page.

    Args:
        card: card.json of a version.
        more: a report's figures, which stand after the sections.
    """
    return render(_title(card), WARNING, [*parts_of(card), *more, *checklists_of(card)])


def text_of(card: dict[str, Any], more: Sequence[Part] = ()) -> str:
    """Return a card as Markdown; of pictures only their captions."""
    parts = [*parts_of(card), *more, *checklists_of(card)]
    body = [f"## {part.title}\n\n" + "\n\n".join(map(_markdown, part.content)) for part in parts]
    return "\n\n".join([f"# {_title(card)}", f"> {WARNING}", *body]) + "\n"


def parts_of(card: dict[str, Any]) -> list[Part]:
    """Return the sections of a model card."""
    study, told = study_of_card(card), answers_of(card)
    details = Table(
        ("", ""),
        [
            ("version", str(card.get("version", "not registered"))),
            ("study", f"{study.name}, seed {study.seed}"),
            ("model", told["model"]),
            ("training", told["training"]),
            ("round", str(card["best_round"])),
            ("privacy", privacy_sentence(study)),
            ("weights, SHA-256", str(card.get("weights_sha256", "not registered"))),
            ("libraries", told["libraries"]),
            ("license", "Apache-2.0"),
        ],
        words=True,
    )
    return [
        Part("Model details", [details]),
        Part(
            "Intended use",
            [
                "Research on radiogenomics and on federated learning. Its users are researchers, and clinicians who "
                "take part in a study of it.",
                "Out of scope: deciding a treatment, sparing a patient the test of tissue, scans after an operation, "
                f"children, tumors other than glioma, and examinations without {SEQUENCES}.",
            ],
        ),
        Part(
            "Factors",
            [
                "What may change how good it is: scanner and protocol, the assay behind a label, size and place of the "
                "tumor, age, sex and origin. Of these a federation sees the site alone.",
                told["fairness"],
            ],
        ),
        Part("Metrics", [told["metrics"], told["uncertainty"], told["output"]]),
        Part("Evaluation data", [told["partitions"], told["disjoint"], told["selection"], told["external"]]),
        Part("Training data", [told["sources"], told["numbers"], _cohort(card), told["preprocessing"]]),
        Part(
            "Quantitative analyses", [*(f"{performance_of(card, head)}." for head in card["heads"]), *_measured(card)]
        ),
        Part(
            "Ethical considerations",
            [
                "A wrong answer may keep a patient from a drug that helps or burden one whom it does not. "
                f"Privacy: {privacy_sentence(study)}",
                told["ethics"],
            ],
        ),
        Part("Caveats and recommendations", [told["selection"], told["acquisition"], told["next_steps"]]),
    ]


def checklists_of(card: dict[str, Any]) -> list[Part]:
    """Return both guidelines' checklists, each item with what the card answers."""
    told = answers_of(card)
    return [
        _checklist("Checklist: CLAIM 2024", CLAIM, told),
        _checklist("Checklist: TRIPOD+AI 2024", TRIPOD_AI, told),
    ]


def _checklist(title: str, items: Sequence[Item], told: dict[str, str]) -> Part:
    gaps = sum(told[item.subject].startswith(GAPS) for item in items)
    rows = [(item.number, item.asks, told[item.subject]) for item in items]
    return Part(
        title,
        [
            f"Of {len(items)} items {gaps} have no answer: not done, not recorded or not applicable. Items are "
            "paraphrased; the guideline's own text is in its publication.",
            Table(("item", "what it asks for", "this version"), rows, words=True),
        ],
    )


def _title(card: dict[str, Any]) -> str:
    return f"Model card: {card.get('version', study_of_card(card).name)}"


def _cohort(card: dict[str, Any]) -> Table | str:
    cohort = cohort_of_card(card)
    if not cohort:
        return f"Cases by site: {card['cohort']}."
    rows = [(site, *(str(count_of(counts, name)) for name in COHORT)) for site, counts in cohort.items()]
    rows.append(("all", *(str(count) for count in totals_of(cohort).values())))
    return Table(("site", *(name.replace("_", " ") for name in COHORT)), rows, frozenset({len(rows) - 1}))


def _measured(card: dict[str, Any]) -> list[Table]:
    """Return how the model did: in all, and at each site."""
    told = card["metrics"]["validation"]
    names = ("cases", "auc", "accuracy", "precision", "recall", "specificity", "f1", "brier")
    scores = Table(
        ("", "methylation", "tumor"), [(name, *(_short(told[h][name]) for h in card["heads"])) for name in names]
    )
    dice = Table(
        ("region", "Dice"), [(region, _short(value)) for region, value in zip(REGIONS, told["dice"], strict=True)]
    )
    (validated,) = [one for one in card["rounds"] if one["counted"] and one["round"] == card["best_round"] + 1]
    by_site = [
        (site, _short(told.loss), _short(told.mgmt.accuracy), _short(told.tumor.accuracy))
        for site, brought in validated["sites"].items()
        if brought["validation"]
        for told in [scores_of(brought["validation"])]
    ]
    sites = [Table(("site", "loss", "accuracy, methylation", "accuracy, tumor"), by_site)] if by_site else []
    return [scores, dice, *sites]


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _markdown(piece: str | Picture | Table) -> str:
    if isinstance(piece, Picture):
        return f"*{piece.caption}*"
    if isinstance(piece, Table):
        lines = [piece.header, ["---"] * len(piece.header), *piece.rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
    return piece
