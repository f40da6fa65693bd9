"""What differential privacy costs a small head on frozen weights, and what it would cost the whole network.

    nice python -m bench.private_utility CACHE PUBLIC [--seeds 3] [--unseen 2040] [--json FILE] [--picture FILE]
    nice python -m bench.private_utility CACHE PUBLIC --whole [--json FILE]

PUBLIC holds frozen.safetensors and public.safetensors, as `fl-simulate pretrain PUBLIC` and `public-cases PUBLIC` make
them: no patient, seed or machine of theirs is among the following. Five hospitals of up to 100 patients, each with its
own scanner; the unseen patients are from the same machines and a sixth. Noise is each site's own, at delta 1e-5, drawn
anew in each of several repeats. The round is chosen by its loss on the public cases. Steps are the product's own; only
the wire is left out. CACHE keeps the cases and each patient's features. One thread.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from bench.federated_vs_pooled import cached_cases
from core.files import atomic
from core.learning.cases import TrainingCase, load_cases
from core.learning.curves import auc
from core.learning.frozen import study_model
from core.learning.model import GliomaNet, SmallHead, describe
from core.learning.prediction import look
from core.learning.weights import flatten, restore
from core.messages import Flat
from core.public_files import keep_public
from core.study import FederationSettings, ModelSettings, PrivacySettings, Study
from fl_client.config import SitePrivacySettings
from fl_client.dataset import Drawn, Patient
from fl_client.differential_privacy import SecureRandom
from fl_client.private_training import Seen, head_losses, look_up, noise_of, train_privately, whole_losses
from fl_server.aggregation import RunningSum

HOSPITALS, PATIENTS, ROUNDS, VIEWS = 5, 100, 25, 4
SIZES = (20, 50, 100)
EPSILONS = (0.0, 8.0, 3.0, 1.0)
UNSEEN_SEED, SEPARABILITY, GRID = 1_000_003, 0.99, 48
NOBODY = SitePrivacySettings()


def study_for(epsilon: float, patients: int, frozen: str, **privacy: float) -> Study:
    settings = {"epsilon": epsilon or 8.0, "patients": patients, "views": VIEWS, "validation": "0" * 64, **privacy}
    return Study(
        name="bench",
        model=ModelSettings(frozen=frozen),
        federation=FederationSettings(rounds=ROUNDS),
        privacy=PrivacySettings.model_validate(settings),
    )


def patients_of(folder: Path, seed: int, hospital: int) -> list[Patient]:
    cases = cached_cases(folder, seed, hospital, PATIENTS, 0, SEPARABILITY, GRID)
    return [(Drawn(*[f"{number:03d}"] * 3, case),) for number, case in enumerate(cases)]


def features_of(folder: Path, seed: int, hospital: int, study: Study, model: GliomaNet) -> list[Seen]:
    path = folder / f"features-{study.model.frozen[:12]}-{VIEWS}-{seed}-{hospital}.safetensors"
    if not path.exists():
        seen = look_up(model, patients_of(folder, seed, hospital), study, f"site-{hospital + 1}")
        with atomic(path) as temporary:
            save_file(
                {"x": torch.stack([one for one, _ in seen]), "y": torch.stack([one for _, one in seen])}, temporary
            )
    stored = load_file(path)
    return list(zip(stored["x"], stored["y"], strict=True))


def one_view(model: GliomaNet, cases: list[TrainingCase], kept: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and labels of cases as a clinic has them: float [cases, features] and [cases]."""
    if not kept.exists():
        head = model.methylation
        assert isinstance(head, SmallHead)
        model.eval()
        with torch.inference_mode():
            x = torch.cat([head.features(describe(*model.look_inside(case.image[None]))) for case in cases])
        with atomic(kept) as temporary:
            save_file({"x": x, "y": torch.tensor([float(case.mgmt or 0) for case in cases])}, temporary)
    stored = load_file(kept)
    return stored["x"], stored["y"]


def federate(model: GliomaNet, sites: list[list[Seen]], study: Study, noise: float, public) -> Flat:
    """FedAvg over a study's rounds; the round with the lowest loss on the public cases."""
    weights = best = np.zeros_like(flatten(model))
    lowest, (x, y) = float("inf"), public
    for number in range(1, study.federation.rounds + 1):
        total = RunningSum(weights.size)
        for seen in sites:
            restore(model, weights)
            train_privately(model, head_losses(model, seen), study, number, noise, SecureRandom())
            total.add(flatten(model), study.privacy.patients)
        weights = total.mean()
        restore(model, weights)
        with torch.no_grad():
            logits = model.methylation.linear(x).squeeze(1)
            loss = float(torch.nn.functional.binary_cross_entropy_with_logits(logits, y))
        if loss < lowest:
            best, lowest = weights, loss
    return best


def measure(model: GliomaNet, weights: Flat, unseen) -> float:
    restore(model, weights)
    with torch.no_grad():
        area = auc(unseen[1].numpy(), model.methylation.linear(unseen[0]).squeeze(1).numpy())
    assert area is not None
    return area


