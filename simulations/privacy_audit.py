"""An audit of our own differential privacy that can fail: what becomes known of a patient, beside what is claimed.

Canaries are trained together with ordinary patients, in one run of a site's own code. A canary is a patient whose loss
is linear in one parameter: the loudest that a patient can be, pulling at one place and past the clipping norm. A coin
decides which canaries take part. Then somebody who sees the model before and after, as a coordinator does, tells by how
far each canary's parameter moved whether it took part. How well that can be told is a lower bound of epsilon.

The bound rests on the noise being Gaussian and every patient in every step, which is what makes it tight enough to see
noise of half the claimed deviation. Bugs planted in the code show that it sees them. Out of its sight are the drawing
of patients, noise that repeats from step to step, and a few parameters without noise among many with it.

Sources: Jagielski 2020 (canaries), Nasr 2023 (bounds by Gaussian differential privacy), Steinke 2023 (one run, coins).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import parameters_to_vector

from core.imaging.volume import SEQUENCES
from core.learning.privacy import PrivacyBudget, Spend, epsilon_of, noise_for
from core.progress import Report, silent
from fl_client.differential_privacy import Loss, Mechanism, PrivateGradient, SecureRandom, take_steps
from simulations.privacy_audit_bound import MOST_DISTANCE, epsilon_at, least_distance

DELTA = 1e-5
# The largest epsilon that a study may claim, and the largest that every card calls strong.
WEAK, STRONG = 8.0, 1.0
# The chance that a case's bound is above the truth.
ERROR = 1e-3
# Where bounds end: what is above protects nobody, by whatever number.
MOST_EPSILON = epsilon_at(DELTA, MOST_DISTANCE)

CLIP = 1.0
# Norm of a canary's gradient over the clipping norm: the clipping has to do its part.
LOUDNESS = 10.0
PATIENTS, VIEWS, GRID = 8, 2, 16
LEARNING_RATE = 1.0
# How much of a step's sum the planted stale gradient keeps for the next.
KEPT = 0.5


class HalfNoise(PrivateGradient):
    """A planted bug: the noise has half the deviation that is claimed."""

    def noised(self, total: list[Tensor]) -> list[Tensor]:
        """Return the mean of the sum and the noised sum."""
        plain = [sum_.clone() for sum_ in total]
        return [(before + after) / 2 for before, after in zip(plain, super().noised(total), strict=True)]


class DoubledClip(PrivateGradient):
    """A planted bug: a gradient passes with up to twice the clipping norm."""

    def scale_of(self, gradient: Sequence[Tensor]) -> float:
        """Return twice the scale, but never more than 1."""
        return min(1.0, 2 * super().scale_of(gradient))


class StaleGradient(PrivateGradient):
    """A planted bug: a step's sum starts with part of the sum before, where it should start with zero."""

    before: Sequence[Tensor] = ()

    def summed(self, losses: Iterable[Loss]) -> list[Tensor]:
        """Return the sum with part of the last one in it."""
        total = super().summed(losses)
        for now, before in zip(total, self.before, strict=bool(self.before)):
            now.add_(before, alpha=KEPT)
        self.before = [sum_.clone() for sum_ in total]
        return total


@dataclass(frozen=True)
class Effort:
    """How much an audit does.

    Attributes:
        canaries: parameters that are watched.
        steps: of one training.
        bugs_at: the epsilon that code with a planted bug claims; the smaller, the more canaries it takes.
    """

    canaries: int
    steps: int
    bugs_at: float


QUICK = Effort(canaries=1000, steps=3, bugs_at=WEAK)
FULL = Effort(canaries=6000, steps=10, bugs_at=STRONG)

BUGS = {
    "planted-bug-half-noise": HalfNoise,
    "planted-bug-doubled-clip": DoubledClip,
    "planted-bug-stale-gradient": StaleGradient,
}

# Whether the code is right, whether its claim is broken.
VERDICTS = {
    (True, False): "claim stands",
    (True, True): "CLAIM BROKEN",
    (False, True): "seen",
    (False, False): "NOT SEEN",
}
MEANING = (
    "At least: an epsilon below it is ruled out for what was trained, in each case with 99.9 % confidence, by what the "
    "model's own movement tells of who took part. Above the claim it proves the claim wrong; below, it proves nothing. "
    f"No bound is taken beyond {MOST_EPSILON:.2f}."
)


@dataclass(frozen=True)
class Finding:
    """What came of one case.

    Attributes:
        case: its name.
        epsilon_claimed: by the accountant; None where nothing is claimed.
        epsilon_lower: what epsilon is at least, in 999 of 1,000 audits; at most `MOST_EPSILON`.
        is_right: whether the code is as it should be, so that the bound must not be above the claim.
    """

    case: str
    epsilon_claimed: float | None
    epsilon_lower: float
    is_right: bool

    @property
    def is_broken(self) -> bool:
        """Whether more becomes known of a patient than is claimed, or, without a claim, than may ever be claimed."""
        return self.epsilon_lower > (WEAK if self.epsilon_claimed is None else self.epsilon_claimed)

    @property
    def passed(self) -> bool:
        """Whether the case came out as it should."""
        return self.is_broken != self.is_right


