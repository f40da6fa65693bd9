"""Cross-validation: every fold trained and its held-out people scored, once, whatever interrupts it.

OUT/<key>.json   a fold's out-of-fold scores, by a digest of settings, network, recipe and every case on either side
OUT/<key>.code   the code that the fold under way was begun with
OUT/<key>/       the fold under way; a federation in it goes on where it was interrupted

The models are not kept: what is judged is the recipe.

Nested where settings are tuned: what chooses them is given a fold's training people and nothing else, so that the
people who are tested have no say in it (Varma and Simon 2006, doi:10.1186/1471-2105-7-91).
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import inf
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from core.errors import ConfigError, DataError
from core.files import write_atomically
from core.learning.curves import auc
from core.learning.frozen import study_model
from core.learning.prediction import predict_scores
from core.learning.weights import manifest_of, restore
from core.messages import Flat
from core.progress import Report, silent
from core.records.home import public_folder
from core.study import Study, digest
from fl_client.dataset import Cohort, Drawn, Patient
from fl_client.training import CPU
from simulations.baselines import alone, patience_of, pooled
from simulations.code_version import noted_code
from simulations.folds import Fold, Sites, check_apart, folds, people_of
from simulations.rounds import federate

# Returns the weights that answer for the patients of a site.
Answers = Callable[[str], Flat]
# Takes a fold's training people and returns the settings to train with.
Choose = Callable[[Sites, Report], Study]


@dataclass(frozen=True)
class Recipe:
    """A way to train on a cohort of several sites.

    Attributes:
        name: tells it from others in files and reports.
        train: takes cohorts by site, the study, a folder of its own, the device and whom to report to.
    """

    name: str
    train: Callable[[Mapping[str, Cohort], Study, Path, torch.device, Report], Answers]


@dataclass(frozen=True)
class Score:
    """What a model that never saw a case says of it.

    Attributes:
        site: where the case is.
        pixels: digest of its image.
        mgmt, tumor: the labels; None where unknown.
        mgmt_score, tumor_score: raw probabilities.
    """

    site: str
    pixels: str
    mgmt: int | None
    tumor: int | None
    mgmt_score: float
    tumor_score: float


@dataclass(frozen=True)
class Tested:
    """What is kept of a fold.

    Attributes:
        code: which trained it; several where it was changed in between.
        scores: of the tested cases.
    """

    code: str
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class FoldResult:
    """A fold's result.

    Attributes:
        fold, repeat: which it is.
        study: the settings it was trained with.
        trained, tested: people on either side; who chooses the best round counts as trained.
        code, scores: as `Tested` has them.
    """

    fold: str
    repeat: int
    study: Study
    trained: int
    tested: int
    code: str
    scores: tuple[Score, ...]


def cross_validate(
    parts: Sequence[Fold],
    study: Study | Choose,
    out: Path,
    recipe: Recipe,
    device: torch.device = CPU,
    report: Report = silent,
) -> tuple[FoldResult, ...]:
    """Train and test every fold, or go on where an earlier call was interrupted.

    Args:
        parts: as `folds` or `leave_one_site_out` deal them out.
        study: every setting, or what chooses them anew from each fold's training people.
        out: folder of the results; folds that other calls share are trained once.
        recipe: one of `RECIPES`, or another.
        device: where to train.
        report: told after each fold, and by the recipe as it goes.
    Returns: a result a fold, in their order.
    Raises:
        DataError: somebody is on both sides of a fold, or a fold leaves a site with too few people.
        ConfigError: the study asks for differential privacy.
        FederationError: a training diverged.
    """
    for fold in parts:
        check_apart(fold)
        if isinstance(study, Study):  # rather now than after hours of training
            fold.cohorts(study.validation_fraction)
    results = []
    for number, fold in enumerate(parts, start=1):
        chosen = study if isinstance(study, Study) else study(fold.train, report)
        kept = _out_of_fold(fold, chosen, out, recipe, device, report)
        trained, tested = len(people_of(fold.train)), len(people_of(fold.test))
        results.append(FoldResult(fold.name, fold.repeat, chosen, trained, tested, kept.code, kept.scores))
        report(f"{recipe.name}: folds", number, len(parts))
    return tuple(results)


def inner_search(
    candidates: Iterable[Study], k: int, seed: int, out: Path, recipe: Recipe, device: torch.device = CPU
) -> Choose:
    """Return what chooses the best of some settings for a fold, by a cross-validation among its training people.

    Best is the highest methylation AUC of the inner folds' mean; of equal ones the first, so begin with the simplest.

    Args:
        candidates: settings to try, at least one.
        k: inner folds.
        seed: of the inner folds.
        out: folder of the inner folds' results, so that an interrupted search goes on.
        recipe: how the candidates are trained, the same as the outer folds.
        device: where to train.
    """
    studies = tuple(candidates)
    if not studies:
        raise ConfigError("There are no settings to choose from", fix="name at least one study")

    def choose(train: Sites, report: Report) -> Study:
        inner = folds(train, k, 1, seed)

        def area(candidate: Study) -> float:
            return mean_auc(cross_validate(inner, candidate, out, recipe, device, report))

        return max(studies, key=area)  # the first of equals

    return choose


def mean_auc(results: Iterable[FoldResult]) -> float:
    """Return the mean methylation AUC over the folds that have both classes; minus infinity where none has."""
    areas = [area for tested in results if (area := auc_of(tested.scores)) is not None]
    return sum(areas) / len(areas) if areas else -inf


def auc_of(scores: Iterable[Score]) -> float | None:
    """Return the methylation AUC of cases, or None without both classes."""
    labeled = [(score.mgmt, score.mgmt_score) for score in scores if score.mgmt is not None]
    return auc([label for label, _ in labeled], [said for _, said in labeled])


def _out_of_fold(fold: Fold, study: Study, out: Path, recipe: Recipe, device: torch.device, report: Report) -> Tested:
    """Return the scores of a fold's held-out people: kept ones, or from a training now."""
    if study.privacy.is_on:
        raise ConfigError(
            "Cross-validation trains without noise, but the study asks for differential privacy",
            fix="set privacy.epsilon to 0 and say in the report that the released model will be noised",
        )
    cohorts = fold.cohorts(study.validation_fraction)
    key = _key(fold, cohorts, study, recipe)
    path = out / f"{key}.json"
    if path.exists():
        return _read(path)
    folder, note = out / key, out / f"{key}.code"
    code = noted_code(note, goes_on=folder.exists())
    answers = recipe.train(cohorts, study, folder, device, report)
    scores = tuple(
        score
        for site, people in fold.test.items()
        if people
        for score in _scores(site, [drawn for same in people for drawn in same], study, answers(site), device)
    )
    tested = Tested(code, scores)
    write_atomically(path, json.dumps(asdict(tested), indent=0))
    shutil.rmtree(folder, ignore_errors=True)
    note.unlink(missing_ok=True)
    return tested