def heads(arguments: argparse.Namespace, public: Path) -> list[dict[str, float]]:
    frozen = keep_public(public, (arguments.public / "frozen.safetensors").read_bytes())
    model = study_model(ModelSettings(frozen=frozen), 0, public)
    validation = one_view(
        model,
        list(load_cases(arguments.public / "public.safetensors")),
        arguments.cache / f"public-{frozen[:12]}.safetensors",
    )
    unseen = [
        one_view(
            model,
            cached_cases(
                arguments.cache, UNSEEN_SEED, hospital, arguments.unseen // (HOSPITALS + 1), 0, SEPARABILITY, GRID
            ),
            arguments.cache / f"unseen-{frozen[:12]}-{hospital}.safetensors",
        )
        for hospital in range(HOSPITALS + 1)
    ]
    everybody = torch.cat([x for x, _ in unseen]), torch.cat([y for _, y in unseen])
    rows = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        study = study_for(8, PATIENTS, frozen)
        sites = [features_of(arguments.cache, seed, hospital, study, model) for hospital in range(HOSPITALS)]
        for patients in SIZES:
            few = [seen[:patients] for seen in sites]
            for epsilon in EPSILONS:
                study = study_for(epsilon, patients, frozen)
                noise = noise_of(study, NOBODY) if epsilon else 0.0
                for repeat in range(arguments.repeats if epsilon else 1):
                    area = measure(model, federate(model, few, study, noise, validation), everybody)
                    rows.append({"seed": seed, "patients": patients, "epsilon": epsilon, "repeat": repeat, "auc": area})
            print(seed, patients, summary(rows, patients), flush=True)
    return rows


def summary(rows: list[dict[str, float]], patients: int) -> dict[str, str]:
    told = {}
    for epsilon in EPSILONS:
        areas = [row["auc"] for row in rows if (row["patients"], row["epsilon"]) == (patients, epsilon)]
        told[f"epsilon {epsilon:g}" if epsilon else "no DP"] = f"{np.mean(areas):.3f} ± {np.std(areas):.3f}"
    return told


def whole(arguments: argparse.Namespace) -> list[dict[str, float]]:
    """The whole network under noise from its first weights, a fifth of the patients a step."""
    unseen = [
        case
        for hospital in range(HOSPITALS + 1)
        for case in cached_cases(
            arguments.cache, UNSEEN_SEED, hospital, arguments.unseen // (HOSPITALS + 1), 0, SEPARABILITY, GRID
        )[: arguments.whole_unseen // (HOSPITALS + 1)]
    ]
    validation = load_cases(arguments.public / "public.safetensors")
    study = study_for(8, PATIENTS, "", sampling_rate=0.2, learning_rate=arguments.rate, views=2)
    sites = [patients_of(arguments.cache, 1, hospital) for hospital in range(HOSPITALS)]
    noise = noise_of(study, NOBODY)
    model = study_model(study.model, study.seed, arguments.public)
    weights, best = flatten(model), (-1.0, flatten(model))
    for number in range(1, ROUNDS + 1):
        total = RunningSum(weights.size)
        for place, patients in enumerate(sites):
            restore(model, weights)
            losses = whole_losses(model, patients, study, (f"site-{place + 1}", number))
            train_privately(model, losses, study, number, noise, SecureRandom())
            total.add(flatten(model), PATIENTS)
        weights = total.mean()
        restore(model, weights)
        area = methylation(model, list(validation))
        best = max(best, (area, weights), key=lambda found: found[0])
        print(number, f"public {area:.3f}", flush=True)
    restore(model, best[1])
    return [{"epsilon": 8.0, "patients": PATIENTS, "auc": methylation(model, unseen), "unseen": len(unseen)}]


def methylation(model: GliomaNet, cases: list[TrainingCase]) -> float:
    scores = [float(look(model, case.image[None]).mgmt[0]) for case in cases]
    return auc([case.mgmt for case in cases], scores) or 0.0


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """One curve a number of patients, over epsilon."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    places = {1.0: 0, 3.0: 1, 8.0: 2, 0.0: 3}
    for patients, color in zip(SIZES, ("#0072B2", "#E69F00", "#009E73"), strict=True):
        areas = [[row["auc"] for row in rows if (row["patients"], row["epsilon"]) == (patients, e)] for e in places]
        axes.errorbar(
            [place + 0.04 * SIZES.index(patients) for place in places.values()],
            [float(np.mean(each)) for each in areas],
            [float(np.std(each)) for each in areas],
            marker="o", capsize=3, color=color, label=f"{patients} patients a site",
        )  # fmt: skip
    axes.axhline(SEPARABILITY, color="#999999", linestyle=":", label="best possible")
    axes.set_xticks(list(places.values()), ["epsilon 1\nstrong", "epsilon 3\nmedium", "epsilon 8\nweak", "no DP"])
    axes.set_ylabel("AUC, MGMT methylation")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path)
    parser.add_argument("public", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="how many cohorts")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5, help="draws of the noise")
    parser.add_argument("--unseen", type=int, default=2040)
    parser.add_argument("--whole", action="store_true", help="instead: the whole network under noise, one cohort")
    parser.add_argument("--whole-unseen", type=int, default=600)
    parser.add_argument("--rate", type=float, default=0.05, help="learning rate of the whole network")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = whole(arguments) if arguments.whole else heads(arguments, arguments.cache / "public")
    for patients in [] if arguments.whole else SIZES:
        print(patients, summary(rows, patients))
    if arguments.whole:
        print(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    if arguments.picture:
        draw(rows, arguments.picture)


if __name__ == "__main__":
    sys.exit(main())