def run_audit(effort: Effort, random: SecureRandom, report: Report = silent) -> list[Finding]:
    """Audit the code as it is, without noise and with two claims, and with each bug planted.

    Args:
        effort: how much is done.
        random: of the noise and the coins.
        report: told of each case.
    Returns: the findings, of the planted bugs at last the one that was hardest to see again, as `planted-bug`.
    """
    plans: list[tuple[str, float | None, type[PrivateGradient]]] = [
        ("off", None, PrivateGradient),
        ("weak", WEAK, PrivateGradient),
        ("strong", STRONG, PrivateGradient),
        *((case, effort.bugs_at, bug) for case, bug in BUGS.items()),
    ]
    findings = []
    for done, (case, epsilon, audited) in enumerate(plans):
        report("cases", done, len(plans))
        findings.append(examined(case, epsilon, audited, effort, random))
    report("cases", len(plans), len(plans))
    return [*findings, hardest(one for one in findings if one.case in BUGS)]


def hardest(bugs: Iterable[Finding]) -> Finding:
    """Return the planted bug whose bound is closest to its claim, as `planted-bug`."""
    return replace(min(bugs, key=lambda one: one.epsilon_lower / (one.epsilon_claimed or 1)), case="planted-bug")


def examined(
    case: str, epsilon: float | None, audited: type[PrivateGradient], effort: Effort, random: SecureRandom
) -> Finding:
    """Train once with canaries, and tell what the model's movement gives away of them.

    Args:
        case: its name.
        epsilon: what the noise is planned for; None for no noise.
        audited: the code, as it is or with a bug.
        effort, random: as in `run_audit`.
    """
    noise = 0.0 if epsilon is None else noise_for([PrivacyBudget(epsilon, DELTA)], 1.0, effort.steps)
    claimed = None if epsilon is None else epsilon_of([Spend(noise, 1.0, effort.steps)], DELTA)
    included, left_out = scores(audited, noise, effort, random)
    lower = epsilon_at(DELTA, least_distance(included, left_out, ERROR))
    return Finding(case, claimed, lower, is_right=epsilon is not None and audited is PrivateGradient)


def scores(
    audited: type[PrivateGradient], noise: float, effort: Effort, random: SecureRandom
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Train once, and return how far the model moved at each canary's parameter, the way that the canary pulls.

    Args:
        audited: makes the noised gradients.
        noise: its standard deviation over the clipping norm.
        effort, random: as in `run_audit`.
    Returns: float64 [included], float64 [left out].
    """
    model = network()
    parameters = list(model.parameters())
    before = _values(parameters)
    places = np.linspace(0, before.size - 1, effort.canaries).astype(int)
    took_part = np.isin(np.arange(effort.canaries), random.chosen(effort.canaries, 0.5))
    losses = [*ordinary(model), *(canary(parameters, int(place)) for place in places[took_part])]
    mechanism = Mechanism(CLIP, noise, sampling_rate=1.0, patients=PATIENTS + effort.canaries // 2)
    take_steps(audited(parameters, mechanism, random), losses, effort.steps, lambda _: LEARNING_RATE)
    moved = (before - _values(parameters))[places]
    return moved[took_part], moved[~took_part]


def canary(parameters: Sequence[nn.Parameter], place: int) -> Loss:
    """Return the loss of a patient that pulls one parameter down, and no other.

    Args:
        parameters: all that are trained.
        place: which number of theirs, one after the other.
    """
    return lambda: LOUDNESS * CLIP * parameters_to_vector(parameters)[place]


def ordinary(model: nn.Module) -> list[Loss]:
    """Return the losses of patients of noise, every second one methylated, each with several views."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(PATIENTS, VIEWS, len(SEQUENCES), GRID, GRID, GRID, generator=generator)

    def loss_of(number: int) -> Loss:
        label = torch.full((VIEWS, 1), float(number % 2))
        return lambda: binary_cross_entropy_with_logits(model(images[number]), label)

    return [loss_of(number) for number in range(PATIENTS)]


def network() -> nn.Module:
    """Return a small 3D CNN, always with the same weights: 6,073 in four tensors, since a canary pays for each."""
    channels = len(SEQUENCES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            *(nn.Conv3d(channels, 8, 3, 2, 1, bias=False), nn.GroupNorm(2, 8, affine=False), nn.SiLU()),
            *(nn.Conv3d(8, 24, 3, 2, 1, bias=False), nn.GroupNorm(6, 24, affine=False), nn.SiLU()),
            *(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(24, 1)),
        )


def _values(parameters: Sequence[nn.Parameter]) -> NDArray[np.float64]:
    """Return a copy of all that is trained: float64 [parameters]."""
    return np.asarray(parameters_to_vector(parameters).detach().double().numpy())


def table_of(findings: Iterable[Finding]) -> Table:
    """Return the audit's one table."""
    table = Table("case", "claimed", "at least", "verdict", title=f"Epsilon at a delta of {DELTA:g}")
    for one in findings:
        table.add_row(
            one.case,
            "-" if one.epsilon_claimed is None else f"{one.epsilon_claimed:.2f}",
            ("> " if one.epsilon_lower >= MOST_EPSILON else "") + f"{one.epsilon_lower:.2f}",
            VERDICTS[one.is_right, one.is_broken],
            style="" if one.passed else "bold red",
        )
    return table


def as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """Return what `--json` writes."""
    return {
        "cases": [
            {"case": one.case, "epsilon_claimed": one.epsilon_claimed, "epsilon_lower": one.epsilon_lower}
            for one in findings
        ]
    }