def _scores(site: str, tested: Sequence[Drawn], study: Study, weights: Flat, device: torch.device) -> list[Score]:
    model = study_model(study.model, study.seed, public_folder())
    restore(model, weights)
    images = torch.stack([drawn.case.image for drawn in tested]).to(device)
    said = predict_scores(model.to(device), images)
    return [
        Score(site, drawn.pixels, drawn.case.mgmt, drawn.case.tumor, float(mgmt), float(tumor))
        for drawn, mgmt, tumor in zip(tested, said.mgmt, said.tumor, strict=True)
    ]


def _key(fold: Fold, cohorts: Mapping[str, Cohort], study: Study, recipe: Recipe) -> str:
    """Return a digest of all that a fold's scores depend on, the order of the training cases included."""
    marks = {id(drawn.case): _mark(drawn) for drawn in _cases(fold.train)}
    network = manifest_of(study_model(study.model, study.seed, public_folder())).digest
    sides = {
        site: [[marks[id(case)] for case in side] for side in (cohort.training, cohort.validation)]
        for site, cohort in sorted(cohorts.items())
    }
    tested = {site: [_mark(drawn) for same in people for drawn in same] for site, people in sorted(fold.test.items())}
    told = [recipe.name, digest(study), network, sides, tested]
    return sha256(json.dumps(told).encode()).hexdigest()[:32]


def _mark(drawn: Drawn) -> tuple[str, int | None, int | None, str]:
    """Return what tells a case from every other: its image, its labels, its tumor map."""
    tumor_map = drawn.case.tumor_map
    drawn_map = "" if tumor_map is None else sha256(tumor_map.numpy().tobytes()).hexdigest()
    return drawn.pixels, drawn.case.mgmt, drawn.case.tumor, drawn_map


def _cases(side: Mapping[str, Sequence[Patient]]) -> list[Drawn]:
    return [drawn for people in side.values() for same in people for drawn in same]


def _read(path: Path) -> Tested:
    try:
        return TypeAdapter(Tested).validate_json(path.read_bytes())
    except ValidationError:
        raise DataError(f"{path} holds no scores of a fold", fix="delete it; the fold is then trained again") from None


def _federated(
    cohorts: Mapping[str, Cohort], study: Study, folder: Path, device: torch.device, report: Report
) -> Answers:
    weights = federate(cohorts, study, folder, device, report).weights
    return lambda site: weights


def _pooled(cohorts: Mapping[str, Cohort], study: Study, folder: Path, device: torch.device, report: Report) -> Answers:
    weights = pooled(cohorts, study, patience_of(study), device, report).weights
    return lambda site: weights


def _alone(cohorts: Mapping[str, Cohort], study: Study, folder: Path, device: torch.device, report: Report) -> Answers:
    """Train a model a site, which answers for this site's patients; a site that is left out has none."""
    patience = patience_of(study)
    weights = {
        site: alone(cohort, study, site, patience, device, report).weights for site, cohort in sorted(cohorts.items())
    }
    return weights.__getitem__


RECIPES = {
    recipe.name: recipe
    for recipe in (Recipe("federated", _federated), Recipe("pooled", _pooled), Recipe("alone", _alone))
}
