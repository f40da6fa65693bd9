"""One experiment from nothing to a table: hospitals, preparation, federation, baselines, outside patients.

OUT/hospitals/<site>/   the synthetic cohort as DICOM, or an imported one dealt out
OUT/sites/<site>.toml   each site's settings
OUT/prepared/<site>/    prepared cases
OUT/runs/<key>/         the federation's rounds
OUT/baselines/          weights of the models trained without it
$FL_HOME/registry/      the federation's model version, beside all others of this machine

Every step keeps what an earlier, perhaps interrupted, call has made with the same settings.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tomli_w
import torch
from pydantic import model_validator

from core.config import Section
from core.errors import ConfigError
from core.files import write_atomically
from core.learning.prediction import predict_scores
from core.predictor import Prediction, Predictor, load_predictor, predict_prepared
from core.progress import Report, silent
from core.records.db import open_database
from core.records.home import registry_folder, trusted_key
from core.study import Study
from fl_client.config import ComputeSettings, SiteConfig, SiteSettings
from fl_client.prepare import PreparedCohort, prepare_cohort
from fl_server.config import database_url
from simulations.approval import approve_here
from simulations.baselines import Baseline, train_baselines, training_key
from simulations.cohorts import OUTSIDE, CohortSettings, Hospitals, ImportedCohort, SyntheticCohort
from simulations.comparison import Row, measure
from simulations.evaluation import Evaluation, evaluate_site
from simulations.federation import RunResult, run_federation
from simulations.imported import make_imported
from simulations.outside import OutsidePatient, usable_patients, without_copies
from simulations.synthetic import make_synthetic


class Scenario(Section):
    """Everything in a scenario's TOML file."""

    cohort: CohortSettings = SyntheticCohort()
    study: Study
    compute: ComputeSettings = ComputeSettings()

    @model_validator(mode="after")
    def _can_reach_its_quorum(self) -> "Scenario":
        by_csv = isinstance(self.cohort, ImportedCohort) and self.cohort.by_csv
        if not by_csv and self.cohort.sites < self.study.federation.quorum:
            raise ValueError("cohort.sites is below study.federation.quorum, so no round could count")
        return self


def over_folders(scenario: Scenario, cohort: Path | None, external: Path | None = None) -> Scenario:
    """Return a scenario over the imports that a command names, which a scenario that is passed on cannot know.

    Raises: ConfigError: it makes its own patients.
    """
    given = {name: path.absolute() for name, path in (("folder", cohort), ("external", external)) if path}
    if given and not isinstance(scenario.cohort, ImportedCohort):
        raise ConfigError(
            "The scenario makes synthetic patients and takes no imported cohort",
            fix='leave --cohort and --external out, or name a scenario with source = "imported", as rsna-iid.toml',
        )
    return scenario.model_copy(update={"cohort": scenario.cohort.model_copy(update=given)})


@dataclass(frozen=True)
class Outcome:
    """What a scenario found.

    Attributes:
        scenario: its settings.
        rows: one row a model, the federation last.
        probabilities: by model, the raw methylation score of each labeled outside patient, which ranks them.
        labels: of the same patients, in the same order.
        patients: every usable outside patient.
        predictions: what the model version says of each of them, calibrated.
        tumor_scores: its raw score for a tumor of each of them; none where it was never shown both kinds.
        evaluation: it judged on each outside case, usable or not.
        excluded: by site, how many patients could not be used.
        hospitals: who trained, and who the outside patients are.
        run: the federation's rounds.
        seconds: wall time by step.
    """

    scenario: Scenario
    rows: tuple[Row, ...]
    probabilities: dict[str, list[float]]
    labels: list[int]
    patients: tuple[OutsidePatient, ...]
    predictions: tuple[Prediction, ...]
    tumor_scores: tuple[float, ...]
    evaluation: Evaluation
    excluded: dict[str, int]
    hospitals: Hospitals
    run: RunResult
    seconds: dict[str, float]


def run_scenario(scenario: Scenario, out: Path, report: Report = silent) -> Outcome:
    """Run a scenario, or finish one that was interrupted.

    Args:
        scenario: its settings.
        out: a folder of the scenario's own.
        report: told how far each step is.
    Raises: FLError: as the steps do.
    """
    clock = Clock()
    with clock("make hospitals"):
        hospitals = _make_hospitals(scenario, out, report)
    configs = {site: _site_config(scenario, site, out) for site in hospitals.sites}
    outside = _site_config(scenario, OUTSIDE, out)
    with clock("prepare scans"):
        prepared = {config.site.name: prepare_cohort(config, report) for config in (*configs.values(), outside)}
    with clock("federation"):
        run = _federate(scenario, configs, out, report)
    with clock("alone and pooled"):
        baselines = train_baselines(configs, scenario.study, out / "baselines", report)
    with clock("predict outside patients"):
        usable = usable_patients(prepared[OUTSIDE], outside)
        patients = without_copies(usable, configs, scenario.study)
        predictor = _approved_predictor(run.version)
        predictions = tuple(predict_prepared(predictor, patient.case) for patient in patients)
        scores = raw_scores(predictor, patients)
        copies = {patient.id for patient in usable} - {patient.id for patient in patients}
        entries = [entry for entry in prepared[OUTSIDE].entries if entry.id not in copies]
        evaluation = evaluate_site(entries, outside.site.prepared, OUTSIDE, predictor.model, predictor.untrained)
    if copies:
        told = f"{len(copies)} outside patient(s) have the very scans of one who trains: left out."
        hospitals = replace(hospitals, notes=(*hospitals.notes, told))
    return _outcome(
        scenario, patients, predictions, scores, evaluation, baselines, hospitals, prepared, run, clock.seconds
    )


