"""What a hospital does between two averages: a fixed number of epochs on its own cases, and counts for a model.

Sources: Loshchilov 2019 (AdamW), Smith 2018 (one cycle), Pascanu 2013 (gradient clipping).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import record_function

from core.errors import FederationError
from core.learning.augmentation import sample
from core.learning.cases import TrainingCase, augmented
from core.learning.evaluation import evaluate
from core.learning.losses import CaseLosses, ClassWeights, balanced, case_losses
from core.learning.metrics import add, scores_of
from core.learning.model import GliomaNet, Output
from core.learning.weights import flatten, trained
from core.messages import Counts, Flat
from core.progress import Report, silent
from core.study import FedAvg, FedProx, Study, is_settled, is_time_to_stop
from fl_client.epoch_checkpoint import EpochCheckpoint, checkpoint_of, go_on_from

# The one cycle rises over this share of the study, from and down to a fraction of the peak.
WARM_UP = 0.2
LOWEST = 0.02
# The step that a report names.
TRAINING = "training"
CPU = torch.device("cpu")
_TASKS = CaseLosses._fields


@dataclass(frozen=True)
class Trained:
    """What a site training alone ends with.

    Attributes:
        weights: of the best epoch: of the settled ones the one with the lowest validation loss.
        best_epoch: 1, 2, ...
        history: training and validation counts of each epoch.
    """

    weights: Flat
    best_epoch: int
    history: tuple[tuple[Counts, Counts], ...]


def learning_rate(study: Study, progress: float) -> float:
    """Return the learning rate at a point of the study: one cycle over all its rounds.

    Args:
        study: sets the peak.
        progress: 0 at the first step of the first round, 1 after the last step of the last.
    """
    if progress < WARM_UP:
        height = progress / WARM_UP
    else:
        height = (1 + cos(pi * min(1.0, (progress - WARM_UP) / (1 - WARM_UP)))) / 2
    return study.training.learning_rate * (LOWEST + (1 - LOWEST) * height)


def train_one_round(
    model: GliomaNet,
    cases: Sequence[TrainingCase],
    study: Study,
    site: str,
    round_number: int,
    device: torch.device = CPU,
    report: Report = silent,
    resume: EpochCheckpoint | None = None,
    keep: Callable[[EpochCheckpoint], None] | None = None,
) -> Counts:
    """Train a model in place for one round's epochs, with a fresh optimizer.

    The result is a function of the incoming weights, the cases, the study, the site's name and the round alone: on a
    CPU with the same number of threads to the last bit, whatever ran before and however often it was interrupted.

    Args:
        model: the incoming model; moved to `device`.
        cases: this site's training cases.
        study: every setting.
        site: its name, part of the seed.
        round_number: 1, 2, ...
        device: where to train.
        report: told after each batch; an error that it raises ends the training.
        resume: where this round's training stood when it was interrupted; the model's weights are then its.
        keep: given a checkpoint after each epoch but the last, which the answer follows; None where nobody wants any.
    Returns: sums over all epochs: `cases`, `loss`, and each task's loss.
    Raises: FederationError: the loss is not a finite number.
    """
    epochs = study.training.epochs_per_round
    schedule = epochs * study.federation.rounds
    training = Training(model, study, class_weights(cases), device)
    done, counts = 0, Counts()
    if resume is not None:
        # Nothing random is restored: site, round and epoch seed all that an epoch draws.
        go_on_from(resume, training.model, training.optimizer, training.scaler)
        done, counts = resume.epochs, resume.training
    for epoch in range(done, epochs):
        begun = (round_number - 1) * epochs + epoch
        span = (begun / schedule, (begun + 1) / schedule)
        counts = add(counts, training.epoch(cases, (site, round_number, epoch), span, _within(report, epoch, epochs)))
        if keep is not None and epoch + 1 < epochs:
            keep(checkpoint_of(training.model, training.optimizer, training.scaler, epoch + 1, counts))
    return counts


def train_alone(
    model: nn.Module,
    training: Sequence[TrainingCase],
    validation: Sequence[TrainingCase],
    study: Study,
    site: str,
    epochs: int,
    patience: int,
    device: torch.device = CPU,
    report: Report = silent,
) -> Trained:
    """Train a model in place without a federation, and keep its best epoch.

    Args:
        model: where to start; any whose answer is an `Output`.
        training, validation: the cases.
        study: every setting but the number of epochs and the strategy.
        site: a name, part of the seed.
        epochs: the most, over which the learning rate makes its one cycle.
        patience: epochs without a new best after which to stop, once half of the schedule has passed.
        device: where to train.
        report: told after each epoch.
    Raises: FederationError: the loss is not a finite number.
    """
    # Nobody sends weights to be held to: FedProx would hold to the first ones for ever.
    run = Training(model, study.model_copy(update={"strategy": FedAvg()}), class_weights(training), device)
    best, best_epoch, lowest = flatten(model), 0, (True, float("inf"))
    history = []
    for epoch in range(epochs):
        trained = run.epoch(training, (site, 0, epoch), (epoch / epochs, (epoch + 1) / epochs))
        validated = evaluate(model, validation, device)
        history.append((trained, validated))
        report(f"{site}, no federation", epoch + 1, epochs)
        loss = scores_of(validated).loss
        if loss is not None and (rank := (not is_settled(epoch + 1, epochs), loss)) < lowest:
            best, best_epoch, lowest = flatten(model), epoch + 1, rank
        if is_time_to_stop(epoch + 1, best_epoch, epochs, patience):
            report(f"{site}, no federation", epoch + 1, epoch + 1)
            break
    return Trained(best, best_epoch, tuple(history))


class Training:
    """A model with its optimizer between two epochs."""

    def __init__(self, model: nn.Module, study: Study, weights: ClassWeights, device: torch.device) -> None:
        self.model = model.to(device)
        self.study = study
        self.weights = weights
        self.device = device
        self.precision = precision_of(study, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == torch.float16)
        # Scales and offsets of a normalization are not pulled towards zero.
        self.parameters = list(trained(model).values())
        decayed = [values for values in self.parameters if values.ndim > 1]
        free = [values for values in self.parameters if values.ndim <= 1]
        # What FedProx holds a site to.
        self.sent = [values.detach().clone() for values in self.parameters] if mu_of(study) else []
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": study.training.weight_decay}, {"params": free, "weight_decay": 0.0}],
            fused=True,  # a fifth of a CPU's time, and half precision's scaler then waits for no GPU
        )

    def epoch(
        self,
        cases: Sequence[TrainingCase],
        key: tuple[str, int, int],
        span: tuple[float, float],
        report: Report = silent,
    ) -> Counts:
        """Train on each case once.

        Args:
            cases: in any order that is the same each time.
            key: site, round and epoch, which with the study's seed decide order, augmentation and dropout.
            span: the study's progress before and after, each 0 to 1.
            report: told after each batch.
        """
        seed = seed_of(self.study.seed, *key)
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(cases))
        # Batches as even as can be: a last one of a single case would weigh as much as a full one.
        batches = np.array_split(order, -(-len(cases) // self.study.training.batch_size))
        sums = torch.zeros(len(_TASKS), dtype=torch.float64, device=self.device)
        finite = torch.ones((), dtype=torch.bool, device=self.device)
        self.model.train()
        with seeded(seed, self.device):
            for number, batch in enumerate(batches):
                progress = span[0] + (span[1] - span[0]) * number / len(batches)
                chosen = [cases[place] for place in batch]
                losses, is_finite = self._step(chosen, generator, learning_rate(self.study, progress))
                sums, finite = sums + losses, finite & is_finite
                report(TRAINING, number + 1, len(batches))
        if not finite.item():  # only here does a GPU's work have to be waited for
            raise FederationError(
                "Training diverged: the loss is not a finite number",
                fix="lower training.learning_rate, or look for broken prepared cases",
            )
        return _counts_of(len(cases), sums)

    def _step(
        self, cases: Sequence[TrainingCase], generator: np.random.Generator, rate: float
    ) -> tuple[Tensor, Tensor]:
        """Train on a batch; return the sum of each task's losses, float64 [3], and whether all was finite, bool []."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        drawn = [sample(self.study.augmentation, generator) for _ in cases]
        image, targets = augmented(cases, drawn, self.device)
        self.optimizer.zero_grad()
        mixed = torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)
        with record_function("forward"), mixed:
            output = self.model(image)
        with record_function("loss"):
            losses = case_losses(in_full_precision(output), targets, self.weights)
            loss = losses.total(self.study.training.tumor_map_weight).mean()
        with record_function("backward"):
            torch.autograd.backward(self.scaler.scale(loss))
        with record_function("optimizer"):
            self.scaler.unscale_(self.optimizer)
            for values, sent in zip(self.parameters if self.sent else (), self.sent, strict=True):
                assert values.grad is not None  # noqa: S101 (backward has just run)
                # The gradient of mu / 2 times the squared distance, without the pass that the loss's term would take.
                values.grad.add_(values.detach() - sent, alpha=mu_of(self.study))
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.study.training.gradient_clip)
            # Half precision overflows now and then: the scaler skips such a step and mends its scale.
            is_finite = loss.isfinite() if self.scaler.is_enabled() else loss.isfinite() & norm.isfinite()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return torch.stack([values.detach().sum() for values in losses]).double(), is_finite.detach()


