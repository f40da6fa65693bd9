"""What one trial is: a study trained on the tuning's people, and how good it was on those it did not train on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.config import load_config
from core.errors import ConfigError, DataError
from core.learning.cases import TrainingCase
from core.learning.frozen import study_model
from core.learning.metrics import add, scores_of
from core.messages import Counts, Flat
from core.progress import Report
from core.records.home import public_folder
from core.study import Study
from fl_client.config import SiteConfig, SiteSettings
from fl_client.dataset import Cohort, load_cohort
from fl_client.training import train_alone
from fl_server.checkpoints import RoundRecord
from simulations.baselines import epochs_of
from simulations.cohorts import OUTSIDE
from simulations.folds import Sites, folds
from simulations.hospitals import site_names
from simulations.ray_cluster import mapper
from simulations.rounds import federate
from simulations.tensor_cohort import People, cohort_of, make_people, person, read_people
from simulations.tuning_space import Tuning

# Given a step (epochs, or folds) and the score after it; what it raises ends the trial.
Watch = Callable[[int, float], None]


@dataclass(frozen=True)
class Tried:
    """What a trial came to.

    Attributes:
        value: its score.
        best: the round of a federated run, or the epoch of a cross-validation, that has it.
        weights: of that round; of a cross-validation, the first fold's of its own best epoch.
    """

    value: float
    best: int
    weights: Flat


# A tuning, the trial's study, its people by site, a folder of the trial's own, and who watches.
Objective = Callable[[Tuning, Study, Mapping[str, Cohort], Path, Watch], Tried]


def train(tuning: Tuning, study: Study, cohorts: Mapping[str, Cohort], folder: Path, watch: Watch) -> Tried:
    """Train and validate one trial as its tuning says; see `Objective`.

    Raises:
        ConfigError: there are fewer patients than folds.
        DataError: the validation patients cannot tell the score.
        FederationError: training diverged.
    """
    if tuning.over == "pooled":
        return _cross_validated(tuning, study, cohorts, watch)
    return _federated(tuning, study, cohorts, folder, watch)


def _federated(tuning: Tuning, study: Study, cohorts: Mapping[str, Cohort], folder: Path, watch: Watch) -> Tried:
    """Run a whole federation: the score is that of the round which a deployment would register."""

    def tell(record: RoundRecord) -> None:
        if record.round > 1:  # the first round validates the untrained model
            epochs = (record.round - 1) * study.training.epochs_per_round
            watch(epochs, score_of(tuning, record.validation))

    run = federate(cohorts, study, folder, watch=tell)
    chosen = next(record for record in run.history if record.round == run.best_round + 1)
    return Tried(score_of(tuning, chosen.validation), run.best_round, run.weights)


def _cross_validated(tuning: Tuning, study: Study, cohorts: Mapping[str, Cohort], watch: Watch) -> Tried:
    """Train on all pooled patients but a fold, for each fold: the folds' counts, added up, choose the epoch."""
    sites = {site: cohort.patients for site, cohort in cohorts.items()}
    epochs = epochs_of(study)
    by_epoch: list[Counts] = [{} for _ in range(epochs)]
    trained = []
    for number, fold in enumerate(folds(sites, tuning.folds, 1, tuning.study.seed), start=1):
        training, held_back = _cases(fold.train), _cases(fold.test)
        model = study_model(study.model, study.seed, public_folder())
        trained.append(train_alone(model, training, held_back, study, fold.name, epochs, patience=epochs))
        by_epoch = [add(sums, counts) for sums, (_, counts) in zip(by_epoch, trained[-1].history, strict=True)]
        best = min(range(epochs), key=lambda epoch: scores_of(by_epoch[epoch]).loss or float("inf"))
        value = score_of(tuning, by_epoch[best])
        watch(number, value)
    return Tried(value, best + 1, trained[0].weights)


def _cases(sites: Sites) -> list[TrainingCase]:
    return [drawn.case for site in sorted(sites) for same in sites[site] for drawn in same]


def score_of(tuning: Tuning, counts: Counts) -> float:
    """Return the score of validation counts, by the tuning's goal.

    Raises: DataError: they do not say.
    """
    scores = scores_of(counts)
    score = scores.mgmt.auc if tuning.goal == "auc" else scores.loss
    if score is None:
        raise DataError(
            f"The validation patients cannot tell the {tuning.goal}: methylated and other ones are needed",
            fix="bring more patients, or raise study.validation_fraction",
        )
    return score


def make_cohorts(tuning: Tuning, folder: Path, workers: int, report: Report) -> None:
    """Make a tuning's synthetic people, where it does not name prepared ones; who is there already is kept."""
    if not tuning.people.prepared:
        with mapper(workers=workers) as mapped:
            make_people(folder, _people(tuning), mapped, report)


def read_cohorts(tuning: Tuning, folder: Path) -> dict[str, Cohort]:
    """Return the people whom every trial trains and is validated on: by site, split as the base study says.

    Raises: FLError: they are not there, or cannot be used.
    """
    if tuning.people.prepared:
        return {site.name: load_cohort(site.prepared, tuning.study, site.name) for site in prepared_sites(tuning)}
    names = site_names(tuning.people.sites)
    return {
        name: _cohort([case for piece in read_people(folder, people) for case in piece], tuning.study, name)
        for name, people in zip(names, _people(tuning), strict=True)
    }


def prepared_sites(tuning: Tuning) -> list[SiteSettings]:
    """Return the sites whose prepared cohorts a tuning names.

    Raises: ConfigError: two have one name, or one holds the patients by whom a scenario's models are judged.
    """
    sites = [load_config(SiteConfig, path).site for path in tuning.people.prepared]
    names = [site.name for site in sites]
    if OUTSIDE in names:
        raise ConfigError(
            f"people.prepared names the site {OUTSIDE}, whose patients are held out: settings that they chose would "
            "seem better than they are",
            fix=f"take {OUTSIDE}.toml out of people.prepared",
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"people.prepared names several sites called {', '.join(twice)}", fix="name each once, by its own site.name"
        )
    return sites


def _people(tuning: Tuning) -> list[People]:
    made, size = tuning.people, tuning.study.preprocessing.grid
    return [
        People(made.seed, hospital, made.patients, made.controls, made.separability, size)
        for hospital in range(made.sites)
    ]


def _cohort(cases: list[TrainingCase], study: Study, site: str) -> Cohort:
    """Split a synthetic hospital's people, each with one case and a name of its own."""
    people = [person([study.seed, site, number], f"{site} {number}", case) for number, case in enumerate(cases)]
    return cohort_of(people, study.validation_fraction)
