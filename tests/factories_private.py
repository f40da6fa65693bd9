"""Public files of the smallest kind, and a study of a small head that names them."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from core.learning.cases import save_cases
from core.public_files import keep_public
from core.study import ModelSettings, PrivacySettings, Study
from simulations.pretraining import PublicCohort, pretrain, public_cases
from tests.simulations.factories_federation import GRID, a_study

FEATURES = 4


@cache
def public_files() -> tuple[bytes, bytes]:
    """Frozen weights and public cases."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cases = public_cases("training", PublicCohort(10, 2, size=GRID), folder)
        save_cases(folder / "public.safetensors", cases)
        return (
            pretrain(cases, ModelSettings(preset="tiny", features=FEATURES), seed=2, epochs=1),
            (folder / "public.safetensors").read_bytes(),
        )


def a_private_study(public: Path, *, head: bool = True, **privacy: float) -> Study:
    """A study under differential privacy whose files lie in a folder."""
    frozen, validation = (keep_public(public, content) for content in public_files())
    study = a_study(rounds=3)
    settings = {"epsilon": 3.0, "patients": 6, "views": 2, "learning_rate": 2.0 if head else 0.01, **privacy}
    model = ModelSettings(preset="tiny", features=FEATURES, frozen=frozen if head else "", dropout=0.1)
    return study.model_copy(
        update={"model": model, "privacy": PrivacySettings.model_validate(settings | {"validation": validation})}
    )
