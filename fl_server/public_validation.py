"""How good a round's model is where no hospital may say: the coordinator's own counts, on public cases."""

from collections.abc import Callable
from pathlib import Path

from core.learning.cases import load_cases
from core.learning.evaluation import evaluate
from core.learning.model import GliomaNet
from core.learning.weights import restore
from core.messages import Counts, Flat
from core.public_files import public_file
from core.study import Study

WHAT = "public cases"


def public_validation(study: Study, model: GliomaNet, public: Path) -> Callable[[Flat], Counts] | None:
    """Return what counts how good weights are, or None for a study whose sites do that themselves.

    Args:
        study: names its public cases by their SHA-256.
        model: the study's; its trained weights are overwritten.
        public: the folder of such files.
    Raises:
        ConfigError: they are not there.
        DataError: they are damaged.
    """
    if not study.privacy.is_on:
        return None
    cases = load_cases(public_file(public, study.privacy.validation, WHAT))

    def count(weights: Flat) -> Counts:
        restore(model, weights)
        return evaluate(model, cases)

    return count
