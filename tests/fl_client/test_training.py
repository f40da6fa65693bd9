from itertools import pairwise

import numpy as np
import pytest
import torch

from core.errors import FederationError
from core.learning.cases import TrainingCase, training_case
from core.learning.evaluation import evaluate
from core.learning.losses import ClassWeights
from core.learning.metrics import add, scores_of
from core.learning.model import build_model
from core.learning.prediction import look, predict_scores
from core.learning.weights import flatten, restore
from core.study import FedProx, Study
from fl_client.training import class_weights, learning_rate, precision_of, train_alone, train_one_round

torch.set_num_threads(1)

STUDY = Study(
    name="test",
    model={"preset": "tiny"},
    preprocessing={"grid": 16},
    training={"epochs_per_round": 2, "learning_rate": 1e-2},
    federation={"rounds": 4},
)


def a_case(number, mgmt=None, masked=True):
    """A ball somewhere in noise, brighter on T1wCE where methylated."""
    rng = np.random.default_rng(number)
    mgmt = number % 2 if mgmt is None else mgmt
    middle = rng.integers(5, 11, 3)
    places = np.stack(np.meshgrid(*[np.arange(16)] * 3, indexing="ij"))
    ball = np.square(places - middle[:, None, None, None]).sum(0) < 16
    image = rng.standard_normal((4, 16, 16, 16)).astype(np.float32) * 0.3
    image[2:, ball] += 2
    image[1, ball] += 3 * mgmt
    return training_case(image, np.where(ball, 2, 0).astype(np.uint8) if masked else None, mgmt)


def some_cases(count=6, first=0):
    return [a_case(first + number) for number in range(count)]


def a_model(seed=1):
    return build_model(STUDY.model, seed)


def trained(cases, study=STUDY, site="north", round_number=1):
    model = a_model()
    counts = train_one_round(model, cases, study, site, round_number)
    return flatten(model), counts


def test_the_learning_rate_makes_one_cycle_over_the_study():
    rates = [learning_rate(STUDY, step / 100) for step in range(101)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(0.01)
    assert 0 < top < 50
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a > b for a, b in pairwise(rates[top:]))
    assert rates[0] == pytest.approx(rates[-1]) == pytest.approx(0.01 / 50)


def test_a_round_goes_on_where_the_cycle_stood(monkeypatch):
    asked = []
    monkeypatch.setattr("fl_client.training.learning_rate", lambda study, progress: asked.append(progress) or 1e-3)
    for round_number in range(1, 5):
        trained(some_cases(8), round_number=round_number)
    # 4 rounds of 2 epochs of 2 batches.
    assert asked == pytest.approx([step / 16 for step in range(16)])


def test_the_same_round_gives_the_same_bits_whatever_ran_before():
    cases = some_cases()
    first, first_counts = trained(cases)
    torch.rand(100)
    np.random.default_rng().random(5)
    trained(cases, site="south")
    second, second_counts = trained(cases)
    assert first.tobytes() == second.tobytes()
    assert first_counts == second_counts


@pytest.mark.parametrize(
    "other", [{"site": "south"}, {"round_number": 2}, {"study": STUDY.model_copy(update={"seed": 8})}]
)
def test_site_round_and_seed_each_change_what_is_drawn(other, monkeypatch):
    # The rate also depends on the round, which is not what is asked here.
    monkeypatch.setattr("fl_client.training.learning_rate", lambda study, progress: 1e-3)
    cases = some_cases()
    assert trained(cases)[0].tobytes() != trained(cases, **other)[0].tobytes()


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trained(some_cases(2))
    assert torch.equal(torch.rand(2), expected)


def test_training_counts_every_case_once_an_epoch():
    counts = train_one_round(a_model(), some_cases(5), STUDY, "north", 1)
    assert counts["cases"] == 10
    assert counts["loss"] == pytest.approx(counts["mgmt_loss"] + counts["tumor_loss"] + counts["tumor_map_loss"])


def test_a_planted_signal_is_learned():
    training, unseen = some_cases(12), some_cases(24, first=100)
    study = STUDY.model_copy(update={"federation": STUDY.federation.model_copy(update={"rounds": 8})})
    model = a_model()
    before = scores_of(evaluate(model, unseen))
    for round_number in range(1, 9):
        train_one_round(model, training, study, "north", round_number)
    after = scores_of(evaluate(model, unseen))
    assert after.mgmt.auc > 0.95
    assert after.dice[1] > 0.5 > before.dice[1]
    assert after.loss < before.loss


def test_missing_labels_and_masks_are_trained_around():
    cases = [a_case(0), a_case(1, masked=False), TrainingCase(a_case(2).image, None, None, None)]
    weights, counts = trained(cases)
    assert np.isfinite(weights).all()
    assert counts["cases"] == 6


def test_cases_without_any_label_teach_nothing_but_decay():
    silent = [TrainingCase(case.image, None, None, None) for case in some_cases(4)]
    study = STUDY.model_copy(update={"training": STUDY.training.model_copy(update={"weight_decay": 0.0})})
    assert trained(silent, study)[0].tobytes() == flatten(a_model()).tobytes()


