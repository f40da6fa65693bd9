"""What a scenario's page says of how it was trained."""

import pytest

from fl_server.checkpoints import RoundRecord, SiteRound
from simulations.cohorts import Hospitals
from simulations.evaluation import Evaluation
from simulations.federation import RunResult
from simulations.scenario import Outcome, Scenario
from simulations.scenario_report import setting_of

HOSPITALS = Hospitals(("north", "south"), "2 hospitals", "of an outside hospital")


def an_outcome(trained, privacy=None, epochs=1, **strategy):
    """A scenario of five rounds of which so many were trained; the second was tried twice."""
    study = {
        "name": "s",
        "federation": {"rounds": 5},
        "strategy": strategy or {"name": "fedavg"},
        "training": {"epochs_per_round": epochs},
        "privacy": privacy or {},
    }
    tries = [(number, True, 6) for number in range(1, trained + 1)]
    tries.insert(1, (2, False, 6))
    if trained == 5:
        tries.append((6, True, 0))
    history = tuple(
        RoundRecord(number, counted, {"north": SiteRound({}, "", examples)}, {}, {}, {}, 0.0)
        for number, counted, examples in tries
    )
    return Outcome(
        scenario=Scenario(study=study),
        rows=(),
        probabilities={},
        labels=[0, 1, 1],
        patients=(),
        predictions=(),
        tumor_scores=(),
        evaluation=Evaluation((), ()),
        excluded={},
        hospitals=HOSPITALS,
        run=RunResult("s-1", 1, history),
        seconds={},
    )


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (an_outcome(5), "FedAvg over 5 rounds of 1 epoch."),
        (an_outcome(3, epochs=2), "FedAvg over 3 of 5 planned rounds of 2 epochs."),
        (an_outcome(5, name="fedprox"), "FedProx over 5 rounds of 1 epoch."),
        (an_outcome(4, name="fedadam"), "FedAdam over 4 of 5 planned rounds of 1 epoch."),
        (
            an_outcome(5, privacy={"epsilon": 1.0, "validation": "0" * 64, "steps_per_round": 4}),
            "FedAvg over 5 rounds of 4 noised steps.",
        ),
    ],
)
def test_the_page_names_the_strategy_and_the_rounds_that_were_trained(outcome, told):
    assert setting_of(outcome) == (
        f"2 hospitals, trained as a federation: {told} No scan left its hospital. All models below are measured on the "
        "same 3 patients of an outside hospital, by their raw scores."
    )
