"""Flower's ServerApp: run the rounds, then register the best round's model as a version."""

from dataclasses import asdict
from importlib.metadata import version
from platform import python_version
from typing import Any

import numpy as np
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from core.config import load_config, validate
from core.errors import ConfigError
from core.files import write_atomically
from core.imaging.version import PREPROCESSING_VERSION
from core.learning.curves import interval_from_area
from core.learning.metrics import scores_of
from core.learning.model import build_model
from core.learning.weights import flatten, manifest_of, named
from core.messages import Counts, Manifest
from core.records.registry import add_version, find_version, list_versions
from core.study import Study, digest
from fl_server.checkpoints import RoundRecord, best_round, round_weights
from fl_server.config import RunConfig
from fl_server.rounds import run_rounds

LIBRARIES = ("SimpleITK", "flwr", "gliofed", "monai", "numpy", "pydicom", "safetensors", "torch")
CLASSES = {"mgmt": ("mgmt_unmethylated", "mgmt_methylated"), "tumor": ("tumor_absent", "tumor_present")}

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run a study, or what is left of it; a finished and registered run is left as it is.

    Raises:
        ConfigError: the run-config or the study is wrong.
        FederationError: the run cannot go on.
    """
    config = validate(RunConfig, context.run_config, "the run-config")
    # Without this process's variables: every site must read the same study.
    study = load_config(Study, config.study, {})
    if study.federation.quorum > len(config.sites):
        raise ConfigError(
            f"A quorum of {study.federation.quorum} can never be reached by {len(config.sites)} site(s)",
            fix="lower federation.quorum in the study, or name more sites",
        )
    model = build_model(study.model, study.seed)
    manifest = manifest_of(model)
    state = run_rounds(grid, study, manifest, flatten(model), config.sites, config.run)
    registered = config.run / "version.txt"
    if registered.exists() and registered.read_text("utf-8") in list_versions(config.registry):
        return
    tensors = named(manifest, round_weights(config.run, best_round(state.history)))
    # A process that ended right here, before the note, has registered these weights already.
    name = find_version(config.registry, study.name, tensors)
    if name is None:
        name = add_version(config.registry, study.name, tensors, card_of(study, manifest, state.history))
    write_atomically(registered, name)


def card_of(study: Study, manifest: Manifest, history: tuple[RoundRecord, ...]) -> dict[str, Any]:
    """Describe the best round's model: what it is, what it was trained on, how it came about and how good it is."""
    best = best_round(history)
    cohort = cohort_of(history, best)
    (validated,) = [record for record in history if record.counted and record.round == best + 1]
    return {
        "study": study.model_dump(mode="json"),
        "architecture": {
            **study.model.model_dump(mode="json"),
            "parameters": manifest.size,
            "manifest": manifest.digest,
        },
        "preprocessing": {
            "settings": study.preprocessing.model_dump(mode="json"),
            "digest": digest(study.preprocessing),
        },
        "preprocessing_version": PREPROCESSING_VERSION,
        "cohort": cohort,
        "classes_seen": {
            head: sum(any(counts[name] for counts in cohort.values()) for name in classes)
            for head, classes in CLASSES.items()
        },
        "best_round": best,
        "rounds": [asdict(record) for record in history],
        "metrics": {"validation": metrics_of(validated.validation)},
        "libraries": {"python": python_version(), **{library: version(library) for library in LIBRARIES}},
    }


def metrics_of(counts: Counts) -> dict[str, Any]:
    """Return scores as plain values, each area under the curve with its 95 % interval."""
    scores = scores_of(counts)
    metrics = asdict(scores)
    for task, binary in (("mgmt", scores.mgmt), ("tumor", scores.tumor)):
        positives, negatives = (int(np.sum(counts[f"{task}_{sign}_scores"])) for sign in ("positive", "negative"))
        interval = None if binary.auc is None else interval_from_area(binary.auc, positives, negatives)
        metrics[task]["auc_interval"] = interval
    return metrics


def cohort_of(history: tuple[RoundRecord, ...], last: int) -> dict[str, Counts]:
    """Return each site's cohort counts in the newest round up to `last` that it counted in."""
    cohort: dict[str, Counts] = {}
    for record in history:
        if record.counted and record.round <= last:
            cohort |= {site: brought.cohort for site, brought in record.sites.items()}
    return dict(sorted(cohort.items()))