def test_a_gradient_is_clipped():
    # Cases a thousand times too bright have large gradients; AdamW alone would not show it, the norm does.
    study = STUDY.model_copy(update={"training": STUDY.training.model_copy(update={"gradient_clip": 1e-3})})
    norms = []
    original = torch.nn.utils.clip_grad_norm_

    def watched(parameters, limit):
        kept = list(parameters)
        original(kept, limit)
        norms.append(torch.stack([p.grad.norm() for p in kept]).norm().item())
        return torch.tensor(1.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.utils, "clip_grad_norm_", watched)
        trained(some_cases(2), study)
    assert norms
    assert max(norms) <= 1e-3 * 1.001


def test_a_loss_that_is_no_number_is_a_named_error():
    broken = TrainingCase(torch.full((4, 16, 16, 16), float("inf")), None, 1, None)
    with pytest.raises(FederationError, match="diverged") as refusal:
        trained([broken, a_case(1)])
    assert "learning_rate" in refusal.value.fix


def test_a_rare_class_weighs_more_within_bounds():
    cases = [a_case(n, mgmt=0) for n in range(9)] + [a_case(9, mgmt=1)]
    weights = class_weights(cases)
    assert weights.mgmt == (pytest.approx(5 / 9), 4)
    assert weights.tumor == (1, 1)
    assert class_weights([TrainingCase(case.image, None, None, None) for case in cases]) == ClassWeights()


def test_counts_of_batches_are_those_of_single_cases_added_up():
    model, cases = a_model(), [*some_cases(10), a_case(11, masked=False)]
    whole = evaluate(model, cases)
    total = {}
    for case in cases:
        total = add(total, evaluate(model, [case]))
    assert whole.keys() == total.keys()
    for name, value in whole.items():
        assert total[name] == pytest.approx(value, rel=1e-4), name
    assert whole["cases"] == 11


def test_evaluation_changes_neither_weights_nor_mode():
    model = a_model()
    model.train()
    before = flatten(model)
    evaluate(model, some_cases(2))
    assert model.training
    assert flatten(model).tobytes() == before.tobytes()


def test_predictions_are_probabilities_of_each_case_in_order():
    model, cases = a_model(), some_cases(11)
    predicted = predict_scores(model, torch.stack([case.image for case in cases]))
    assert predicted.mgmt.shape == predicted.tumor.shape == (11,)
    assert predicted.tumor_map.shape == (11, 3, 4, 4, 4)
    for number in (0, 10):
        output = look(model, cases[number].image[None])
        assert predicted.mgmt[number] == pytest.approx(torch.sigmoid(output.mgmt).item(), abs=1e-6)
        np.testing.assert_allclose(predicted.tumor_map[number], torch.sigmoid(output.tumor_map)[0], atol=1e-6)


def test_a_site_alone_keeps_the_best_of_its_last_epochs():
    model, validation = a_model(), some_cases(4, first=50)
    result = train_alone(model, some_cases(6), validation, STUDY, "north", epochs=8, patience=8)
    losses = [scores_of(validated).loss for _, validated in result.history]
    assert len(losses) == 8
    settled = losses[5:]  # epochs 6, 7 and 8
    assert result.best_epoch == 6 + settled.index(min(settled))
    best = a_model()
    restore(best, result.weights)
    assert scores_of(evaluate(best, validation)).loss == pytest.approx(min(settled))


def test_a_site_alone_is_held_to_nothing():
    held = STUDY.model_copy(update={"strategy": FedProx(mu=100)})
    weights = [
        train_alone(a_model(), some_cases(6), [], study, "north", epochs=2, patience=2).weights
        for study in (STUDY, held)
    ]
    assert weights[0].tobytes() == weights[1].tobytes()


def stopped_after(losses, epochs, patience):
    """Return how many epochs a site trains that sees these validation losses."""
    seen = iter(losses)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fl_client.training.evaluate", lambda model, cases, device: {"cases": 1.0, "loss": next(seen)})
        patch.setattr("fl_client.training.Training.epoch", lambda *_: {})
        result = train_alone(a_model(), some_cases(2), [], STUDY, "north", epochs, patience)
    return len(result.history), result.best_epoch


def test_early_stopping_waits_out_the_plateau_and_then_its_patience():
    # No progress at all for 20 epochs: patience counts from the middle of the schedule.
    assert stopped_after([1.0] * 20, 20, 3) == (13, 1)
    assert stopped_after([2.0, *[3.0] * 9, 1.0, *[2.0] * 9], 20, 3) == (14, 11)
    assert stopped_after([20.0 - n for n in range(20)], 20, 3) == (20, 20)
    # The first settled epoch, the fifteenth of twenty, goes before all earlier ones.
    assert stopped_after([1.0, *[2.0] * 19], 20, 12) == (20, 15)


def test_half_precision_is_for_gpus():
    assert precision_of(STUDY, torch.device("cpu")) == torch.float32
    full = STUDY.model_copy(update={"training": STUDY.training.model_copy(update={"precision": "float32"})})
    assert precision_of(full, torch.device("cuda")) == torch.float32
    with pytest.MonkeyPatch.context() as patch:
        for able, expected in ((True, torch.bfloat16), (False, torch.float16)):
            patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, able=able: able)
            assert precision_of(STUDY, torch.device("cuda")) == expected