def _within(report: Report, epoch: int, epochs: int) -> Report:
    """Return a report of one epoch's batches as a part of all epochs'."""
    return lambda step, done, total: report(step, epoch * total + done, epochs * total)


def class_weights(cases: Sequence[TrainingCase]) -> ClassWeights:
    """Return the weights that balance a site's own classes, within bounds."""
    tumor, mgmt = [case.tumor for case in cases], [case.mgmt for case in cases]
    return ClassWeights(balanced(tumor.count(0), tumor.count(1)), balanced(mgmt.count(0), mgmt.count(1)))


def _counts_of(cases: int, sums: Tensor) -> Counts:
    """Return counts of an epoch: its cases, each task's loss and all tasks' together, in equal parts."""
    told = {f"{task}_loss": value for task, value in zip(_TASKS, sums.tolist(), strict=True)}
    return {"cases": float(cases), "loss": sum(told.values()), **told}


def mu_of(study: Study) -> float:
    """Return how strongly a site is held to the weights that it was sent: 0 for all strategies but FedProx.

    Source: Li et al. 2020, arXiv:1812.06127, algorithm 2.
    """
    return study.strategy.mu if isinstance(study.strategy, FedProx) else 0.0


def precision_of(study: Study, device: torch.device) -> torch.dtype:
    """Return the number format of a training step: half precision where a GPU is made for it."""
    if study.training.precision == "float32" or device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def seed_of(*key: str | int) -> int:
    """Return a 63-bit seed that any part of its key changes."""
    return int.from_bytes(hashlib.sha256(json.dumps(key).encode()).digest()[:8], "big") >> 1


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed what draws inside (dropout) and leave the caller's random state as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def in_full_precision(output: Output) -> Output:
    """Return an output as float32, in which losses are summed."""
    return Output(output.tumor_map.float(), output.tumor.float(), output.mgmt.float())
