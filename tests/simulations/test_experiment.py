"""An experiment's jobs, its people, and one small experiment from nothing to a page."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from core.errors import DataError
from core.learning.curves import auc
from core.learning.prediction import predict_scores
from core.study import Study
from simulations.code_version import code_version
from simulations.experiment import Experiment
from simulations.fits import cohorts_of, fitted_model, is_done, labels_of, read_fit, run_job, together
from simulations.hand_crafted import found_maps, train_hand_crafted, true_maps
from simulations.jobs import Deal, jobs_of
from simulations.linear_fits import run_linear
from simulations.ray_cluster import mapper
from simulations.rounds import federate
from simulations.run_experiment import do_jobs, run_experiment
from simulations.scans_again import OTHER, SAME, scans_again
from simulations.tensor_cohort import make_people, read_people
from simulations.tracking import Tool
from simulations.worth import worth_of

SIZE = 16
STUDY: dict[str, Any] = {
    "name": "small",
    "validation_fraction": 0.3,
    "model": {"preset": "tiny"},
    "preprocessing": {"grid": SIZE},
    "federation": {"rounds": 2},
}
PEOPLE: dict[str, Any] = {
    "hospitals": 2,
    "patients": 6,
    "controls": 1,
    "held_out": 4,
    "held_out_controls": 1,
    "held_out_seeds": [11],
    "calibration_seeds": [12],
}


def an_experiment(**changes: Any) -> Experiment:
    return Experiment.model_validate({"study": STUDY, "people": PEOPLE, "seeds": [1, 2]} | changes)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("people")
    asked = an_experiment()
    people = [*asked.trained_on(1), *asked.trained_on(2), *asked.held_out((11,)), *asked.held_out((12,))]
    with mapper(workers=2) as mapped:
        make_people(folder, people, mapped)
    return folder


def names(cohorts: dict[str, Any]) -> dict[str, set[str]]:
    return {
        site: {drawn.patient for patient in cohort.patients for drawn in patient} for site, cohort in cohorts.items()
    }


def test_a_comparison_is_one_pooled_training_a_seed_and_a_federation_for_each_way() -> None:
    asked = an_experiment(
        partitions=["iid", "label-0.5"], strategies=[{"name": "fedavg"}, {"name": "fedprox"}], alone=False
    )
    assert [job.name for job in jobs_of(asked)] == [
        f"{one}, seed {seed}"
        for seed in (1, 2)
        for one in ("pooled", "iid, fedavg", "iid, fedprox", "label-0.5, fedavg", "label-0.5, fedprox")
    ]


def test_baselines_are_asked_of_every_seed() -> None:
    asked = an_experiment(baselines=True, alone=False)
    assert [(job.how, job.deal.seed) for job in jobs_of(asked) if job.family == "baselines"] == [
        (how, seed) for seed in (1, 2) for how in ("slices", "features of masks", "features of found regions")
    ]


def test_other_questions_are_asked_of_the_first_seed_only() -> None:
    asked = an_experiment(
        partitions=["iid", "scanner"],
        leave_one_out=True,
        permutations=2,
        permuted_patients=4,
        curve={"patients": [4, 6], "sites": [1]},
        ablations={"no dropout": {"model": {"dropout": 0.0}}},
    )
    others = [job for job in jobs_of(asked) if job.family != "compared"]
    assert [job.name for job in others] == [
        "without site-1", "without site-2",
        *(f"{count} patients a hospital, {how}" for count in (4, 6)
          for how in ("federated", "pooled", "site-1 alone", "site-2 alone")),
        "1 site",
        "true labels", "permutation 1", "permutation 2", "no dropout",
    ]  # fmt: skip
    assert {job.deal.seed for job in others} == {1}
    assert others[-1].study.model.dropout == 0
    assert others[-1].study.model.preset == "tiny"


def test_what_is_asked_once_is_asked_of_the_first_strategy_and_pooled_training_has_none() -> None:
    asked = an_experiment(
        strategies=[{"name": "fedprox"}, {"name": "fedavg"}],
        permutations=1,
        permuted_patients=4,
        ablations={"no dropout": {"model": {"dropout": 0.0}}},
    )
    strategies = {(job.family, job.how): job.study.strategy.name for job in jobs_of(asked) if job.deal.seed == 1}
    assert strategies["permuted", "federated"] == strategies["ablated", "federated"] == "fedprox"
    assert strategies["compared", "pooled"] == strategies["compared", "alone"] == "fedavg"


def test_added_people_of_another_seed_are_another_training() -> None:
    keys = []
    for seed in (31, 32):
        asked = an_experiment(added={"patients": 4, "counts": [0, 2], "seed": seed})
        keys.append([job.key(asked.people) for job in jobs_of(asked) if job.family == "added"])
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] != keys[1][1]


def test_a_jobs_key_depends_on_all_that_its_weights_depend_on() -> None:
    asked = an_experiment()
    job = jobs_of(asked)[1]
    same = replace(job, name="another", family="else", study=job.study.model_copy(update={"name": "renamed"}))
    assert same.key(asked.people) == job.key(asked.people)
    others = [
        replace(job, how="pooled"),
        replace(job, site="site-1"),
        replace(job, deal=replace(job.deal, permutation=1)),
        replace(job, study=job.study.model_copy(update={"seed": 9})),
    ]
    assert len({job.key(asked.people), *(other.key(asked.people) for other in others)}) == 5


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"partitions": ["dirichlet"]}, "partitions: dirichlet is none of"),
        ({"seeds": [11]}, "seeds: 11 would train on people who are held out"),
        ({"seeds": [1, 1]}, "seeds: 1 must be there only once"),
        ({"seeds": [-1]}, "greater than or equal to 0"),
        ({"partitions": []}, "at least 1 item"),
        ({"strategies": []}, "at least 1 item"),
        ({"strategies": [{"name": "fedprox", "mu": mu} for mu in (0.1, 1)]}, "strategies: fedprox must be there only"),
        ({"study": STUDY | {"strategy": {"name": "fedprox"}}}, "leave study.strategy out"),
        ({"study": STUDY | {"preprocessing": {"grid": 16, "margin_mm": 8.0}}}, "only grid matters"),
        ({"study": STUDY | {"privacy": {"epsilon": 3.0, "validation": "a" * 64}}}, "leave privacy out"),
        ({"ablations": {"coarse": {"preprocessing": {"grid": 32}}}}, "ablations cannot change preprocessing"),
        ({"people": PEOPLE | {"calibration_seeds": [11]}}, "must not name a seed twice"),
        ({"people": PEOPLE | {"held_out_seeds": [11, 11]}}, "must not name a seed twice"),
        ({"people": PEOPLE | {"held_out_seeds": []}}, "at least 1 item"),
        ({"added": {"patients": 4, "counts": [1001]}}, "less than 1000"),
        ({"curve": {"patients": [7]}}, "no hospital has 7 patients"),
        ({"curve": {"sites": [3]}}, "curve.sites must be between 1 and"),
        ({"scans_again": 5}, "scans_again must be 0, or at least 2 and at most people.held_out, 4"),
        ({"scans_again": 1}, "scans_again must be 0, or at least 2"),
        ({"partitions": ["iid"], "leave_one_out": True}, "without scanner there is nothing to compare with"),
        ({"ablations": {"wrong": {"model": {"depth": 3}}}}, "depth"),
        ({"people": PEOPLE | {"patients": 990, "controls": 10}}, "at most 999 people"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused_with_the_reason(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        an_experiment(**changes)


@pytest.mark.parametrize("partition", ["iid", "scanner", "label-0.5", "quantity-1"])
def test_everybody_is_dealt_to_one_site_and_stays_on_one_side(cases: Path, partition: str) -> None:
    asked = an_experiment()
    cohorts = cohorts_of(cases, asked, Deal(partition, 1, 6, 1, 2), 0.3)
    one, other = names(cohorts).values()
    assert not one & other
    assert len(one | other) == 14
    for cohort in cohorts.values():
        assert len(cohort.training) + len(cohort.validation) == len(cohort.patients)
    if partition == "scanner":
        assert {name[:2] for name in one} == {"00"}
        assert {name[:2] for name in other} == {"01"}


def test_a_smaller_deal_is_of_the_same_first_people_and_a_left_out_site_takes_its_own_along(cases: Path) -> None:
    asked = an_experiment()
    whole = names(cohorts_of(cases, asked, Deal("scanner", 1, 6, 1, 2), 0.3))
    fewer = names(cohorts_of(cases, asked, Deal("scanner", 1, 4, 1, 2), 0.3))
    assert all(fewer[site] < whole[site] for site in whole)
    assert names(cohorts_of(cases, asked, Deal("scanner", 1, 6, 1, 2, without="site-1"), 0.3)) == {
        "site-2": whole["site-2"]
    }


def test_shuffling_keeps_every_image_and_how_many_are_methylated(cases: Path) -> None:
    asked = an_experiment()

    def labels(permutation: int) -> dict[str, int | None]:
        deal = Deal("scanner", 1, 6, 1, 2, permutation=permutation)
        found = together(cases, asked, replace(deal, permutation=0), 0.3) if not permutation else None
        cohorts = [found] if found else cohorts_of(cases, asked, deal, 0.3).values()
        return {one.patient: one.case.mgmt for cohort in cohorts for patient in cohort.patients for one in patient}

    true, shuffled, again = labels(0), labels(1), labels(2)
    assert true.keys() == shuffled.keys()
    assert true != shuffled != again
    assert [person for person, label in true.items() if label is None] == [
        person for person in true if shuffled[person] is None
    ]
    assert sum(label or 0 for label in true.values()) == sum(label or 0 for label in shuffled.values())


def test_added_people_train_and_validate_nowhere(cases: Path, tmp_path: Path) -> None:
    asked = an_experiment(added={"patients": 4, "counts": [0, 2]})
    make_people(tmp_path, [*asked.trained_on(1), *asked.added_people(2)])
    plain, more = (cohorts_of(tmp_path, asked, job.deal, 0.3) for job in jobs_of(asked) if job.family == "added")
    assert len(more) == 2
    for site, cohort in more.items():
        assert len(cohort.training) == len(plain[site].training) + 2
        assert len(cohort.validation) == len(plain[site].validation)
        ours = {case.image.numpy().tobytes() for case in plain[site].training + plain[site].validation}
        assert not ours & {case.image.numpy().tobytes() for case in cohort.training[-2:]}


def test_kept_scores_are_the_kept_models_on_the_people_in_order(cases: Path, tmp_path: Path) -> None:
    asked = an_experiment()
    job = jobs_of(asked)[1]
    run_job(cases, tmp_path, asked, job)
    fit, people = read_fit(tmp_path, asked, job), asked.held_out((11,))
    images = torch.stack([case.image for each in people for piece in read_people(cases, each) for case in piece])
    model = fitted_model(tmp_path, asked, job)
    np.testing.assert_allclose(fit.scores["held_out.mgmt"], predict_scores(model, images).mgmt, atol=1e-6)
    held = [case for each in people for piece in read_people(cases, each) for case in piece]
    labels = labels_of(people)
    assert [None if np.isnan(one) else int(one) for one in labels["mgmt"]] == [case.mgmt for case in held]
    assert labels["tumor"].tolist() == [case.tumor for case in held]
    assert len(fit.scores["calibration.tumor"]) == 10


def test_a_kept_training_is_judged_on_more_people_without_training_again(cases: Path, tmp_path: Path) -> None:
    asked = an_experiment()
    job = replace(jobs_of(asked)[0], calibrates=False)
    run_job(cases, tmp_path, asked, job)
    assert is_done(tmp_path, asked, job)
    trained = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors")}
    more = replace(job, calibrates=True)
    assert not is_done(tmp_path, asked, more)
    run_job(cases, tmp_path, asked, more)
    assert is_done(tmp_path, asked, more)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors")} == trained
    assert len(read_fit(tmp_path, asked, more).scores) == 4


def test_a_federation_that_stops_early_counts_the_rounds_that_it_trained_and_what_it_sent(
    cases: Path, tmp_path: Path
) -> None:
    rounds = {"federation": {"rounds": 6}, "training": {"learning_rate": 1e-9}, "stopping": {"patience": 1}}
    asked = an_experiment(study=STUDY | rounds, seeds=[1], alone=False)
    for job in jobs_of(asked):
        run_job(cases, tmp_path, asked, job)
    fits = [read_fit(tmp_path, asked, job) for job in jobs_of(asked)]
    (federated,) = [fit for fit in fits if fit.job.how == "federated"]
    # It hardly moves: round 4 is validated, past half of the six, and no better; what round 5 made is not validated.
    assert 4 <= federated.rounds < 6
    assert len(federated.curve) == federated.rounds - 1
    price = {price.name: price for price in worth_of(asked, fits).prices}["iid, fedavg"]
    assert price.rounds == federated.rounds
    # To each of two sites and back in each round.
    assert price.megabytes == pytest.approx(4 * federated.parameters * 2 * 2 * federated.rounds / 1e6)


def test_a_federation_that_goes_on_tells_the_code_it_was_begun_with_and_no_time(cases: Path, tmp_path: Path) -> None:
    asked = an_experiment()
    job = jobs_of(asked)[1]
    folder = tmp_path / job.key(asked.people)
    federate(cohorts_of(cases, asked, job.deal, 0.3), job.study, folder / "run")
    (folder / "code").write_text("older")
    run_job(cases, tmp_path, asked, job)
    fit = read_fit(tmp_path, asked, job)
    assert (fit.code, fit.cpu_seconds) == (f"older, {code_version()}", None)
    assert not (folder / "code").exists()


def test_what_goes_wrong_is_told_with_the_training_it_went_wrong_in(tmp_path: Path) -> None:
    asked = an_experiment()
    with pytest.raises(DataError, match=r"^iid, fedavg, seed 1: "):
        do_jobs(asked, jobs_of(asked)[1:2], tmp_path / "fits", tmp_path / "nobody", map)


def test_a_linear_model_is_kept_with_what_it_says_of_the_people_in_order(cases: Path, tmp_path: Path) -> None:
    asked = an_experiment(baselines=True, alone=False)
    jobs = {job.how: job for job in jobs_of(asked) if job.deal.seed == 1}
    people = asked.held_out((11,))
    held = [case for each in people for piece in read_people(cases, each) for case in piece]
    images = [case.image.numpy() for case in held]
    run_job(cases, tmp_path, asked, jobs["pooled"])
    training = together(cases, asked, jobs["pooled"].deal, 0.3).training
    found = found_maps(fitted_model(tmp_path, asked, jobs["pooled"]), images)
    trained_on = found_maps(fitted_model(tmp_path, asked, jobs["pooled"]), [case.image.numpy() for case in training])
    for how, maps, theirs in (
        ("features of masks", true_maps(held), true_maps(training)),
        ("features of found regions", found, trained_on),
    ):
        run_linear(cases, tmp_path, asked, jobs[how])
        expected = train_hand_crafted(training, theirs, seed=1).methylation(images, maps)
        np.testing.assert_allclose(read_fit(tmp_path, asked, jobs[how]).scores["held_out.mgmt"], expected, atol=1e-6)


def test_second_and_worse_scans_are_kept(cases: Path, tmp_path: Path) -> None:
    asked = an_experiment(scans_again=2, alone=False)
    job = next(job for job in jobs_of(asked) if job.how == "federated")
    run_job(cases, tmp_path, asked, job)
    parts, effects = scans_again(cases, tmp_path, asked, job)
    # Two patients of each of two hospitals, as they are and after each corruption.
    assert {effect.cases for effect in effects} == {4}
    people = asked.held_out((11,))
    images = torch.stack([case.image for each in people for case in next(read_people(cases, each))[:2]])
    second = json.loads(next(tmp_path.rglob("second-scans-2.json")).read_text())
    said = predict_scores(fitted_model(tmp_path, asked, job), images).mgmt
    np.testing.assert_allclose(second[SAME][0], said, atol=5e-3)  # kept cases are in half precision
    assert second[SAME][0] == second[OTHER][0]
    assert second[SAME][1] != second[OTHER][1] != second[SAME][0]
    again, kept = scans_again(cases, tmp_path, asked, job)
    assert kept == effects
    assert [part.title for part in again] == [part.title for part in parts]


def test_a_whole_experiment_tells_what_its_models_score_and_trains_nothing_twice(cases: Path, tmp_path: Path) -> None:
    asked = an_experiment(
        partitions=["iid", "scanner"],
        leave_one_out=True,
        permutations=1,
        permuted_patients=4,
        curve={"patients": [4, 6], "sites": [1, 2]},
        ablations={"no dropout": {"model": {"dropout": 0.0}}},
        added={"patients": 4, "counts": [0, 2]},
        baselines=True,
        scans_again=2,
    )
    worth, page = run_experiment(asked, tmp_path, cases, workers=2, tools=[Tool.TENSORBOARD])
    told = json.loads((tmp_path / "results.json").read_text())
    text = page.read_text()
    for title in (
        "Federated, pooled, alone",
        "gain, scanner",
        "contribution",
        "Ablations",
        "Permutation",
        "added",
        "takes",
    ):
        assert title in text
    # A federation against pooling, by its definition.
    pooled, federated = (next(job for job in jobs_of(asked) if job.how == how) for how in ("pooled", "federated"))
    labels = labels_of(asked.held_out((11,)))["mgmt"]
    known = ~np.isnan(labels)
    areas = [
        auc(labels[known], read_fit(tmp_path / "fits", asked, job).scores["held_out.mgmt"][known])
        for job in (federated, pooled)
    ]
    against = told["against"][0]
    assert (against["partition"], against["other"]) == ("iid", "pooled")
    assert against["models"][0]["difference"] == pytest.approx(areas[0] - areas[1])
    kept = tmp_path / "tracking" / "iid-fedavg-seed-1"
    assert json.loads((kept / "metrics.json").read_text())["held_out/mgmt_auc"] == pytest.approx(areas[0])
    assert [json.loads(line)["step"] for line in (kept / "steps.jsonl").read_text().splitlines()] == [1, 2]
    assert list((kept / "tensorboard").iterdir())
    # The learning curve's last point is of all six patients, and so the comparison's own trainings.
    assert [size.patients for size in worth.patients] == [4, 6]
    assert (worth.patients[1].federated.auc, worth.patients[1].pooled.auc) == pytest.approx(areas)
    alone = [fit for fit in worth.areas if fit.name.startswith("iid, site-") and fit.name.endswith("seed 1")]
    assert worth.patients[1].alone == pytest.approx([fit.auc for fit in alone])
    assert worth.people == 8
    # Each federation of the comparison, for both heads; fitted on one ten people and shown on the other ten.
    assert [(one["model"], one["head"]) for one in told["trust"]][:2] == [
        ("iid, fedavg, seed 1", "mgmt"), ("iid, fedavg, seed 1", "tumor"),
    ]  # fmt: skip
    assert len(told["trust"]) == 2 * 2 * 2
    assert all(sum(one["held_out_cases"].values()) == (8 if one["head"] == "mgmt" else 10) for one in told["trust"])

    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "fits").rglob("*.*")}
    again, _ = run_experiment(asked, tmp_path, cases, workers=1)
    assert again == worth
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "fits").rglob("*.*")} == written


def test_the_shipped_experiments_load() -> None:
    import tomllib

    for path in Path("simulations/scenarios/experiments").glob("*.toml"):
        asked = Experiment.model_validate(tomllib.loads(path.read_text()))
        assert isinstance(asked.study, Study)
        assert jobs_of(asked)