class Clock:
    """Wall time by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Add the block's time to a step."""
        start = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - start


def prepare_sites(scenario: Scenario, out: Path, report: Report = silent) -> dict[str, SiteConfig]:
    """Make the hospitals that train, and no other, and prepare their scans as `run_scenario` does.

    Returns: by site, its settings.
    """
    hospitals = _make_hospitals(scenario, out, report, outside=False)
    configs = {site: _site_config(scenario, site, out) for site in hospitals.sites}
    for config in configs.values():
        prepare_cohort(config, report)
    return configs


def _make_hospitals(scenario: Scenario, out: Path, report: Report, *, outside: bool = True) -> Hospitals:
    """Write the training hospitals, and where wanted one outside."""
    cohort, folder = scenario.cohort, out / "hospitals"
    if isinstance(cohort, SyntheticCohort):
        return make_synthetic(cohort, folder, scenario.compute.workers, report, outside=outside)
    hospitals = make_imported(cohort, folder, report, outside=outside)
    if len(hospitals.sites) < scenario.study.federation.quorum:
        raise ConfigError(
            "The CSV names fewer sites than study.federation.quorum, so no round could count",
            fix="name more sites in the CSV, or lower the quorum",
        )
    return hospitals


def _site_config(scenario: Scenario, site: str, out: Path) -> SiteConfig:
    """Write a site's settings as hospital IT would, and return them."""
    config = SiteConfig(
        site=SiteSettings(name=site, data=out / "hospitals" / site, prepared=out / "prepared" / site),
        preprocessing=scenario.study.preprocessing,
        compute=scenario.compute,
    )
    write_atomically(_config_path(out, site), tomli_w.dumps(config.model_dump(mode="json")))
    return config


def _config_path(out: Path, site: str) -> Path:
    return out / "sites" / f"{site}.toml"


def _federate(scenario: Scenario, configs: dict[str, SiteConfig], out: Path, report: Report) -> RunResult:
    """Run the federation in a folder of its own for these settings and these prepared cases."""
    study = out / "study.toml"
    write_atomically(study, tomli_w.dumps(scenario.study.model_dump(mode="json")))
    run = out / "runs" / training_key(configs, scenario.study)[:12]
    return run_federation([_config_path(out, site) for site in configs], study, run, report)


def _approved_predictor(version: str) -> Predictor:
    """Approve the federation's version with this home's own key and load it as a hospital would."""
    approve_here(open_database(database_url()), version)
    return load_predictor(registry_folder() / version, trusted_key())


def raw_scores(predictor: Predictor, patients: tuple[OutsidePatient, ...]) -> dict[str, tuple[float, ...]]:
    """Return each head's raw score of every patient, which ranks them as calibrated probabilities, which tie, do not.

    None are returned for a head that was never trained: it has then no score rather than a bad one.
    """
    if not patients:
        return dict.fromkeys(predictor.untrained, ())
    predicted = predict_scores(
        predictor.model, torch.from_numpy(np.stack([patient.case.image for patient in patients]))
    )
    scores = {"mgmt": predicted.mgmt, "tumor": predicted.tumor}
    return {head: () if predictor.untrained[head] else tuple(map(float, values)) for head, values in scores.items()}


def _outcome(
    scenario: Scenario,
    patients: tuple[OutsidePatient, ...],
    predictions: tuple[Prediction, ...],
    scores: dict[str, tuple[float, ...]],
    evaluation: Evaluation,
    baselines: tuple[Baseline, ...],
    hospitals: Hospitals,
    prepared: Mapping[str, PreparedCohort],
    run: RunResult,
    seconds: dict[str, float],
) -> Outcome:
    """Score every model on the outside patients that have a label."""
    labeled = [index for index, patient in enumerate(patients) if patient.mgmt is not None]
    labels = [patients[index].mgmt or 0 for index in labeled]
    images = [patients[index].case.image for index in labeled]
    probabilities = {baseline.name: baseline.methylation(images) for baseline in baselines}
    probabilities["federation"] = [scores["mgmt"][index] for index in labeled] if scores["mgmt"] else []
    return Outcome(
        scenario=scenario,
        rows=tuple(measure(name, labels if values else [], values) for name, values in probabilities.items()),
        probabilities=probabilities,
        labels=labels,
        patients=patients,
        predictions=predictions,
        tumor_scores=scores["tumor"],
        evaluation=evaluation,
        excluded={site: len(cohort.excluded) for site, cohort in prepared.items()},
        hospitals=hospitals,
        run=run,
        seconds=seconds,
    )
