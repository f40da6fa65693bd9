"""Several models on the same held-out patients: one row each, as the demo's table and the report show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from core.learning.curves import auc, auc_interval
from core.learning.metrics import counts_of, scores_of

HEADER = ("model", "AUC", "95 % interval", "accuracy", "precision", "recall")


@dataclass(frozen=True)
class Row:
    """One model's scores on the outside patients; None where the patients cannot say.

    Attributes:
        name: which model.
        auc: area under the curve, exact.
        interval: its 95 % interval (DeLong).
        accuracy, precision, recall: at a probability of one half.
    """

    name: str
    auc: float | None
    interval: tuple[float, float] | None
    accuracy: float | None
    precision: float | None
    recall: float | None

    def texts(self) -> tuple[str, ...]:
        """Return the row as HEADER names its columns."""
        interval = "-" if self.interval is None else f"{self.interval[0]:.2f} to {self.interval[1]:.2f}"
        return (self.name, _text(self.auc, 3), interval, *map(_text, (self.accuracy, self.precision, self.recall)))


def measure(name: str, labels: Sequence[int], probabilities: Sequence[float]) -> Row:
    """Score one model's probabilities.

    Args:
        name: which model.
        labels: 0 or 1, one a patient.
        probabilities: 0 to 1, in the same order.
    """
    none: ArrayLike = [float("nan")] * len(labels)
    task: dict[str, Any] = {"mgmt": probabilities, "tumor": none}
    binary = scores_of(counts_of(task, {"mgmt": labels, "tumor": none}, [[], [], []], [0.0] * len(labels))).mgmt
    return Row(
        name,
        auc(labels, probabilities),
        auc_interval(labels, probabilities),
        binary.accuracy,
        binary.precision,
        binary.recall,
    )


def _text(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
