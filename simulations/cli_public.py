"""The commands that make what every side shares and no hospital's patients go into: weights, atlas, public cases."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from core.files import write_atomically
from core.progress import bars


class Cohort(StrEnum):
    """The public cohorts that can be imported."""

    RSNA = "rsna"
    BRATS = "brats"
    UPENN_GBM = "upenn-gbm"
    UCSF_PDGM = "ucsf-pdgm"


def pretrain(
    out: Annotated[Path, typer.Argument(help="Folder for frozen.safetensors and the public patients it learns on.")],
    preset: Annotated[str, typer.Option(help="The network: tiny, small, base, large or densenet121.")] = "small",
    features: Annotated[int, typer.Option(min=1, max=64, help="Of the head that studies train.")] = 8,
    patients: Annotated[int, typer.Option(min=9, help="Public patients with a tumor; an eighth validate.")] = 320,
    grid: Annotated[int, typer.Option(min=16, help="Voxels along each axis, as the study's.")] = 48,
    epochs: Annotated[int, typer.Option(min=1, help="Over all of them.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 2,
) -> None:
    """Pretrain the network of studies with differential privacy, on public patients alone; they train its head.

    It learns to map tumors, on synthetic patients whose seeds and scanners no simulated hospital has, and never sees a
    methylation label. `fl-server add OUT/frozen.safetensors` prints what study.toml names as [model] frozen. Safe to
    interrupt: the patients that were made are kept.

    Example: fl-simulate pretrain public && fl-server add public/frozen.safetensors
    """
    import torch

    from core.config import validate
    from core.study import ModelSettings
    from simulations.pretraining import PublicCohort, public_cases
    from simulations.pretraining import pretrain as make

    torch.set_num_threads(1)  # one order of adding up, so that the weights repeat
    settings = validate(ModelSettings, {"preset": preset, "features": features}, "the command")
    with bars() as report:
        cases = public_cases("training", PublicCohort(patients, patients // 8, size=grid), out, report)
        write_atomically(out / "frozen.safetensors", make(cases, settings, seed, epochs, report))
    Console().print(f"{out / 'frozen.safetensors'}: `fl-server add` it", soft_wrap=True)


def public_cases(
    out: Annotated[Path, typer.Argument(help="Folder for public.safetensors.")],
    patients: Annotated[int, typer.Option(min=2, help="How many.")] = 120,
    grid: Annotated[int, typer.Option(min=16, help="Voxels along each axis, as the study's.")] = 48,
) -> None:
    """Make the public cases by which a study with differential privacy chooses its round, in the place of patients.

    `fl-server add OUT/public.safetensors` prints what study.toml names as [privacy] validation.

    Example: fl-simulate public-cases public && fl-server add public/public.safetensors
    """
    from core.learning.cases import save_cases
    from simulations.pretraining import PublicCohort
    from simulations.pretraining import public_cases as make

    with bars() as report:
        save_cases(out / "public.safetensors", make("validation", PublicCohort(patients, 0, size=grid), out, report))
    Console().print(f"{out / 'public.safetensors'}: `fl-server add` it", soft_wrap=True)


def build_atlas() -> None:
    """Make the 2 mm atlas that every node ships, from the MNI152 templates that nilearn holds.

    Writes core/imaging/data/; the same templates give the same bytes. Only needed when the atlas itself changes.
    """
    from simulations.atlas import write_core_atlas

    write_core_atlas()


def train_brain_mask(
    out: Annotated[Path | None, typer.Option(help="Where the weights go; else where every node ships them.")] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Two synthetic heads each, 0.7 s on one core; by default 2,000."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights.")] = 0,
) -> None:
    """Train the network that finds the brain, on synthetic heads alone. Safe to interrupt: the next call goes on.

    Prepared cases made with other weights are made anew by the next `fl-client prepare`.
    """
    import torch

    from core.imaging.skull_stripping import WEIGHTS
    from simulations.brain_mask import ITERATIONS, train

    torch.set_num_threads(1)  # one order of adding up, so that the weights repeat
    with bars() as report:
        train(steps or ITERATIONS, seed, out or WEIGHTS, report)


def import_public(
    cohort: Annotated[Cohort, typer.Argument(help="Which cohort it is.")],
    source: Annotated[Path, typer.Argument(help="The folder that its download was unpacked into.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for train/, masks/ and train_labels.csv.")],
    labels: Annotated[
        Path | None, typer.Option(help="The cohort's table of labels, where it is not beside the scans.")
    ] = None,
    apart_from: Annotated[
        list[Path] | None,
        typer.Option(help="A cohort imported before: who is in it, as BraTS 2021 numbers them, is left out."),
    ] = None,
    crosswalk: Annotated[
        Path | None,
        typer.Option(help="For upenn-gbm: TCIA's BraTS2021_MappingToTCIA, saved as CSV; says who is in RSNA too."),
    ] = None,
) -> None:
    """Bring a public cohort, as one downloads it, into the layout that `split` and `fl-client prepare` read.

    Files are hard-linked, so nothing is copied and the download stays as it is. One scan a patient: follow-ups and what
    is known to be broken are left out, each with its reason in OUT/import.csv. Safe to interrupt: the next call goes
    on. RSNA, BraTS, UCSF-PDGM and UPenn-GBM share patients: --apart-from keeps each at one site. UPenn-GBM's table does
    not say whom; --crosswalk does, for this and for a later `run --external`.

    Example: fl-simulate import ucsf-pdgm UCSF-PDGM-v5 --out ucsf --apart-from rsna
    """
    from simulations.public_import import import_cohort, summary
    from simulations.public_layouts import LAYOUTS

    with bars() as report:
        lines = import_cohort(cohort.value, source, out, labels, apart_from or (), report, crosswalk=crosswalk)
    table = Table("folders", "", title=f"{cohort.value}, in {out}")
    for text, count in summary(lines):
        table.add_row(str(count), text)
    Console().print(table)
    if all(line.also is None for line in lines):
        unknown = f"Who of them is in BraTS 2021 too, where RSNA's are, is unknown: {LAYOUTS[cohort.value].told_by}"
        Console().print(unknown, soft_wrap=True, highlight=False)
    Console().print(f"Folder by folder: {out / 'import.csv'}", soft_wrap=True, highlight=False)


COMMANDS: dict[str, Callable[..., None]] = {
    "import": import_public,
    "pretrain": pretrain,
    "public-cases": public_cases,
    "build-atlas": build_atlas,
    "train-brain-mask": train_brain_mask,
}
